// Many activities at once, in any process that has them; results come back in order, failures do not lose the others.
import { activity, type ActivityRef, launch, workflow, type WorkflowContext } from "perdure";
import { sqlite } from "perdure/sqlite";

const countWords = activity("count-words", (text: string) => {
  if (text === "") throw new Error("nothing to count");
  return text.split(/\s+/).length;
});

/** Helpers are ordinary functions: they take the context, or only the part of it that they use. */
function fanOut<I, R>(
  ctx: Pick<WorkflowContext, "activity">,
  def: ActivityRef<I, R>,
  inputs: readonly I[],
): Promise<PromiseSettledResult<R>[]> {
  return Promise.allSettled(inputs.map((input) => ctx.activity<I, R>(def, input, { retry: { attempts: 1 } })));
}

const survey = workflow("survey", async (ctx, texts: readonly string[]) => {
  const settled = await fanOut(ctx, countWords, texts);
  const counts = settled.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
  return { words: counts.reduce((sum, count) => sum + count, 0), counted: counts.length, failed: settled.length - counts.length };
});

const engine = await launch({ backend: sqlite("fan-out.db"), workflows: [survey], activities: [countWords] });
const texts = Array.from({ length: 100 }, (_, index) => "word ".repeat(index).trim());
console.log(await engine.execute(survey, texts));
await engine.close();

/* Output:
{ words: 4950, counted: 99, failed: 1 }
*/
