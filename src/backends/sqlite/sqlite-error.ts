/**
 * The one error shape of every SQLite driver. `code` is the extended symbolic name ("SQLITE_IOERR_FSYNC"), `primary` its family ("SQLITE_IOERR"),
 * `extendedCode` SQLite's number for `code`.
 */
export class SqliteError extends Error {
  readonly code: string;
  readonly primary: SqlitePrimaryCode;
  readonly extendedCode: number;
  constructor(extendedCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "SqliteError";
    this.extendedCode = extendedCode;
    this.code = nameOfCode(extendedCode);
    this.primary = primaryCodes[extendedCode & 0xff] ?? "SQLITE_ERROR";
  }
}

/** Is this a SQLite error (of this family)? */
export function isSqliteError(error: unknown, primary?: SqlitePrimaryCode): error is SqliteError {
  return error instanceof SqliteError && (primary === undefined || error.primary === primary);
}

const primaryCodes = [
  "SQLITE_OK",
  "SQLITE_ERROR",
  "SQLITE_INTERNAL",
  "SQLITE_PERM",
  "SQLITE_ABORT",
  "SQLITE_BUSY",
  "SQLITE_LOCKED",
  "SQLITE_NOMEM",
  "SQLITE_READONLY",
  "SQLITE_INTERRUPT",
  "SQLITE_IOERR",
  "SQLITE_CORRUPT",
  "SQLITE_NOTFOUND",
  "SQLITE_FULL",
  "SQLITE_CANTOPEN",
  "SQLITE_PROTOCOL",
  "SQLITE_EMPTY",
  "SQLITE_SCHEMA",
  "SQLITE_TOOBIG",
  "SQLITE_CONSTRAINT",
  "SQLITE_MISMATCH",
  "SQLITE_MISUSE",
  "SQLITE_NOLFS",
  "SQLITE_AUTH",
  "SQLITE_FORMAT",
  "SQLITE_RANGE",
  "SQLITE_NOTADB",
  "SQLITE_NOTICE",
  "SQLITE_WARNING",
] as const;

export type SqlitePrimaryCode = (typeof primaryCodes)[number];

/** Suffixes of the extended codes by family, in SQLite's own numbering: the n-th entry is `family | (n + 1) << 8`. */
const extendedSuffixes: Partial<Record<SqlitePrimaryCode, string>> = {
  SQLITE_ERROR: "MISSING_COLLSEQ RETRY SNAPSHOT",
  SQLITE_ABORT: "_ ROLLBACK",
  SQLITE_BUSY: "RECOVERY SNAPSHOT TIMEOUT",
  SQLITE_LOCKED: "SHAREDCACHE VTAB",
  SQLITE_READONLY: "RECOVERY CANTLOCK ROLLBACK DBMOVED CANTINIT DIRECTORY",
  SQLITE_IOERR:
    "READ SHORT_READ WRITE FSYNC DIR_FSYNC TRUNCATE FSTAT UNLOCK RDLOCK DELETE BLOCKED NOMEM ACCESS CHECKRESERVEDLOCK LOCK CLOSE DIR_CLOSE SHMOPEN SHMSIZE SHMLOCK SHMMAP SEEK DELETE_NOENT MMAP GETTEMPPATH CONVPATH VNODE AUTH BEGIN_ATOMIC COMMIT_ATOMIC ROLLBACK_ATOMIC DATA CORRUPTFS IN_PAGE",
  SQLITE_CORRUPT: "VTAB SEQUENCE INDEX",
  SQLITE_CANTOPEN: "NOTEMPDIR ISDIR FULLPATH CONVPATH DIRTYWAL SYMLINK",
  SQLITE_CONSTRAINT: "CHECK COMMITHOOK FOREIGNKEY FUNCTION NOTNULL PRIMARYKEY TRIGGER UNIQUE VTAB ROWID PINNED DATATYPE",
  SQLITE_NOTICE: "RECOVER_WAL RECOVER_ROLLBACK",
};

function buildNames(): Map<number, string> {
  const names = new Map<number, string>();
  primaryCodes.forEach((primary, family) => {
    names.set(family, primary);
    extendedSuffixes[primary]?.split(" ").forEach((suffix, index) => names.set(family | ((index + 1) << 8), `${primary}_${suffix}`));
  });
  return names;
}

const namesByCode = buildNames();
const codesByName = new Map(Array.from(namesByCode, ([code, name]) => [name, code] as const));

function nameOfCode(code: number): string {
  return namesByCode.get(code) ?? primaryCodes[code & 0xff] ?? "SQLITE_ERROR";
}

/** SQLite's number for a symbolic name, or undefined for a name that is not SQLite's. */
export function codeOfName(name: unknown): number | undefined {
  return typeof name === "string" ? codesByName.get(name) : undefined;
}

/** Result codes that this package raises by itself. */
export const sqliteCodes = { error: 1, busy: 5, cantopen: 14, mismatch: 20, misuse: 21 } as const;
