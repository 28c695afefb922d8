import { PerdureError } from "../errors.js";

/** The units of a {@link Duration} string, short and long. */
export type DurationUnit =
  | "ms"
  | "s"
  | "m"
  | "h"
  | "d"
  | "w"
  | "second"
  | "seconds"
  | "minute"
  | "minutes"
  | "hour"
  | "hours"
  | "day"
  | "days"
  | "week"
  | "weeks";

/**
 * A length of time: a number of milliseconds, or a number with a unit. Not negative, at most 100 years.
 * A day is 24 hours and a week 7 days, whatever the calendar says.
 * @example 250 · "250ms" · "5m" · "1.5h" · "2 hours" · "3 days"
 */
export type Duration = number | `${number}${DurationUnit}` | `${number} ${DurationUnit}`;

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const week = 7 * day;

const unitMs: ReadonlyMap<string, number> = new Map<DurationUnit, number>([
  ["ms", 1],
  ["s", second],
  ["second", second],
  ["seconds", second],
  ["m", minute],
  ["minute", minute],
  ["minutes", minute],
  ["h", hour],
  ["hour", hour],
  ["hours", hour],
  ["d", day],
  ["day", day],
  ["days", day],
  ["w", week],
  ["week", week],
  ["weeks", week],
]);

/** The longest duration that is taken: 100 years of 365.25 days. Longer ones are far more often a mistake of units than meant. */
export const durationMaxMs = 36_525 * day;

const pattern = /^(\d+(?:\.\d+)?|\.\d+) ?([a-z]+)$/;

/**
 * The milliseconds of a {@link Duration}, rounded up to a whole number: a wait may be late, never early.
 * @param what what the value is for, as the message should call it: "the timeout of ctx.receive"
 * @throws PerdureError `invalid_duration`
 */
export function parseDuration(value: Duration, what: string): number {
  const ms = typeof value === "string" ? parseText(value) : value;
  if (typeof ms !== "number" || !Number.isFinite(ms)) throw refusal(value, what, "is not a duration");
  if (ms < 0) throw refusal(value, what, "is negative");
  if (ms > durationMaxMs) throw refusal(value, what, "is longer than 100 years");
  // Before rounding up, the dust of binary fractions goes: "1.1s" is 1100 ms, not 1101.
  return Math.ceil(Number(ms.toFixed(6)));
}

function parseText(text: string): number | undefined {
  const match = pattern.exec(text.startsWith("-") ? text.slice(1) : text);
  const unit = match === null ? undefined : unitMs.get(match[2] ?? "");
  if (match === null || unit === undefined) return undefined;
  return Number(match[1]) * unit * (text.startsWith("-") ? -1 : 1);
}

function refusal(value: unknown, what: string, problem: string): PerdureError {
  const shown = typeof value === "string" ? JSON.stringify(value.slice(0, 100)) : describe(value);
  return new PerdureError(
    "invalid_duration",
    `${what}: ${shown} ${problem}. Give milliseconds as a number (250), or a number with a unit: "250ms", "30s", "5m", "2 hours", "3 days", "1w".`,
    { details: { what } },
  );
}

function describe(value: unknown): string {
  if (typeof value === "number") return String(value);
  if (value === null) return "null";
  if (value instanceof Date) return "a Date";
  return value === undefined ? "undefined" : `a value of type ${typeof value}`;
}
