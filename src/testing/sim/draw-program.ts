import type { Prng } from "./prng.js";
import {
  messageCount,
  nameCount,
  updateCount,
  type ActivityCommand,
  type BodyCommand,
  type ChildCommand,
  type Command,
  type Program,
} from "./program.js";

interface Drawing {
  readonly prng: Prng;
  /** How many commands may still be drawn. */
  left: number;
  readonly weights: Weights;
}

type Op = Command["op"];
type Weights = Readonly<Record<Exclude<Op, "continue">, number>>;

const durations = [1, 20, 150, 900, 2500, 6000] as const;
const bodyDurations = [0, 0, 1, 15, 200, 1500] as const;

/** What every program may do… */
const usual = { step: 8, activity: 5, sleep: 4, receive: 4, receiveAny: 2, pure: 2, throw: 0.3 } as const;
/** … what takes other programs in … */
const compound = { all: 3, race: 2, late: 2, scope: 3, shield: 1, try: 3, finally: 1 } as const;
/** … and what only some do: a program that has everything at once rarely comes to the end of any of it. */
const rarer = {
  child: 8,
  send: 2,
  cancelRun: 0.4,
  publish: 1,
  attribute: 0.5,
  write: 1,
  patched: 0.5,
  on: 1,
  compensate: 1.5,
} as const;

const nesting: ReadonlySet<Op> = new Set<Op>([...(Object.keys(compound) as (keyof typeof compound)[]), "child"]);

/** Draws a program of at most 20 commands, nested at most 3 deep. */
export function drawProgram(prng: Prng): Program {
  const weights: Weights = { ...usual, ...compound, ...drawRarer(prng) };
  const answers: Command[] = weights.on > 0 ? [drawAnswer(prng), drawAnswer(prng)] : [];
  const program = [...answers, ...drawPart({ prng, left: prng.int(1, 20 - answers.length), weights }, 3)];
  return prng.chance(0.2) ? [...program, { op: "continue", program: drawFollower(prng, weights) }] : program;
}

/** Each left out of most programs. */
function drawRarer(prng: Prng): typeof rarer {
  const isPlain = prng.chance(0.35);
  const entries = Object.entries(rarer).map(([op, weight]) => [op, !isPlain && prng.chance(0.5) ? weight : 0]);
  return Object.fromEntries(entries) as typeof rarer;
}

/** What a run goes on with. */
function drawFollower(prng: Prng, weights: Weights): Program {
  const program = drawPart({ prng, left: prng.int(1, 6), weights }, 2);
  return prng.chance(0.3) ? [...program, { op: "continue", program: drawPart({ prng, left: 2, weights }, 1) }] : program;
}

function drawPart(drawing: Drawing, depth: number): Program {
  const program: Command[] = [];
  while (drawing.left > 0) program.push(drawCommand(drawing, depth));
  return program;
}

function drawBody(drawing: Drawing, depth: number): Program {
  const body: Command[] = [drawCommand(drawing, depth)];
  for (let more = drawing.prng.int(0, 2); more > 0 && drawing.left > 0; more--) body.push(drawCommand(drawing, depth));
  return body;
}

function drawOp({ prng, left, weights }: Drawing, depth: number): Exclude<Op, "continue"> {
  const nested = depth > 0 && left > 1;
  const ops = Object.keys(weights) as (keyof Weights)[];
  return ops[prng.weighted(ops.map((op) => (nested || !nesting.has(op) ? weights[op] : 0)))] ?? "pure";
}

function drawCommand(drawing: Drawing, depth: number): Command {
  drawing.left--;
  const { prng } = drawing;
  const op = drawOp(drawing, depth);
  const inner = (): Program => drawBody(drawing, depth - 1);
  switch (op) {
    case "step":
      return drawStep(prng);
    case "activity":
      return { op, ...drawBodyShape(prng), ...drawActivity(prng) };
    case "sleep":
      return { op, ms: prng.pick(durations) };
    case "receive":
      return { op, message: prng.int(0, messageCount - 1), timeoutMs: drawTimeout(prng), otherwise: prng.chance(0.7) };
    case "receiveAny":
      return { op, messages: prng.pick(messageSets), timeoutMs: drawTimeout(prng) };
    case "pure":
      return { op };
    case "throw":
      return { op, attempts: prng.pick([1, 1, 2, 9]) };
    case "all":
    case "race":
      return { op, branches: Array.from({ length: prng.int(2, 3) }, inner) };
    case "late":
      return { op, early: inner(), meanwhile: inner() };
    case "scope":
      return { op, timeoutMs: prng.chance(0.7) ? prng.pick(durations) : null, body: [{ op: "pure" }, ...inner()] };
    case "shield":
    case "try":
      return { op, body: inner() };
    case "finally":
      return { op, body: inner(), cleanup: inner() };
    default:
      return drawRarely(prng, op, inner);
  }
}

