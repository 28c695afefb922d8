import type { Work } from "./lanes.js";
import type { Row } from "./session.js";

type Reader = (rows: readonly Row[]) => void;

/** Statements to be sent together, and what becomes of their rows. */
export interface StatementPlan {
  add(sql: string, read?: Reader): void;
  /**
   * A read without a lock, of rows that do not change or that only the holder of a lock which this transaction has can change. Its rows may be given twice: as
   * the transaction sees them, and then as they are.
   */
  look(sql: string, read: Reader): void;
  run(work: Work): Promise<void>;
}

export function statementPlan(): StatementPlan {
  const steps: { readonly sql: string; readonly read: Reader | undefined; readonly isLook: boolean }[] = [];
  return {
    add: (sql, read) => void steps.push({ sql, read, isLook: false }),
    look: (sql, read) => void steps.push({ sql, read, isLook: true }),
    async run(work) {
      if (steps.length === 0) return;
      const answers = await work.run(steps.map(({ sql }) => sql));
      for (const [index, { read }] of steps.entries()) read?.(answers[index]?.rows ?? []);
      const looks = work.readFresh === null ? [] : steps.filter(({ isLook }) => isLook);
      if (looks.length === 0) return;
      const fresh = await work.readFresh?.(looks.map(({ sql }) => sql));
      for (const [index, { read }] of looks.entries()) read?.(fresh?.[index]?.rows ?? []);
    },
  };
}
