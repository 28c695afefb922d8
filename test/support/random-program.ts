import { activity, message, type WorkflowContext } from "perdure";

/** What workflow code may do, as data; `execute` does it. Wider than what a sensible workflow does, since order must hold for all of them. */
export type Part =
  | { readonly op: "step" | "activity"; readonly name: string }
  | { readonly op: "sleep"; readonly ms: number }
  | { readonly op: "receive"; readonly names: readonly number[]; readonly timeoutMs: number | null; readonly otherwise: boolean }
  | { readonly op: "hops"; readonly count: number }
  | { readonly op: "pure" | "throw" | "listen" }
  | { readonly op: "all" | "race" | "any" | "allSettled"; readonly branches: readonly Program[] }
  | { readonly op: "late" | "float"; readonly early: Program; readonly meanwhile: Program }
  | { readonly op: "scope"; readonly timeoutMs: number | null; readonly body: Program }
  | { readonly op: "abort"; readonly body: Program; readonly meanwhile: Program }
  | { readonly op: "shield" | "try" | "call"; readonly body: Program }
  | { readonly op: "finally"; readonly body: Program; readonly cleanup: Program };
export type Program = readonly Part[];

export type Random = (below: number) => number;

/** A small seeded generator (mulberry32). */
export function seeded(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

export const messages = [0, 1, 2].map((index) => message<string>(`m${index}`));
const work = activity("work", (text: string) => text);
const durations = [0, 1, 10, 10, 50];

export function drawProgram(random: Random): Program {
  const budget = { left: 3 + random(25) };
  const program: Part[] = [];
  while (budget.left > 0) program.push(drawPart(random, budget, 4));
  return program;
}

function drawPart(random: Random, budget: { left: number }, depth: number): Part {
  budget.left--;
  const inner = (): Program => Array.from({ length: 1 + random(3) }, () => drawPart(random, budget, depth - 1));
  const timeoutMs = random(2) === 0 ? null : (durations[random(5)] ?? 0);
  const kind = random(depth > 0 && budget.left > 0 ? 24 : 10);
  if (kind < 3) return { op: "step", name: `s${random(3)}` };
  if (kind < 4) return { op: "activity", name: "work" };
  if (kind < 5) return { op: "sleep", ms: durations[random(5)] ?? 0 };
  if (kind < 7) return { op: "receive", names: [[0], [1], [0, 1], [1, 2]][random(4)] ?? [], timeoutMs, otherwise: random(2) === 0 };
  if (kind < 8) return { op: "hops", count: random(12) };
  if (kind < 9) return { op: "pure" };
  if (kind < 10) return { op: (["throw", "listen", "pure"] as const)[random(3)] ?? "pure" };
  if (kind < 15)
    return {
      op: (["all", "race", "any", "allSettled"] as const)[random(4)] ?? "all",
      branches: Array.from({ length: 2 + random(3) }, inner),
    };
  if (kind < 17) return { op: random(3) === 0 ? "float" : "late", early: inner(), meanwhile: inner() };
  if (kind < 19) return { op: "scope", timeoutMs, body: inner() };
  if (kind < 20) return { op: "abort", body: inner(), meanwhile: inner() };
  if (kind < 21) return { op: "finally", body: inner(), cleanup: inner() };
  return { op: (["shield", "try", "call"] as const)[random(3)] ?? "try", body: inner() };
}

/** Runs a program; `see` is told all that the code sees, in order. */
export function createCode(program: Program, see: (what: string) => void): (ctx: WorkflowContext) => Promise<string> {
  return async (ctx) => {
    await new Executor(see).all(ctx, program, "");
    return "done";
  };
}

class Executor {
  readonly #see: (what: string) => void;
  constructor(see: (what: string) => void) {
    this.#see = see;
  }

  async all(ctx: WorkflowContext, program: Program, path: string): Promise<string> {
    for (const [index, part] of program.entries()) {
      const here = `${path}.${index}`;
      try {
        this.#see(`${here}=${String(await this.#one(ctx, part, here))} @${ctx.now().getTime()}`);
      } catch (error) {
        this.#see(`${here}!${String(error)}`);
        throw error;
      }
    }
    return path;
  }

  #one(ctx: WorkflowContext, part: Part, path: string): unknown {
    switch (part.op) {
      case "step":
        return ctx.step(part.name, () => 1);
      case "activity":
        return ctx.activity(work, path);
      case "sleep":
        return ctx.sleep(part.ms);
      case "receive":
        return this.#receive(ctx, part);
      case "hops":
        return hops(part.count);
      case "pure":
        return `${ctx.random()} ${ctx.uuid()} ${ctx.info.historyLength}`;
      case "throw":
        throw new Error(`thrown at ${path}`);
      case "listen":
        ctx.signal.addEventListener("abort", () => this.#see(`${path} aborted: ${String(ctx.signal.reason)}`));
        return ctx.signal.aborted;
      default:
        return this.#nest(ctx, part, path);
    }
  }

  #receive(ctx: WorkflowContext, part: Extract<Part, { readonly op: "receive" }>): Promise<unknown> {
    const wait =
      part.timeoutMs === null
        ? undefined
        : part.otherwise
          ? { timeout: part.timeoutMs, otherwise: "nothing" }
          : { timeout: part.timeoutMs };
    const [first, ...rest] = part.names.map((index) => messages[index]).filter((one) => one !== undefined);
    if (first === undefined) throw new Error("a receive without messages");
    if (rest.length === 0) return ctx.receive(first, wait);
    return ctx
      .receiveAny(Object.fromEntries([first, ...rest].map((one) => [`key ${one.name}`, one])), wait)
      .then((answer) => JSON.stringify(answer));
  }

  async #nest(
    ctx: WorkflowContext,
    part: Exclude<Part, { readonly op: "step" | "activity" | "sleep" | "receive" | "hops" | "pure" | "throw" | "listen" }>,
    path: string,
  ): Promise<unknown> {
    const within = (program: Program, label: string, inner = ctx): Promise<string> => this.all(inner, program, `${path}/${label}`);
    switch (part.op) {
      case "all":
      case "race":
      case "any":
      case "allSettled": {
        const branches = part.branches.map((branch, index) => within(branch, String(index)));
        if (part.op === "allSettled") return (await Promise.allSettled(branches)).map(({ status }) => status).join(",");
        return part.op === "all" ? Promise.all(branches) : part.op === "race" ? Promise.race(branches) : Promise.any(branches);
      }
      case "late":
      case "float": {
        const early = within(part.early, "e");
        await within(part.meanwhile, "m");
        return part.op === "late" ? early : "left behind";
      }
      case "scope":
        return ctx.scope((inner) => within(part.body, "s", inner), part.timeoutMs === null ? {} : { timeout: part.timeoutMs });
      case "abort": {
        const controller = new AbortController();
        const body = ctx.scope((inner) => within(part.body, "s", inner), { signal: controller.signal });
        await within(part.meanwhile, "m").catch(() => "went wrong");
        controller.abort(new Error(`aborted at ${path}`));
        return body;
      }
      case "shield":
        return ctx.shield((inner) => within(part.body, "s", inner));
      case "try":
        return within(part.body, "t").catch(String);
      case "call":
        return hops(1).then(() => within(part.body, "c"));
      case "finally":
        try {
          return await within(part.body, "b");
        } finally {
          await ctx.shield((inner) => within(part.cleanup, "f", inner));
        }
      default:
        return part satisfies never;
    }
  }
}

async function hops(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await Promise.resolve();
}
