import type { Store, WorkerKey } from "../../backend/index.js";

/** A pulse that is after nothing but the lease. Does it hold? */
export async function renew(store: Store, worker: WorkerKey, leaseMs: number): Promise<boolean> {
  return (await store.pulse({ worker, leaseMs, runRoutes: [], taskRoutes: [] })).isAlive;
}
