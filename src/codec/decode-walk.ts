import { PerdureError } from "../errors.js";
import type { ErrorRegistry } from "./error-registry.js";

/** The state of decoding one text. */
export interface DecodeWalk {
  readonly registry: ErrorRegistry;
  /** Objects by the id they were defined with. */
  readonly refs: Map<number, object>;
}

/** Makes an object known under its id (0: it has none). */
export function define<T extends object>(walk: DecodeWalk, id: number, object: T): T {
  if (id !== 0) walk.refs.set(id, object);
  return object;
}

/** The stored text itself never appears in a message: it may be a secret, and messages end in logs. */
export function damaged(found: string): never {
  throw new PerdureError(
    "undecodable",
    `A stored payload is damaged or was not written by perdure: it holds ${found}. The stored data was left as it is.`,
    {
      details: { found },
    },
  );
}