const messageSets = [
  [0, 1],
  [1, 2],
  [0, 1, 2],
] as const;

const drawTimeout = (prng: Prng): number | null => (prng.chance(0.6) ? prng.pick(durations) : null);

function drawRarely(prng: Prng, op: keyof typeof rarer, inner: () => Program): Command {
  switch (op) {
    case "child":
      return prng.chance(0.25) ? drawUnwanted(prng, inner()) : drawChild(prng, inner());
    case "send":
      return { op, target: drawTarget(prng), message: prng.int(0, messageCount - 1), key: prng.chance(0.2) ? `k${prng.int(0, 3)}` : null };
    case "cancelRun":
      return { op, target: drawTarget(prng) };
    case "publish":
    case "attribute":
    case "write":
    case "patched":
      return { op, name: prng.int(0, nameCount - 1) };
    case "on":
      return drawAnswer(prng);
    case "compensate":
      return { op, fails: prng.chance(0.7) ? 0 : prng.int(1, 3), attempts: prng.int(1, 3), bodyMs: prng.pick(bodyDurations) };
    default:
      return op satisfies never;
  }
}

/** A child that its parent stops waiting for, and is not done with by itself; the parent goes on meanwhile. */
const drawUnwanted = (prng: Prng, program: Program): Command => ({
  op: "finally",
  body: [
    {
      op: "scope",
      timeoutMs: prng.pick(durations),
      body: [{ op: "pure" }, drawChild(prng, [{ op: "receive", message: 0, timeoutMs: null, otherwise: false }, ...program])],
    },
  ],
  cleanup: [{ op: "receive", message: prng.int(0, messageCount - 1), timeoutMs: prng.chance(0.7) ? null : 6000, otherwise: true }],
});

const drawAnswer = (prng: Prng): Command => ({
  op: "on",
  update: prng.int(0, updateCount - 1),
  handler: prng.pick(["answer", "step", "step", "sleep", "throw"]),
  validates: prng.chance(0.4),
});

/** Other runs of the workload, themselves included, and children with ids of their own. */
const drawTarget = (prng: Prng): string => (prng.chance(0.8) ? `run-${prng.int(0, 3)}` : `kid-${prng.int(0, 1)}`);

const drawChild = (prng: Prng, program: Program): ChildCommand => ({
  op: "child",
  // Two ids for all: some children find theirs taken.
  id: prng.chance(0.2) ? `kid-${prng.int(0, 1)}` : null,
  onParentClose: prng.pick(["cancel", "terminate", "abandon"]),
  attempts: prng.chance(0.15) ? 2 : 1,
  program: prng.chance(0.1) ? [...program, { op: "continue", program: [{ op: "pure" }, { op: "sleep", ms: 20 }] }] : program,
  handled: prng.chance(0.6)
    ? null
    : {
        message: prng.chance(0.5) ? prng.int(0, messageCount - 1) : null,
        cancels: prng.chance(0.2),
        timeoutMs: prng.chance(0.4) ? prng.pick(durations) : null,
      },
});

function drawBodyShape(prng: Prng): Omit<BodyCommand, "op" | "once" | keyof ReturnType<typeof drawActivity>> {
  const attempts = prng.int(1, 4);
  const writes = prng.chance(0.12) ? prng.int(1, 3) : 0;
  return {
    attempts,
    fails: prng.chance(0.6) ? 0 : prng.int(1, 4),
    backoffMs: prng.pick([1, 50, 300, 1000]),
    bodyMs: prng.pick(bodyDurations),
    timeoutMs: prng.chance(writes > 0 ? 0.3 : 0.1) ? prng.pick([10, 500, 3000]) : null,
    writes,
    resumes: prng.chance(0.4),
  };
}

function drawStep(prng: Prng): Command {
  const once = prng.chance(0.2);
  const shape = drawBodyShape(prng);
  return { op: "step", ...shape, bodyMs: once ? prng.pick([15, 200, 1500]) : shape.bodyMs, once };
}

function drawActivity(
  prng: Prng,
): Omit<ActivityCommand, "op" | "fails" | "attempts" | "backoffMs" | "bodyMs" | "timeoutMs" | "writes" | "resumes"> {
  const heartbeatMs = prng.chance(0.15) ? prng.pick([100, 600, 3000]) : null;
  const local = prng.chance(0.1);
  return {
    totalMs: prng.chance(0.1) ? prng.pick(durations) : null,
    queuedMs: prng.chance(0.1) ? prng.pick([50, 900, 4000]) : null,
    heartbeatMs,
    beats: prng.chance(heartbeatMs === null ? 0.05 : 0.7) ? prng.int(1, 4) : 0,
    onCancel: prng.pick(["request", "request", "request", "wait", "abandon"]),
    local,
    later: !local && prng.chance(0.2) ? { afterMs: prng.logarithmic(1, 4000), fails: prng.chance(0.2) } : null,
  };
}
