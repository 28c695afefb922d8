/**
 * The text of a failed attempt: that of its error, or, if the attempt had told something with its heartbeats, both as a JSON array. An encoded error is
 * never an array, so the two are told apart.
 */
export const writeFailure = (error: string, details: string | null): string =>
  details === null ? error : JSON.stringify([error, details]);

export function readFailure(text: string): { readonly error: string; readonly details: string | null } {
  if (!text.startsWith("[")) return { error: text, details: null };
  const [error, details] = JSON.parse(text) as [string, string];
  return { error, details };
}
