import { isErrorLike } from "./error-registry.js";

/** What is stored when something is thrown. Everything that can be thrown becomes an Error, so that a `catch` sees the same kind of thing live and on replay. */

/** How a thrown value that is not an Error looks in a message. */
function shown(value: unknown): string {
  try {
    const text =
      typeof value === "string"
        ? JSON.stringify(value)
        : typeof value === "object" && value !== null
          ? Object.prototype.toString.call(value)
          : String(value);
    return text.length <= 200 ? text : `${text.slice(0, 200)}…`;
  } catch {
    return "a value that throws when it is read";
  }
}

/**
 * The Error for anything that was thrown. What is not an Error is explained by one, whose `cause` is the value if it can be stored.
 * @param check throws if a value cannot be stored
 */
export function asError(thrown: unknown, check: (value: unknown) => void): Error {
  if (isErrorLike(thrown)) return thrown;
  const error = withoutStack(
    `Something that is not an Error was thrown: ${shown(thrown)}. Throw an Error, so that it has a message and a stack.`,
  );
  if (thrown === undefined) return error;
  try {
    check(thrown);
    error.cause = thrown;
  } catch {
    // The message shows what can be shown of it.
  }
  return error;
}

/** The least that can be said of something thrown; its encoding is small and cannot fail. */
export function barest(thrown: unknown): Error {
  const message = readable(thrown, "message") ?? shown(thrown);
  const error = withoutStack(`${message.slice(0, 2000)} (the rest of this error was too large to store)`);
  error.name = (readable(thrown, "name") ?? "Error").slice(0, 200);
  return error;
}

function readable(thrown: unknown, key: "message" | "name"): string | undefined {
  try {
    const text: unknown = isErrorLike(thrown) ? thrown[key] : undefined;
    return typeof text === "string" ? text : undefined;
  } catch {
    return undefined;
  }
}

/** The stack would be that of the codec: worse than none. */
function withoutStack(message: string): Error {
  const error = new Error(message);
  error.stack = `Error: ${message}`;
  return error;
}
