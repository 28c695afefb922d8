import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { compile, compilers, emitDeclarations, inPairs, root } from "./compilers.js";
import type { Compiler } from "./compilers.js";

const versions = Object.keys(compilers) as Compiler[];
const here = join(root, "test", "types");
const cases = filesOf(join(here, "cases"));
const mistakes = filesOf(join(here, "mistakes"));

// Below node_modules, so that what is generated here finds the schema libraries.
const cache = join(root, "node_modules", ".cache");
mkdirSync(cache, { recursive: true });
const scratch = mkdtempSync(join(cache, "perdure-types-"));

beforeAll(() => emitDeclarations(scratch), 60_000);
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function filesOf(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ts"))
    .map((name) => join(folder, name));
}

/** The two ends of what users set: nothing from the browser and everything strict, and the default of a new front end. */
const settings = {
  "without DOM, exactOptionalPropertyTypes": { lib: ["es2023"], types: ["node"], exactOptionalPropertyTypes: true },
  "with DOM, without Node's types": { lib: ["es2023", "dom", "dom.iterable"], types: [] },
} as const;

const variants = versions.flatMap((version) =>
  Object.keys(settings).map((setting) => ({ version, setting: setting as keyof typeof settings })),
);

test("what must compile compiles and what must not does not, on every compiler, with and without DOM and exact optional properties", async () => {
  const outputs = await inPairs(variants, async ({ version, setting }) => {
    const folder = join(scratch, `cases-${version}-${setting.replaceAll(/\W+/g, "-")}`);
    const output = await compile(folder, version, { files: [...cases, ...mistakes], options: settings[setting] });
    return { version, setting, output };
  });
  expect(outputs).toEqual(variants.map(({ version, setting }) => ({ version, setting, output: "" })));
}, 180_000);

test("the declarations themselves are sound on every compiler, with library checks on", async () => {
  const files = [join(scratch, "declarations", "index.d.ts"), join(scratch, "declarations", "testing", "fake-context.d.ts")];
  const outputs = await inPairs(versions, (version) =>
    compile(join(scratch, `sound-${version}`), version, { files, options: { skipLibCheck: false, lib: ["es2023", "dom"], types: [] } }),
  );
  expect(outputs).toEqual(versions.map(() => ""));
}, 180_000);

