/** What the process that executes a queued activity must know beside its input. Stored with the task, as JSON text. */
export interface TaskOptions {
  /** How long one attempt may take, in ms; null for no limit. */
  readonly timeoutMs: number | null;
}

export const writeTaskOptions = (options: TaskOptions): string => (options.timeoutMs === null ? "{}" : JSON.stringify(options));

export function readTaskOptions(text: string): TaskOptions {
  const { timeoutMs } = JSON.parse(text) as Partial<TaskOptions>;
  return { timeoutMs: timeoutMs ?? null };
}
