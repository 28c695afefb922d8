// One half of an application in two programs: this one has the code and runs the workflows. Start as many of it as you like.
import { setTimeout as pause } from "node:timers/promises";
import { activity, launch, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

const resize = activity("resize", async (image: string, { signal }) => {
  await pause(20, undefined, { signal });
  return `${image}@2x`;
});

export const gallery = workflow("gallery", async (ctx, images: readonly string[]) => {
  const resized = await Promise.all(images.map((image) => ctx.activity(resize, image)));
  return ctx.step("publish", () => ({ published: resized }));
});

const engine = await launch({ backend: sqlite("split.db"), workflows: [gallery], activities: [resize] });
process.once("SIGTERM", () => void engine.close());
