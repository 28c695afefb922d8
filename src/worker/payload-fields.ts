import type { InboxItem } from "../backend/records.js";
import type { EventEnvelope } from "../core/events.js";

/**
 * The place of a payload within its run. Encryption binds the bytes to it, so it must be the same when they are written and when they are read: an
 * activity's outcome has one place, in the inbox as in the history.
 */
export const payloadFields = {
  input: "input",
  result: "result",
  error: "error",
  cancel: "cancel",
  operation: (command: number): string => `operation:${command}`,
  activityInput: (command: number): string => `activity-input:${command}`,
  message: (name: string): string => `message:${name}`,
  update: (name: string): string => `update:${name}`,
  answer: (id: string): string => `answer:${id}`,
  state: (name: string): string => `state:${name}`,
  chunk: (name: string): string => `chunk:${name}`,
  /** What the heartbeat of an activity told last. */
  details: (command: number): string => `details:${command}`,
} as const;

export function fieldOfEvent(envelope: EventEnvelope): string {
  switch (envelope.kind) {
    case "started":
      return payloadFields.input;
    case "operation_started":
    case "operation_completed":
    case "operation_failed":
    case "attempt_failed":
    case "timer_fired":
      return payloadFields.operation(envelope.command);
    case "message_received":
      return payloadFields.message(envelope.name);
    case "update_accepted":
      return payloadFields.update(envelope.name);
    case "cancel_requested":
    case "deadline_passed":
      return payloadFields.cancel;
    case "run_completed":
      return payloadFields.result;
    case "run_failed":
    case "run_cancelled":
    case "run_terminated":
    case "run_continued":
      return payloadFields.error;
    default:
      return envelope satisfies never;
  }
}

export function fieldOfItem(item: InboxItem): string {
  switch (item.kind) {
    case "start":
      return payloadFields.input;
    case "message":
      return payloadFields.message(item.name);
    case "update":
      return payloadFields.update(item.name);
    case "activity_expired":
      return payloadFields.details(item.command ?? 0);
    case "activity_completed":
    case "activity_failed":
      return payloadFields.operation(item.command ?? 0);
    case "cancel":
      return payloadFields.cancel;
    default:
      return item.kind satisfies never;
  }
}
