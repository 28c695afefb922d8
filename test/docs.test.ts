// The pages must not rot: links lead somewhere, every example is short and in the table, the numbers are those of the code, and the snippets compile.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { afterAll, expect, test } from "vitest";
import { defaultLimits } from "../src/codec/limits.js";
import { crashesMax, historyEventsMax, historySuggestContinue, retryDefaults } from "../src/core/defaults.js";
import type { EventKind } from "../src/core/events.js";
import { nameLengthMax } from "../src/core/names.js";
import { compile, emitDeclarations, root } from "./types/compilers.js";

const pages = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", ...readdirSync(join(root, "docs")).map((name) => `docs/${name}`)];
const textOf = (page: string): string => readFileSync(join(root, page), "utf8");
const language = textOf("docs/language.md");

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = withoutFences(text).matchAll(/^#{1,6} (.+)$/gm);
  return new Set(
    [...headings].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\- _]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}

const withoutFences = (text: string): string => text.replaceAll(/^```[\s\S]*?^```$/gm, "");

/** The links of a page that lead nowhere. */
function deadLinks(page: string, text: string): string[] {
  const targets = [...withoutFences(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = ""]) => target);
  return targets.filter((target) => {
    if (/^[a-z]+:/.test(target)) return false;
    const [file = "", anchor] = target.split("#");
    const path = join(root, dirname(page), file);
    if (!existsSync(path)) return true;
    return anchor !== undefined && !anchorsOf(file === "" ? text : readFileSync(path, "utf8")).has(anchor);
  });
}

test("a link that leads nowhere is found", () => {
  const good = "## A `b` c, d\n[1](#a-b-c-d) [2](language.md) [3](language.md#steps) [4](https://x.y)";
  expect(deadLinks("docs/language.md", good)).toEqual([]);
  const bad = ["#a-b", "nowhere.md", "language.md#stairs"];
  expect(deadLinks("docs/language.md", bad.map((target) => `[x](${target})`).join(" "))).toEqual(bad);
});

test.each(pages)("the links of %s lead somewhere", (page) => {
  expect(deadLinks(page, textOf(page))).toEqual([]);
});

test("every example is in the table of the language, and has at most 60 lines", () => {
  const examples = readdirSync(join(root, "examples")).filter((name) => name !== "main.ts");
  expect(examples.length).toBeGreaterThan(20);
  expect(examples.filter((name) => !language.includes(`](../examples/${name})`))).toEqual([]);
  expect(examples.filter((name) => textOf(`examples/${name}`).trimEnd().split("\n").length > 60)).toEqual([]);
});

test("every feature in the table has a section of its own", () => {
  const table = language.slice(0, language.indexOf("\n\nNot there yet"));
  const linked = new Set([...table.matchAll(/\(#([^)]+)\)/g)].map(([, anchor]) => anchor));
  const others = ["effects", "composition", "control", "evolution", "defaults", "the-words-of-others", "sharp-edges", "the-whole-language"];
  expect([...anchorsOf(language)].filter((anchor) => !linked.has(anchor))).toEqual(expect.arrayContaining(others));
  expect([...anchorsOf(language)].filter((anchor) => !linked.has(anchor) && !others.includes(anchor))).toEqual([]);
});

test.each<[what: string, says: string]>([
  ["attempts of a step or activity", `${retryDefaults.attempts}, the first included`],
  [
    "back-off",
    `${retryDefaults.backoffMs / 1000} s, doubled each time, at most ${retryDefaults.maxBackoffMs / 60_000} min, shortened at random by up to a fifth`,
  ],
  [
    "one encoded value",
    `${defaultLimits.maxBytes / 1024 / 1024} MiB, ${defaultLimits.maxDepth} levels, ${defaultLimits.maxNodes.toLocaleString("en")} values`,
  ],
  ["names and ids; text of an attribute", `${nameLengthMax.toLocaleString("en")} characters; 500`],
  [
    "history of a run",
    `${historyEventsMax.toLocaleString("en")} events; \`continueSuggested\` from ${historySuggestContinue.toLocaleString("en")}`,
  ],
  ["crashes in a row until a run is parked, or an activity fails", `${crashesMax}`],
])("the table of defaults says of %s what the code does", (what, says) => {
  expect(language).toContain(`| ${what} | ${says} |`);
});

test("the page of the engine names every kind of event", () => {
  const kinds: Readonly<Record<EventKind, true>> = {
    started: true,
    operation_started: true,
    operation_completed: true,
    operation_failed: true,
    attempt_failed: true,
    timer_fired: true,
    message_received: true,
    update_accepted: true,
    cancel_requested: true,
    deadline_passed: true,
    run_completed: true,
    run_failed: true,
    run_cancelled: true,
    run_terminated: true,
    run_continued: true,
  };
  const page = textOf("docs/engine.md");
  expect(Object.keys(kinds).filter((kind) => !page.includes(`\`${kind}\``))).toEqual([]);
});

// Snippets. ──────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────────

// Below node_modules, so that what is generated here finds the types of Node.
const cache = join(root, "node_modules", ".cache");
mkdirSync(cache, { recursive: true });
const scratch = mkdtempSync(join(cache, "perdure-docs-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** What the snippets of docs/language.md take as given. */
const prelude = `import { writeFileSync } from "node:fs";
import { activity, activityRef, launch, message, queue, state, stream, update, workflow, workflowRef } from "perdure";
import type { ActivityContext, Backend, ChildHandle, Client, Engine, Handle, HistoryExport, Queue, RunHandle, WorkflowContext } from "perdure";
interface Order { readonly id: string; readonly shipAt: number }
interface Invoice { readonly id: string }
interface Verdict { readonly approved: boolean }
interface Account { readonly balance: number }
declare const ctx: WorkflowContext;
declare const client: Client;
declare const handle: Handle<unknown>;
declare const backend: Backend;
declare const order: Order;
declare const token: string;
declare const prompt: string;
declare const controller: AbortController;
declare const payments: { charge(order: Order, call?: object): Promise<string>; refund(id: string): Promise<void> };
declare const renderer: { render(scene: string, beat: (details?: unknown) => void): Promise<string> };
declare function charge(): Promise<string>;
declare function tax(): number;
declare function vat(): number;
declare function work(): void;
declare function release(): void;
declare function swap(price: number): number;
declare function mail(invoice: Invoice, token: string): void;
declare function model(prompt: string): AsyncIterable<string>;
declare function gather(ctx: WorkflowContext, order: Order): Promise<number[]>;
declare function expect(value: unknown): { toEqual(other: unknown): void };
declare function replayAll(histories: readonly HistoryExport[], workflows: readonly unknown[]): Promise<readonly unknown[]>;
declare const histories: readonly HistoryExport[];
const fulfil = workflow("fulfil", async (_ctx, order: Order) => order.id);
const audit = workflow("audit", async (_ctx, order: Order) => order.id);
const gpu = queue("gpu");
const render = activity("render", (scene: string) => scene);
const approved = message<boolean>("approved");
const declined = message<string>("declined");
const deposit = message<number>("deposit");
`;

test("the snippets of the language's page compile", async () => {
  await emitDeclarations(scratch);
  const snippets = [...language.matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(([, code = ""]) => code);
  expect(snippets.length).toBeGreaterThan(15);
  const files = snippets.map((code, index) => {
    const file = join(scratch, "snippets", `snippet-${index}.ts`);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${prelude}export async function snippet(): Promise<void> {\n${code}}\n`);
    return file;
  });
  expect((await compile(join(scratch, "project"), "7.0", { files })).replaceAll(relative(root, scratch), "")).toBe("");
}, 120_000);
