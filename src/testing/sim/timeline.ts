/**
 * Virtual time and the events that wait in it. An event becomes ready at its time; which of the ready ones happens next is the strategy's choice.
 * Events belong to an actor (a virtual process, or the network between processes and store): those of a paused actor wait, those of a dead one never happen.
 */
export interface Actor {
  readonly name: string;
  state: "up" | "paused" | "dead";
  /** What the strategies sort by. */
  priority: number;
  /** Ready events that wait for the end of a pause. */
  readonly held: TimelineEvent[];
}

export interface TimelineEvent {
  readonly id: number;
  readonly actor: Actor;
  readonly label: string;
  readonly readyAt: number;
  readonly run: () => void;
  cancelled: boolean;
}

export interface Timeline {
  /** Virtual time in ms, with fractions. */
  nowMs(): number;
  /** Lets `run` happen once, not before `delayMs` from now. */
  schedule(actor: Actor, label: string, delayMs: number, run: () => void): TimelineEvent;
  /** The ready events; if there are none, time jumps to the next one first. Empty when nothing will ever happen again, or not before `untilMs`. */
  ready(untilMs: number): readonly TimelineEvent[];
  /** Takes the ready event at `index` out; it costs a little time, so that a busy process cannot stop the clock. */
  take(index: number, costMs: number): TimelineEvent;
  pause(actor: Actor): void;
  resume(actor: Actor): void;
  kill(actor: Actor): void;
  /** How many events of this actor are still to come. */
  pending(): number;
}

export const createActor = (name: string): Actor => ({ name, state: "up", priority: 0, held: [] });

export function createTimeline(startMs: number): Timeline {
  let now = startMs;
  let nextId = 1;
  const future: TimelineEvent[] = [];
  const ready: TimelineEvent[] = [];

  const admit = (event: TimelineEvent): void => {
    if (event.cancelled || event.actor.state === "dead") return;
    if (event.actor.state === "paused") event.actor.held.push(event);
    else ready.push(event);
  };
  const ripen = (): void => {
    for (let first = future[0]; first !== undefined && first.readyAt <= now; first = future[0]) admit(popEarliest(future));
  };
  const compact = (): void => {
    let kept = 0;
    for (const event of ready) {
      if (event.cancelled || event.actor.state === "dead") continue;
      if (event.actor.state === "paused") event.actor.held.push(event);
      else ready[kept++] = event;
    }
    ready.length = kept;
  };

  return {
    nowMs: () => now,
    schedule(actor, label, delayMs, run) {
      const event: TimelineEvent = { id: nextId++, actor, label, readyAt: now + Math.max(0, delayMs), run, cancelled: false };
      pushByTime(future, event);
      return event;
    },
    ready(untilMs) {
      ripen();
      compact();
      while (ready.length === 0) {
        const first = future[0];
        if (first === undefined || first.readyAt > untilMs) return ready;
        now = Math.max(now, first.readyAt);
        ripen();
      }
      return ready;
    },
    take(index, costMs) {
      const [event] = ready.splice(index, 1);
      if (event === undefined) throw new Error("there is no such ready event");
      now += costMs;
      return event;
    },
    pause(actor) {
      if (actor.state === "up") actor.state = "paused";
    },
    resume(actor) {
      if (actor.state !== "paused") return;
      actor.state = "up";
      ready.push(...actor.held.splice(0));
    },
    kill(actor) {
      actor.state = "dead";
      actor.held.length = 0;
    },
    pending: () => ready.length + future.length,
  };
}

const before = (a: TimelineEvent, b: TimelineEvent): boolean => a.readyAt < b.readyAt || (a.readyAt === b.readyAt && a.id < b.id);

/** A binary heap in an array, earliest first. */
function pushByTime(heap: TimelineEvent[], event: TimelineEvent): void {
  let index = heap.length;
  while (index > 0) {
    const above = (index - 1) >> 1;
    const parent = heap[above] as TimelineEvent;
    if (!before(event, parent)) break;
    heap[index] = parent;
    index = above;
  }
  heap[index] = event;
}

function popEarliest(heap: TimelineEvent[]): TimelineEvent {
  const first = heap[0] as TimelineEvent;
  const last = heap.pop() as TimelineEvent;
  if (heap.length === 0) return first;
  let index = 0;
  for (;;) {
    let child = 2 * index + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && before(heap[child + 1] as TimelineEvent, heap[child] as TimelineEvent)) child++;
    if (!before(heap[child] as TimelineEvent, last)) break;
    heap[index] = heap[child] as TimelineEvent;
    index = child;
  }
  heap[index] = last;
  return first;
}
