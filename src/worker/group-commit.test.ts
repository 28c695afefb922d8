import { noEffects } from "../backend/no-effects.js";
import { describe, expect, it } from "vitest";
import type { Store } from "../backend/backend.js";
import { StoreFailure } from "../backend/failures.js";
import type { Operation, ResumeOperation } from "../backend/operations.js";
import { systemRuntime } from "../platform/runtime.js";
import { GroupCommit } from "./group-commit.js";

const resume = (workflowId: string): ResumeOperation => ({ type: "resume", target: { workflowId } });
const idOf = (operation: Operation): string =>
  operation.type === "resume" && "workflowId" in operation.target ? operation.target.workflowId : "";
const failure = (outcome: "none" | "unknown", transient: boolean) => new StoreFailure("backend_failed", "no", { outcome, transient });

/** A group commit over a store that does nothing but what `apply` is told to. */
function open(apply: (ids: readonly string[], call: number) => void) {
  const batches: string[][] = [];
  const store = {
    concurrentApplies: { max: 1, operationsMin: 1 },
    apply: (operations: readonly Operation[]) => {
      const ids = operations.map(idOf);
      batches.push(ids);
      apply(ids, batches.length);
      return Promise.resolve(operations.map(() => ({ status: "resumed" })));
    },
  } as unknown as Store;
  const troubles: number[] = [];
  const commits = new GroupCommit({ store, runtime: systemRuntime(), onTrouble: (_, attempt) => troubles.push(attempt) });
  return { commits, batches, troubles };
}

/** A group commit over a store that takes two batches at once, and answers when it is told to. */
function openPair(operationsMin: number) {
  const batches: { readonly ids: readonly string[]; answer(error?: StoreFailure): void }[] = [];
  const store = {
    concurrentApplies: { max: 2, operationsMin },
    apply: (operations: readonly Operation[]) =>
      new Promise((resolve, reject) => {
        const answer = (error?: StoreFailure): void =>
          error === undefined ? resolve(operations.map(() => ({ status: "resumed" }))) : reject(error);
        batches.push({ ids: operations.map(idOf), answer });
      }),
  } as unknown as Store;
  const commits = new GroupCommit({ store, runtime: systemRuntime(), onTrouble: () => undefined });
  return { commits, batches };
}

const rounds = async (): Promise<void> => {
  for (let round = 0; round < 3; round++) await new Promise((resolve) => setImmediate(resolve));
};

