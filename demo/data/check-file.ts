// The checks, as data: each looks at what was found and says what it thinks of it. A file with an error needs a person to let it pass.
import type { CellType } from "./classify-cell.js";
import type { DeclaredField, Declaration } from "./dataset.js";
import type { ColumnProfile } from "./profile-column.js";

export interface Finding {
  readonly severity: "error" | "warning";
  /** The check's name: "missing values", "type mix". */
  readonly check: string;
  readonly column?: string | undefined;
  readonly message: string;
}

/** Everything that the checks look at. */
export interface FileFacts {
  readonly bytes: number;
  readonly gitHash: string;
  readonly rows: number;
  readonly duplicateRows: number;
  readonly faults: readonly string[];
  readonly profiles: readonly ColumnProfile[];
}

/** The limits, in one place: shares of all cells or rows. */
export const limits = {
  missingError: 0.25,
  missingWarning: 0.05,
  duplicatesError: 0.01,
  outliersWarning: 0.02,
  misfitsError: 0.001,
} as const;

export function checkFile(facts: FileFacts, declaration: Declaration | undefined): readonly Finding[] {
  const findings = [
    ...facts.faults.map((message): Finding => ({ severity: "error", check: "structure", message })),
    ...checkIntegrity(facts, declaration),
    ...checkDuplicates(facts),
    ...checkFields(facts.profiles, declaration?.fields ?? []),
    ...facts.profiles.filter(({ name }) => name !== "(bytes)").flatMap((profile) => checkColumn(profile)),
  ];
  return findings.toSorted((a, b) => Number(a.severity === "warning") - Number(b.severity === "warning"));
}

function checkIntegrity(facts: FileFacts, declaration: Declaration | undefined): readonly Finding[] {
  const check = "integrity";
  if (facts.bytes === 0) return [{ severity: "error", check, message: "the file is empty" }];
  if (declaration === undefined) return [{ severity: "warning", check, message: "the package's catalogue does not list this file" }];
  if (declaration.bytes !== facts.bytes) {
    return [{ severity: "error", check, message: `has ${facts.bytes} bytes where the catalogue says ${declaration.bytes}` }];
  }
  if (declaration.gitHash !== undefined && declaration.gitHash !== facts.gitHash) {
    return [{ severity: "error", check, message: "its hash is not the one in the catalogue: the content was changed" }];
  }
  return [];
}

function checkDuplicates({ rows, duplicateRows }: FileFacts): readonly Finding[] {
  if (duplicateRows === 0) return [];
  const severity = duplicateRows / rows > limits.duplicatesError ? "error" : "warning";
  return [
    { severity, check: "duplicates", message: `${share(duplicateRows, rows)} of the rows are copies of an earlier one (${duplicateRows})` },
  ];
}

/** Which types a declared type may look like. Text may look like anything. */
const fitting: Readonly<Record<string, readonly CellType[]>> = {
  integer: ["integer"],
  number: ["integer", "number"],
  boolean: ["boolean"],
  date: ["date"],
  datetime: ["date"],
};

function checkFields(profiles: readonly ColumnProfile[], fields: readonly DeclaredField[]): readonly Finding[] {
  const check = "declared schema";
  const readable = profiles.filter(({ name }) => !name.startsWith("("));
  if (fields.length === 0 || readable.length === 0) return [];
  const found = new Map(readable.map((profile) => [profile.name, profile]));
  const declared = new Set(fields.map(({ name }) => name));
  const findings: Finding[] = [];
  for (const { name, type } of fields) {
    const profile = found.get(name);
    if (profile === undefined)
      findings.push({ severity: "error", check, column: name, message: `is declared as ${type} and is not there` });
    else findings.push(...checkDeclaredType(profile, type));
  }
  for (const { name } of readable)
    if (!declared.has(name)) findings.push({ severity: "warning", check, column: name, message: "is not declared" });
  return findings;
}

function checkDeclaredType(profile: ColumnProfile, declared: string): readonly Finding[] {
  const types = fitting[declared];
  if (types === undefined) return [];
  const present = profile.count - profile.missing;
  const misfits = present - types.reduce((sum, type) => sum + (profile.types[type] ?? 0), 0);
  if (misfits === 0) return [];
  const severity = misfits / present > limits.misfitsError && declared !== "date" && declared !== "datetime" ? "error" : "warning";
  const example = profile.odd[0];
  const message = `${share(misfits, present)} of its values do not look like the declared ${declared}${example === undefined ? "" : `, e.g. \`${example}\``}`;
  return [{ severity, check: "declared schema", column: profile.name, message }];
}

function checkColumn(profile: ColumnProfile): readonly Finding[] {
  const column = profile.name;
  const present = profile.count - profile.missing;
  const findings: Finding[] = [];
  const add = (severity: Finding["severity"], check: string, message: string) => findings.push({ severity, check, column, message });

  if (present === 0) add("warning", "missing values", "holds no values at all");
  else if (profile.missing / profile.count > limits.missingError)
    add("error", "missing values", `${share(profile.missing, profile.count)} of the values are missing`);
  else if (profile.missing / profile.count > limits.missingWarning)
    add("warning", "missing values", `${share(profile.missing, profile.count)} of the values are missing`);

  if (profile.odd.length > 0) {
    const kinds = (Object.entries(profile.types) as [CellType, number][]).map(([type, count]) => `${count} × ${type}`).join(", ");
    // A column of text in which some values look like numbers or dates is text; a column of numbers with some text is not.
    const severity = profile.type === "text" ? "warning" : "error";
    add(severity, "type mix", `holds ${kinds}, e.g. ${profile.odd.map((value) => `\`${value}\``).join(", ")}`);
  }
  const { numbers } = profile;
  if (numbers !== undefined && numbers.outliers / present > limits.outliersWarning) {
    add(
      "warning",
      "outliers",
      `${share(numbers.outliers, present)} lie far outside the middle half (${figure(numbers.q1)} to ${figure(numbers.q3)})`,
    );
  }
  if (numbers !== undefined && offGlobe(column, numbers))
    add("error", "range", `goes from ${figure(numbers.min)} to ${figure(numbers.max)}`);
  if (profile.distinct === 1 && present > 1) add("warning", "constant", `holds one value only: \`${profile.common[0]?.value ?? ""}\``);
  if (profile.grouped > 0 && profile.type === "number") {
    add("error", "number format", `${profile.grouped} of ${present} numbers are written with thousands separators`);
  }
  if (profile.padded > 0) add("warning", "stray blanks", `${profile.padded} values begin or end with a blank`);
  if (/^(?:.*[._ ])?id$/i.test(column) && profile.distinct < present) {
    add("warning", "keys", `looks like a key, but ${present - profile.distinct} values appear again`);
  }
  return findings;
}

function offGlobe(column: string, { min, max }: { readonly min: number; readonly max: number }): boolean {
  const limit = /^(?:.*[._ ])?lat(?:itude)?$/i.test(column) ? 90 : /^(?:.*[._ ])?(?:lon|lng|longitude)$/i.test(column) ? 180 : undefined;
  return limit !== undefined && (min < -limit || max > limit);
}

/** "3 %", "<0.1 %". */
export function share(part: number, whole: number): string {
  const percent = whole === 0 ? 0 : (100 * part) / whole;
  if (percent > 0 && percent < 0.1) return "< 0.1 %";
  return `${percent < 10 ? Number(percent.toFixed(1)) : Math.round(percent)} %`;
}

/** A number as people write it. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return Number.isInteger(value)
    ? value.toLocaleString("en-US")
    : Number(value.toPrecision(4)).toLocaleString("en-US", { maximumSignificantDigits: 4 });
}
