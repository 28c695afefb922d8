/** The one question of an idle worker. */
import type { Pulse, Store } from "../../backend/index.js";
import type { Hall } from "./claims.js";
import type { Liveness } from "./liveness.js";
import type { Tables } from "./schema.js";
import { nowSql, number, numberOf, pieces, text } from "./sql.js";
import { casualtiesOf, casualtyStatement } from "./workers.js";

type PulseOptions = Parameters<Store["pulse"]>[0];

/** Two statements in one packet when the lease is prolonged, one when it is not: MySQL cannot write and read in one. */
export async function pulse(hall: Hall, live: Liveness, options: PulseOptions, lockName: string | undefined): Promise<Pulse> {
  const { tables, names } = hall;
  const { worker, leaseMs, runRoutes, taskRoutes } = options;
  const [runs, tasks] = [await names.idsOf(runRoutes), await names.idsOf(taskRoutes)];
  const here = await live.place();
  const look = [casualtyStatement(tables, here), ...dueStatements(tables, runs, tasks)].join("\nUNION ALL ");
  const renew = leaseMs === null ? [] : [renewStatement(tables, options.worker, leaseMs, here)];
  const askedMs = hall.monotonicMs();
  const answers = await live.ask([...renew, look]);
  const rows = answers.at(-1)?.rows ?? [];
  const { workers, owners } = casualtiesOf(hall, rows, askedMs);
  const own = workers.find(({ key }) => key === worker);
  // Its connection was lost, and the server had not noticed when another one asked for the lock.
  if (own?.isHeld === false && lockName !== undefined) await live.hold(lockName);
  const isDead = (one: (typeof workers)[number]): boolean => one.key !== worker && (one.isExpired || (one.isHere && !one.isHeld));
  const living = new Set(workers.map(({ key }) => key));
  const earliest = (kind: number): number | null => {
    const times = rows.flatMap(([of, time]) => (numberOf(of) === kind ? [numberOf(time)] : []));
    return times.length === 0 ? null : Math.min(...times);
  };
  return {
    isAlive: leaseMs === null ? own?.isExpired === false : answers[0]?.affected === 1,
    ownsAny: owners.includes(worker),
    othersOwn: owners.some((owner) => owner !== worker),
    nextRunDueAt: earliest(2),
    nextTaskDueAt: earliest(3),
    hasCasualties: workers.some(isDead) || owners.some((owner) => owner !== worker && !living.has(owner)),
    hasExpired: earliest(4) !== null,
  };
}

/** `beat` always changes, so that the count of rows is the same whether the driver asks for found rows or for changed ones. */
const renewStatement = (tables: Tables, worker: number, leaseMs: number, here: string | null): string =>
  `UPDATE ${tables.worker} SET lease_until=${nowSql}+${number(leaseMs)}, beat=(beat+1) MOD 1000000, locked_on=IF(IS_USED_LOCK(lock_name)=CONNECTION_ID(),${text(here)},NULL)
WHERE id=${worker} AND lease_until>${nowSql}`;

/** One look at the edge of each part of an index, whatever its size. */
const dueStatements = (tables: Tables, runs: readonly number[], tasks: readonly number[]): readonly string[] => [
  ...pieces(runs).map(
    (piece) =>
      `SELECT 2, MIN(due_at), NULL, NULL, NULL FROM ${tables.run} FORCE INDEX (due) WHERE lane IN (0,1,2,3) AND route IN (${piece.join(",")}) AND due_at IS NOT NULL GROUP BY lane, route`,
  ),
  ...pieces(tasks).map(
    (piece) =>
      `SELECT 3, MIN(claimable_at), NULL, NULL, NULL FROM ${tables.task} FORCE INDEX (due) WHERE route IN (${piece.join(",")}) AND claimable_at IS NOT NULL GROUP BY route`,
  ),
  `(SELECT 4, expires_at, NULL, NULL, NULL FROM ${tables.task} FORCE INDEX (expiring) WHERE expires_at<=${nowSql} ORDER BY expires_at LIMIT 1)`,
];
