/** What this backend needs of the `pg` package, as shapes: the package itself is loaded when a store is opened, and a pool can be handed in from any copy of it. */
import { PerdureError } from "../../errors.js";

/** A statement for `pg`. */
export interface PostgresQuery {
  readonly text: string;
  readonly values?: unknown[];
  /** Prepared once for each connection under this name. */
  readonly name?: string;
  readonly rowMode?: "array";
  readonly types?: { getTypeParser(oid: number, format?: any): any };
}

/** What `pg` answers. */
export interface PostgresResult {
  readonly rows: any[];
  readonly command: string;
  readonly rowCount: number | null;
}

/** A connection of `pg`: of a pool, with `release`, or one that was opened for this store. */
export interface PostgresClient {
  query(query: any): Promise<PostgresResult>;
  on(event: string, listener: (...args: any[]) => void): unknown;
  removeListener(event: string, listener: (...args: any[]) => void): unknown;
  /** Of a pool: gives the connection back, or ends it. */
  release?(destroy?: boolean): void;
}

/** A `Pool` of `pg`, as far as it is used. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>;
  readonly options?: { readonly max?: number | undefined };
}

/** A client that was opened for this store. */
export interface OwnClient extends PostgresClient {
  connect(): Promise<unknown>;
  end(): Promise<unknown>;
}

interface PgModule {
  readonly Client: new (config: object) => OwnClient;
}

/** @throws PerdureError `driver_missing` */
export async function loadPg(): Promise<PgModule> {
  let loaded: unknown;
  try {
    loaded = await import("pg");
  } catch (error) {
    throw new PerdureError(
      "driver_missing",
      'The PostgreSQL backend needs the package "pg", which is not installed (or cannot be loaded). Run: npm install pg',
      { cause: error },
    );
  }
  // CommonJS: some loaders show its exports only as the default.
  const module = loaded as { readonly Client?: unknown; readonly default?: unknown };
  return (module.Client === undefined ? module.default : module) as PgModule;
}

/** Values in the text format, as this backend reads them. Whatever parsers the application has set for itself do not count here. */
export const types = {
  getTypeParser: (oid: number): ((text: string) => unknown) => {
    switch (oid) {
      case 16:
        return (text) => text === "t";
      case 17:
        return readBytes;
      // int8 as well: keys are counted, and no table has 2^53 rows.
      case 20:
      case 21:
      case 23:
      case 700:
      case 701:
        return Number;
      default:
        return (text) => text;
    }
  },
};

/** bytea as `\x…`. A copy of its own: a small Buffer is a view of memory that others share. */
const readBytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.slice(2), "hex"));
