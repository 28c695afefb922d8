import type { BoundTransaction, TransactionSource } from "perdure";
import type { Completions } from "perdure/backend";
import type { VirtualTime } from "./virtual-time.js";

export type Row = Record<string, unknown>;

/** What the transactions of a test's application are, whatever the database. */
export interface Sql {
  query(sql: string): Promise<readonly Row[]>;
}

/** The same, of a source on virtual time. */
export interface TestSql extends Sql {
  /** Waits for something that has to do with the test and not with the database: time may pass. */
  wait<T>(promise: Promise<T>): Promise<T>;
}

/** The application that an engine is part of, with tables of its own in the backend's database and in another one. */
export interface Application {
  readonly source: TransactionSource<TestSql>;
  /** Its transactions are in another database than the backend's, which has a table of completions. */
  readonly other: TransactionSource<TestSql>;
  /** Outside of any transaction. */
  query(sql: string): Promise<readonly Row[]>;
  queryOther(sql: string): Promise<readonly Row[]>;
  /** A transaction that is begun by hand. */
  begin(): Promise<OwnTransaction>;
  close(): Promise<void>;
}

export interface OwnTransaction {
  readonly sql: Sql;
  readonly connection: unknown;
  end(how: "COMMIT" | "ROLLBACK"): Promise<void>;
}

export interface ApplicationParts extends Omit<Application, "source" | "other"> {
  readonly source: TransactionSource<Sql>;
  readonly other: TransactionSource<Sql>;
  /** Before the work of each transaction. */
  readonly prepare?: (sql: Sql) => Promise<void>;
}

/** Keeps the clock standing while the database works. */
export function applicationOn(time: VirtualTime, { prepare, ...parts }: ApplicationParts): Application {
  const held = async <T>(action: () => Promise<T>): Promise<T> => {
    const letGo = time.hold();
    try {
      return await action();
    } finally {
      letGo();
    }
  };
  const heldCompletions = (completions: Completions<Sql> | undefined): Completions<TestSql> | undefined =>
    completions && {
      find: (runId, command) => held(() => completions.find(runId, command)),
      record: (transaction, completion) => completions.record(transaction, completion),
    };
  const heldSource = (source: TransactionSource<Sql>): TransactionSource<TestSql> => ({
    ...source,
    use: (transaction): BoundTransaction => source.use(transaction),
    completions: heldCompletions(source.completions),
    run: async (work, options) => {
      let letGo = time.hold();
      const wait = async <T>(promise: Promise<T>): Promise<T> => {
        letGo();
        try {
          return await promise;
        } finally {
          letGo = time.hold();
        }
      };
      try {
        return await source.run(async (sql) => {
          await prepare?.(sql);
          return work(Object.assign(sql, { wait }));
        }, options);
      } finally {
        letGo();
      }
    },
  });
  return {
    source: heldSource(parts.source),
    other: heldSource(parts.other),
    query: (sql) => held(() => parts.query(sql)),
    queryOther: (sql) => held(() => parts.queryOther(sql)),
    begin: () =>
      held(async () => {
        const begun = await parts.begin();
        await prepare?.(begun.sql);
        return {
          sql: { query: (sql) => held(() => begun.sql.query(sql)) },
          connection: begun.connection,
          end: (how) => held(() => begun.end(how)),
        };
      }),
    close: parts.close,
  };
}
