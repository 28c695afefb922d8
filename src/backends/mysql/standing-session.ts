import type { Runtime, TimerHandle } from "../../platform/runtime.js";
import { isDisconnect } from "./failure.js";
import { closed, gate } from "./lanes.js";
import type { Answer, Session } from "./session.js";
import type { Source } from "./source.js";

/** A connection that stands for its process: opened when it is first used, and anew, without being asked, whenever it is lost while it is needed. */
export interface StandingSession {
  /** The connection, if it is there. */
  current(): Session | undefined;
  /** The connection, opened if need be. */
  ready(): Promise<Session>;
  ask(statements: readonly string[]): Promise<readonly Answer[]>;
  /** Opens the connection, sooner or later. */
  keep(): void;
  close(): void;
}

export interface StandingSessionOptions {
  readonly source: Source;
  readonly runtime: Runtime;
  /** Is somebody taken for dead while the connection is away? */
  readonly isNeeded: () => boolean;
  /** Makes a new connection what the old one was. */
  readonly onOpen: (session: Session) => Promise<void>;
}

/** How long its answers may take: nothing that is asked on it waits for a lock. */
export const answerMaxMs = 5000;
const pauseStepMs = 25;
const pauseMaxMs = 1000;

export function standingSession({ source, runtime, isNeeded, onOpen }: StandingSessionOptions): StandingSession {
  const connect = gate(runtime, source);
  let opening: Promise<Session> | undefined;
  let present: Session | undefined;
  let timer: TimerHandle | undefined;
  let isClosed = false;
  const current = (): Session | undefined => (present?.isLost === false ? present : undefined);

  const open = async (): Promise<Session> => {
    const session = await connect();
    if (isClosed) {
      session.destroy();
      throw closed();
    }
    present = session;
    session.onLost(() => {
      if (present === session && isNeeded()) comeBack(0);
    });
    await onOpen(session);
    return session;
  };
  const ready = (): Promise<Session> => {
    if (isClosed) return Promise.reject(closed());
    const session = current();
    if (session !== undefined && opening === undefined) return Promise.resolve(session);
    opening ??= open().finally(() => (opening = undefined));
    return opening;
  };
  const comeBack = (failures: number): void => {
    timer?.cancel();
    if (isClosed) return;
    timer = runtime.setTimer(() => void ready().catch(() => comeBack(failures + 1)), Math.min(pauseMaxMs, failures * pauseStepMs));
  };

  return {
    current,
    ready,
    async ask(statements) {
      const session = await ready();
      try {
        return await session.run(statements, answerMaxMs);
      } catch (error) {
        if (isDisconnect(error)) session.destroy();
        throw error;
      }
    },
    keep: () => comeBack(0),
    close() {
      isClosed = true;
      timer?.cancel();
      present?.destroy();
      present = undefined;
    },
  };
}
