/** What the process that executes a queued activity must know beside its input. Stored with the task, as JSON text. */
export interface TaskOptions {
  /** How long one attempt may take, in ms; null for no limit. */
  readonly timeoutMs: number | null;
  /** What interceptors carry along. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

export const writeTaskOptions = ({ timeoutMs, headers }: TaskOptions): string =>
  timeoutMs === null && headers === undefined ? "{}" : JSON.stringify({ timeoutMs: timeoutMs ?? undefined, headers });

export function readTaskOptions(text: string): TaskOptions {
  const { timeoutMs, headers } = JSON.parse(text) as Partial<TaskOptions>;
  return { timeoutMs: timeoutMs ?? null, headers };
}
