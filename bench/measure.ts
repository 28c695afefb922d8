import { serverCpuSoFarMs } from "./server-cpu.js";

/** Milliseconds on the machine's monotonic clock, which all its processes share: stamps of two processes may be subtracted. */
export const stampMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** The value below which `share` (0 to 1) of the samples lie. */
export function percentile(samples: readonly number[], share: number): number {
  if (samples.length === 0) throw new Error("no samples");
  const sorted = samples.toSorted((a, b) => a - b);
  const index = Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1));
  return sorted[index] ?? Number.NaN;
}

export const median = (samples: readonly number[]): number => percentile(samples, 0.5);

/** Rounds to four significant digits: more would be noise. Whole numbers keep all of theirs. */
export const rounded = (value: number): number =>
  Number.isInteger(value) ? value : Math.abs(value) >= 1000 ? Math.round(value) : Number(value.toPrecision(4));

export interface Span {
  readonly wallMs: number;
  /** User and system time of this process, all its threads. */
  readonly cpuMs: number;
  /** The same of the database server, where there is one that can be asked. */
  readonly serverCpuMs: number | undefined;
}

/** Starts a stop-watch for wall and CPU time. */
export function stopwatch(serverPid?: number): () => Span {
  const serverBefore = serverPid === undefined ? 0 : serverCpuSoFarMs(serverPid);
  const startMs = stampMs();
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    const wallMs = stampMs() - startMs;
    return {
      wallMs,
      cpuMs: (user + system) / 1000,
      serverCpuMs: serverPid === undefined ? undefined : serverCpuSoFarMs(serverPid) - serverBefore,
    };
  };
}

/** CPU for a thousand of whatever was done `count` times in it. */
export function cpuPer1000({ cpuMs, serverCpuMs }: Span, count: number): Readonly<Record<string, number>> {
  const per1000 = (ms: number): number => (ms / count) * 1000;
  return { nodeCpuMsPer1000: per1000(cpuMs), ...(serverCpuMs !== undefined && { serverCpuMsPer1000: per1000(serverCpuMs) }) };
}

/** Runs `work` for 0 … total - 1 with at most `width` at once, and gives the time each took. */
export async function inFlight(total: number, width: number, work: (index: number) => Promise<unknown>): Promise<readonly number[]> {
  const latencies: number[] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < total) {
      const index = next++;
      const startMs = stampMs();
      await work(index);
      latencies.push(stampMs() - startMs);
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, total) }, lane));
  return latencies;
}

/** Runs `work` with `width` at once for this long, each lane at least once; what has begun is waited for. Gives the time each took. */
export async function inFlightFor(
  durationMs: number,
  width: number,
  work: (index: number) => Promise<unknown>,
): Promise<readonly number[]> {
  const latencies: number[] = [];
  const endMs = stampMs() + durationMs;
  let next = 0;
  const lane = async (): Promise<void> => {
    do {
      const startMs = stampMs();
      await work(next++);
      latencies.push(stampMs() - startMs);
    } while (stampMs() < endMs);
  };
  await Promise.all(Array.from({ length: width }, lane));
  return latencies;
}

export const delay = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** Collects garbage, twice, because finalizers of the first round free more. Needs `--expose-gc`. */
export async function collectGarbage(): Promise<void> {
  for (let round = 0; round < 2; round++) {
    globalThis.gc?.();
    await delay(20);
  }
}

/** Bytes that this process's JavaScript keeps alive, on and off the heap. */
export function liveBytes(): number {
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
