import type { Store } from "../../backend/backend.js";
import type { Operation, TurnOperation } from "../../backend/operations.js";
import type { MemoryState } from "../../backends/memory/state.js";
import type { Prng } from "./prng.js";
import type { VirtualProcess } from "./virtual-process.js";

export interface Around {
  readonly state: MemoryState;
  readonly prng: Prng;
}

export interface Mutant {
  readonly name: string;
  readonly inside?: (store: Store, around: Around) => Store;
  readonly outside?: (store: Store, process: VirtualProcess) => Store;
}

/** Changes operations on their way into the store. */
export const rewriting = (name: string, rewrite: (operation: Operation, around: Around) => Operation): Mutant => ({
  name,
  inside: (store, around) => ({
    ...store,
    apply: (operations) => store.apply(operations.map((operation) => rewrite(operation, around))) as Promise<never>,
  }),
});

export const changingTurns = (name: string, change: (turn: TurnOperation, around: Around) => TurnOperation): Mutant =>
  rewriting(name, (operation, around) => (operation.type === "turn" ? change(operation, around) : operation));

export const withEffects = (turn: TurnOperation, effects: Partial<TurnOperation["effects"]>): TurnOperation => ({
  ...turn,
  effects: { ...turn.effects, ...effects },
});
