// So many at a time, and the first failure stops the rest: plain code in a scope. What a scope leaves behind when it ends is cancelled.
import { setTimeout as pause } from "node:timers/promises";
import { launch, NonRetryableError, workflow, type WorkflowContext } from "perdure";
import { sqlite } from "perdure/sqlite";

const site = { running: 0, most: 0, aborted: 0 };

async function fetchPage(page: number, signal: AbortSignal): Promise<string> {
  site.most = Math.max(site.most, ++site.running);
  try {
    if (page === 7) throw new NonRetryableError("page 7 is gone");
    await pause(page > 7 ? 10_000 : 10, undefined, { signal });
    return `page ${page}`;
  } catch (error) {
    if (signal.aborted) site.aborted += 1;
    throw error;
  } finally {
    site.running -= 1;
  }
}

/** Maps in order, with at most `limit` under way at any time. */
function mapLimited<I, R>(
  ctx: WorkflowContext,
  items: readonly I[],
  limit: number,
  work: (ctx: WorkflowContext, item: I) => Promise<R>,
): Promise<R[]> {
  return ctx.scope(async (inner) => {
    const results: R[] = [];
    const queue = [...items.entries()];
    const lane = async (): Promise<void> => {
      for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await work(inner, next[1]);
    };
    await Promise.all(Array.from({ length: limit }, lane));
    return results;
  });
}

const crawl = workflow("crawl", async (ctx, pages: readonly number[]) => {
  try {
    const read = await mapLimited(ctx, pages, 3, (inner, page) => inner.step(`page ${page}`, ({ signal }) => fetchPage(page, signal)));
    return `${read.length} pages`;
  } catch (error) {
    return ctx.step("report", () => `stopped: ${(error as Error).message}`);
  }
});

const engine = await launch({ backend: sqlite("concurrency.db"), workflows: [crawl] });
console.log(await engine.execute(crawl, [1, 2, 3, 4, 5, 6]), `at most ${site.most} at a time`);
console.log(await engine.execute(crawl, [8, 9, 7, 10]), `${site.aborted} aborted`);
await engine.close();

/* Output:
6 pages at most 3 at a time
stopped: page 7 is gone 2 aborted
*/