test("the compiler's words for common mistakes", async () => {
  const file = join(scratch, "mistakes", "mistakes.ts");
  mkdirSync(join(scratch, "mistakes"), { recursive: true });
  // Each directive gives way to its own text, which then stands as a title over the message.
  const source = readFileSync(join(here, "mistakes", "mistakes.ts"), "utf8").replaceAll("// @ts-expect-error ", "// title: ");
  writeFileSync(file, source);
  const output = await compile(join(scratch, "words"), "7.0", { files: [file], options: { exactOptionalPropertyTypes: true } });
  const lines = source.split("\n");
  const titles = new Map(lines.flatMap((line, index) => (line.includes("// title: ") ? [[index + 2, line.replace(/.*title: /, "")]] : [])));
  const messages = output.split(/\n(?=\S)/).map((message) => {
    const [, number = "0", text = message] = /^[^(]*\((\d+),\d+\): (.*)$/s.exec(message) ?? [];
    return { line: Number(number), text };
  });
  expect(messages.map(({ line }) => line)).toEqual([...titles.keys()]);
  const report = messages.map(({ line, text }) => `# ${titles.get(line)}\n${lines[line - 1]?.trim()}\n${text}\n`).join("\n");
  await expect(report).toMatchFileSnapshot("mistakes.txt");
}, 60_000);

test("a user's own declarations name the definitions plainly, and keep their types", async () => {
  const folder = join(scratch, "library");
  mkdirSync(folder, { recursive: true });
  const library = join(folder, "library.ts");
  writeFileSync(
    library,
    `import { activity, message, workflow } from "perdure";
import { z } from "zod";
export interface Order { id: number }
export const approved = message<boolean>("approved");
export const dated = message("dated", { input: z.string().transform((text) => new Date(text)) });
export const print = activity("print", async (order: Order) => "label " + order.id);
export const fulfil = workflow("fulfil", async (ctx, order: Order) => {
  const ok = await ctx.receive(approved, { timeout: "1 day", otherwise: "late" });
  return { ok, label: await ctx.activity(print, order) };
});
export const parsed = workflow("parsed", async (_ctx, when) => when.getTime(), { input: z.string().transform((text) => new Date(text)) });
`,
  );
  const emit = { noEmit: false, declaration: true, emitDeclarationOnly: true, outDir: join(folder, "out"), rootDir: folder };
  expect(await compile(join(scratch, "library-emit"), "7.0", { files: [library], options: emit })).toBe("");
  expect(readFileSync(join(folder, "out", "library.d.ts"), "utf8")).toMatchSnapshot();

  const user = join(folder, "user.ts");
  writeFileSync(
    user,
    `import { workflowRef } from "perdure";
import type { Client } from "perdure";
import type { fulfil, parsed } from "./out/library.js";
declare const client: Client;
export async function use(): Promise<[boolean | "late", string, number]> {
  const { ok, label } = await client.execute(workflowRef<typeof fulfil>("fulfil"), { id: 1 });
  return [ok, label, await client.execute(workflowRef<typeof parsed>("parsed"), "2025-01-01")];
}
`,
  );
  const outputs = await inPairs(versions, (version) => compile(join(scratch, `library-${version}`), version, { files: [user] }));
  expect(outputs).toEqual(versions.map(() => ""));
}, 120_000);

test("300 workflows, each with an activity, a message and a start, stay under 400,000 instantiations", async () => {
  const file = join(scratch, "many", "many.ts");
  mkdirSync(join(scratch, "many"), { recursive: true });
  writeFileSync(file, manyWorkflows(300));
  const measured = ["5.9", "7.0"] as const;
  const counts = await inPairs(measured, async (version) => {
    const output = await compile(join(scratch, `many-${version}`), version, { files: [file], flags: ["--extendedDiagnostics"] });
    expect(output).not.toContain("error");
    return Number(/^Instantiations:\s+(\d+)/m.exec(output)?.[1] ?? Number.NaN);
  });
  for (const count of counts) {
    expect(count).toBeGreaterThan(1000);
    expect(count).toBeLessThan(400_000);
  }
}, 120_000);

function manyWorkflows(howMany: number): string {
  const parts = [
    'import { activity, message, workflow } from "perdure"; import type { Client } from "perdure"; declare const client: Client;',
  ];
  for (let n = 0; n < howMany; n++) {
    parts.push(`
interface Order${n} { id: number; items: { sku: string; quantity: number }[]; kind: "order-${n}" }
export const approved${n} = message<{ by: string; at: Date; step: ${n} }>("approved-${n}");
export const print${n} = activity("print-${n}", async (order: Order${n}, { signal }) => ({ label: order.kind, aborted: signal.aborted }), { timeout: "30s" });
export const fulfil${n} = workflow("fulfil-${n}", async (ctx, order: Order${n}) => {
  const payment = await ctx.step("charge", async () => ({ receipt: order.id, total: ${n} as const }));
  const approval = await ctx.receive(approved${n}, { timeout: "3 days", otherwise: undefined });
  if (approval === undefined) return { status: "rejected" as const };
  const [label] = await Promise.all([ctx.activity(print${n}, order), ctx.sleep("1 day")]);
  return { status: "shipped" as const, label, payment, by: approval.by };
});
export async function start${n}(order: Order${n}) {
  const handle = await client.start(fulfil${n}, order, { id: "order-${n}" });
  await handle.send(approved${n}, { by: "me", at: new Date(0), step: ${n} });
  return await handle.result({ timeout: "5s" });
}`);
  }
  return parts.join("\n");
}