describe("group commit", () => {
  it("puts what arrives together into one commit, in order", async () => {
    const { commits, batches } = open(() => undefined);
    await Promise.all(["a", "b", "c"].map((id) => commits.submit(resume(id))));
    expect(batches).toEqual([["a", "b", "c"]]);
  });

  it("collects the next batch while one is in flight", async () => {
    const { commits, batches } = open((ids) => {
      if (ids.includes("a")) for (const id of ["c", "d"]) later.push(commits.submit(resume(id)));
    });
    const later: Promise<unknown>[] = [];
    await Promise.all(["a", "b"].map((id) => commits.submit(resume(id))));
    await Promise.all(later);
    expect(batches).toEqual([
      ["a", "b"],
      ["c", "d"],
    ]);
  });

  it("divides what waits by rows, and never an operation", async () => {
    const { commits, batches } = open(() => undefined);
    const ids = Array.from({ length: 4500 }, (_, index) => String(index));
    await Promise.all(ids.map((id) => commits.submit(resume(id))));
    expect(batches.map(({ length }) => length)).toEqual([1000, 1000, 1000, 1000, 500]);
    expect(batches.flat()).toEqual(ids);
    const events = Array.from({ length: 5000 }, (_, index) => ({ seq: index + 2, at: 0, event: "{}", payload: null }));
    const effects = { ...noEffects, events, inboxSeen: 0, next: { state: "driving" } } as const;
    const turn = { type: "turn", key: 1, epoch: 1, lastSeq: 1, effects } as const;
    await Promise.all([commits.submit(turn), commits.submit(resume("small")), commits.submit(turn)]);
    expect(batches.slice(5).map(({ length }) => length)).toEqual([1, 1, 1]);
  });

  it("tries a batch again while nothing was written and it may pass", async () => {
    const { commits, batches, troubles } = open((_, call) => {
      if (call < 3) throw failure("none", true);
    });
    await Promise.all(["a", "b"].map((id) => commits.submit(resume(id))));
    expect(batches).toEqual([
      ["a", "b"],
      ["a", "b"],
      ["a", "b"],
    ]);
    expect(troubles).toEqual([1, 2]);
  });

  it("halves a batch until the culprit stands alone, and refuses only that one", async () => {
    const { commits } = open((ids) => {
      if (ids.includes("poison")) throw failure("none", false);
    });
    const results = await Promise.allSettled(["a", "b", "poison", "c", "d"].map((id) => commits.submit(resume(id))));
    expect(results.map((result) => result.status)).toEqual(["fulfilled", "fulfilled", "rejected", "fulfilled", "fulfilled"]);
  });

  it("never sends a batch again whose outcome nobody knows", async () => {
    const { commits, batches } = open((_, call) => {
      if (call === 1) throw failure("unknown", true);
    });
    const results = await Promise.allSettled(["a", "b"].map((id) => commits.submit(resume(id))));
    expect(results.map((result) => result.status)).toEqual(["rejected", "rejected"]);
    expect(batches).toHaveLength(1);
    await commits.submit(resume("c"));
    expect(batches).toHaveLength(2);
  });

  it("takes an unforeseen error for an unknown outcome", async () => {
    const { commits } = open(() => {
      throw new TypeError("a bug in the store");
    });
    await expect(commits.submit(resume("a"))).rejects.toMatchObject({ code: "internal", outcome: "unknown" });
  });

  it("gives up retrying once it is closed", async () => {
    const { commits, batches } = open(() => {
      throw failure("none", true);
    });
    commits.close();
    await expect(commits.submit(resume("a"))).rejects.toMatchObject({ code: "backend_failed" });
    await commits.idle();
    expect(batches).toHaveLength(1);
  });

  it("divides a large batch where the store takes two, and keeps the halves apart", async () => {
    const { commits, batches } = openPair(2);
    const submitted = ["a", "b", "c", "d", "e"].map((id) => commits.submit(resume(id)));
    await rounds();
    expect(batches.map(({ ids }) => ids.join(""))).toEqual(["abc", "de"]);
    submitted.push(...["f", "g", "h"].map((id) => commits.submit(resume(id))));
    await rounds();
    expect(batches).toHaveLength(2);
    batches[0]?.answer();
    await rounds();
    expect(batches.map(({ ids }) => ids.join(""))).toEqual(["abc", "de", "fgh"]);
    for (const { answer } of batches) answer();
    await Promise.all(submitted);
    await commits.idle();
  });

  it("begins no small batch beside another, and keeps what would be small together", async () => {
    const { commits, batches } = openPair(3);
    const submitted = ["a", "b", "c"].map((id) => commits.submit(resume(id)));
    await rounds();
    submitted.push(commits.submit(resume("d")), commits.submit(resume("e")));
    await rounds();
    expect(batches.map(({ ids }) => ids.join(""))).toEqual(["abc"]);
    batches[0]?.answer();
    await rounds();
    expect(batches.map(({ ids }) => ids.join(""))).toEqual(["abc", "de"]);
    batches[1]?.answer();
    await Promise.all(submitted);
  });

  it("begins nothing beside a batch that is being tried again", async () => {
    const { commits, batches } = openPair(1);
    const submitted = [commits.submit(resume("a"))];
    await rounds();
    batches[0]?.answer(failure("none", true));
    await rounds();
    submitted.push(commits.submit(resume("b")));
    while (batches.length < 2) await rounds();
    expect(batches.map(({ ids }) => ids.join(""))).toEqual(["a", "a"]);
    batches[1]?.answer();
    while (batches.length < 3) await rounds();
    batches[2]?.answer();
    await Promise.all(submitted);
  });
});
