import { isPerdureError } from "../errors.js";
import type { EncodeWalk, Put } from "./encode-walk.js";
import { pathText, spendChars, storedKey } from "./encode-walk.js";
import type { Json, JsonObject } from "./format.js";

/** What a property of an error may take. Errors of HTTP clients drag sockets and whole responses along; the failure must be stored without them. */
const maxPropertyNodes = 10_000;
const maxPropertyChars = 256 * 1024;
const maxMessageChars = 64 * 1024;

/** Written apart from the properties, or worthless elsewhere. */
const reserved: ReadonlySet<string> = new Set(["name", "message", "stack", "cause"]);

/** The record of an error. It leaves out what cannot be stored, and says so in `dropped`: reporting a failure must not fail. */
export function encodeErrorRecord(walk: EncodeWalk, error: Error, depth: number, put: Put): JsonObject {
  const name = textOf(walk, error, "name", 256) ?? "Error";
  const className = walk.registry.classOf(error);
  const record: JsonObject = { name };
  if (className !== name) record["class"] = className;
  record["message"] = textOf(walk, error, "message", maxMessageChars) ?? "";
  const stack = walk.limits.maxStackChars === 0 ? undefined : textOf(walk, error, "stack", walk.limits.maxStackChars);
  if (stack !== undefined) record["stack"] = stack;

  const errors = errorsOf(error);
  const dropped: string[] = [];
  const props: JsonObject = {};
  for (const key of Object.keys(error)) {
    if (reserved.has(key) || (key === "errors" && errors !== undefined)) continue;
    const reason = attempt(walk, key, () =>
      put(walk, props, storedKey(walk, key), (error as unknown as Record<string, unknown>)[key], depth + 1),
    );
    if (reason !== undefined) dropped.push(reason);
  }
  if (Object.keys(props).length > 0) record["props"] = props;
  if (Object.hasOwn(error, "cause")) {
    const reason = attempt(walk, "cause", () => put(walk, record, "cause", error.cause, depth + 1));
    if (reason !== undefined) dropped.push(reason);
  }
  if (errors !== undefined) record["errors"] = encodeErrors(walk, errors, depth, put, dropped);
  if (dropped.length > 0) record["dropped"] = dropped;
  return record;
}

function encodeErrors(walk: EncodeWalk, errors: readonly unknown[], depth: number, put: Put, dropped: string[]): Json[] {
  const nodes: Json[] = [];
  for (let i = 0; i < errors.length; i++) {
    const reason = attempt(walk, "errors", () => put(walk, nodes, i, errors[i], depth + 1), i);
    if (reason === undefined) continue;
    dropped.push(reason);
    // The length of `errors` stays true.
    nodes[i] = { $error: { name: "Error", message: `(an error that could not be stored: ${reason})` } };
  }
  return nodes;
}

/**
 * Runs a piece of encoding that may fail; if it does, the walk is as before, and the reason is returned. Objects first met inside the failed piece must be
 * forgotten, or a later sight of them would refer to a definition that was thrown away.
 */
function attempt(walk: EncodeWalk, key: string, encode: () => void, index?: number): string | undefined {
  const before = { path: walk.path.length, order: walk.order.length, nodes: walk.nodesLeft, chars: walk.charsLeft };
  const allowed = { nodes: Math.min(before.nodes, maxPropertyNodes), chars: Math.min(before.chars, maxPropertyChars) };
  walk.path.push(key);
  if (index !== undefined) walk.path.push(index);
  walk.nodesLeft = allowed.nodes;
  walk.charsLeft = allowed.chars;
  try {
    encode();
    walk.charsLeft = before.chars - (allowed.chars - walk.charsLeft);
    return undefined;
  } catch (error) {
    walk.charsLeft = before.chars;
    for (const object of walk.order.splice(before.order)) walk.slots.delete(object);
    return reasonOf(walk, error);
  } finally {
    // Nodes stay spent, also for what was dropped: they are the measure of work.
    walk.nodesLeft = before.nodes - (allowed.nodes - Math.max(0, walk.nodesLeft));
    walk.path.length = before.path;
  }
}

function reasonOf(walk: EncodeWalk, error: unknown): string {
  const path = pathText(walk.path);
  if (isPerdureError(error, "unserializable")) return `${path} is ${String(error.details?.["is"])}`.slice(0, 500);
  if (isPerdureError(error, "payload_too_large")) return `${path} is too large or too deep for a property of an error`.slice(0, 500);
  return `${path} throws when it is read`.slice(0, 500);
}

/** A text property of an error, whatever somebody made of it. */
function textOf(walk: EncodeWalk, error: Error, key: "name" | "message" | "stack", maxChars: number): string | undefined {
  let text: string;
  try {
    const value: unknown = error[key];
    if (value === undefined) return undefined;
    text = typeof value === "string" ? value : Object.prototype.toString.call(value);
  } catch {
    return undefined;
  }
  const kept = text.length <= maxChars ? text : `${text.slice(0, maxChars)}… (${text.length} characters)`;
  spendChars(walk, kept.length);
  return kept;
}

function errorsOf(error: Error): readonly unknown[] | undefined {
  try {
    const errors: unknown = Object.hasOwn(error, "errors") ? (error as { errors?: unknown }).errors : undefined;
    return Array.isArray(errors) ? errors : undefined;
  } catch {
    return undefined;
  }
}
