// Queues for kinds of machines: an activity in a queue is taken only by processes that serve it. Both machines are in one program here.
import { activity, activityRef, launch, queue, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const gpu = queue("gpu");

// What every machine has.
const upload = activity("upload", (file: string) => `${file} uploaded`);
// What only the machine with the graphics card has. Others know its name and types, as activityRef<typeof render>("render").
const render = activity("render", (scene: string) => `${scene}.mp4`, { queue: gpu, timeout: { attempt: "1 hour", queued: "10 seconds" } });
const renderRef = activityRef<typeof render>("render");

const film = workflow("film", async (ctx, scenes: readonly string[]) => {
  // A reference has no options of its own: say here what the definition says there.
  const files = await Promise.all(
    scenes.map((scene) => ctx.activity(renderRef, scene, { queue: gpu, timeout: { attempt: "1 hour", queued: "500ms" } })),
  );
  return Promise.all(files.map((file) => ctx.activity(upload, file)));
});

const backend = sqlite("queues.db");
const machine = await launch({ backend, workflows: [film], activities: [upload] });

// Nobody serves the queue yet: the limit for waiting in it runs out.
await machine.execute(film, ["opening"]).catch((error: Error) => console.log((error.cause as Error).name, "in the queue"));

const graphicsMachine = await launch({ backend, activities: [render], queues: [gpu], concurrency: { activities: 1 } });
console.log((await machine.execute(film, ["opening", "chase", "credits"])).join(", "));
await graphicsMachine.close();
await machine.close();

/* Output:
TimeoutError in the queue
opening.mp4 uploaded, chase.mp4 uploaded, credits.mp4 uploaded
*/
