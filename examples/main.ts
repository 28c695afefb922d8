// Runs every example as a program of its own and compares what it prints with the "Output" comment at its end.  npm run examples [-- name…]
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

const compiled = fileURLToPath(new URL(".", import.meta.url));
const root = join(compiled, "..", "..");
const timeoutMs = 60_000;

/** Programs that an example needs beside it, in the same folder. */
const companions: Readonly<Record<string, string>> = { "split-client": "split-worker" };
const notByThemselves = new Set(["main", ...Object.values(companions)]);

interface Outcome {
  readonly code: number | null;
  readonly printed: string;
  readonly complaints: string;
}

/** The text of the Output comment, or undefined if there is none. */
const expectedOutput = (source: string): string | undefined => /\/\* Output:\n([\s\S]*?)\*\//.exec(source)?.[1];

function start(script: string, folder: string): ChildProcess {
  return spawn(process.execPath, [script], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
}

async function run(script: string, folder: string): Promise<Outcome> {
  const child = start(script, folder);
  let printed = "";
  let complaints = "";
  child.stdout?.setEncoding("utf8").on("data", (text: string) => void (printed += text));
  child.stderr?.setEncoding("utf8").on("data", (text: string) => void (complaints += text));
  const timer = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  const [code] = (await once(child, "close")) as [number | null];
  clearTimeout(timer);
  return { code, printed, complaints };
}

async function check(name: string, script: string, source: string): Promise<boolean> {
  const expected = expectedOutput(source);
  const folder = mkdtempSync(join(tmpdir(), "perdure-example-"));
  const companion = companions[name] === undefined ? undefined : start(join(compiled, `${companions[name]}.js`), folder);
  try {
    const { code, printed, complaints } = await run(script, folder);
    const ok = code === 0 && expected !== undefined && printed === expected;
    process.stdout.write(`${ok ? "ok    " : "FAILED"} ${name}\n`);
    if (!ok)
      process.stdout.write(
        `exit code ${code}\n--- printed\n${printed}--- expected\n${expected ?? "(no Output comment)\n"}--- complaints\n${complaints}\n`,
      );
    return ok;
  } finally {
    if (companion?.exitCode === null) {
      const exit = once(companion, "exit");
      companion.kill("SIGTERM");
      await exit;
    }
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The quick start as it is printed in the README, so that it cannot rot. */
function readmeExample(): { readonly script: string; readonly source: string } {
  const source = /```js\n([\s\S]*?)```/.exec(readFileSync(join(root, "README.md"), "utf8"))?.[1] ?? "";
  const script = join(compiled, "readme", "hello.mjs");
  mkdirSync(join(compiled, "readme"), { recursive: true });
  writeFileSync(script, source);
  return { script, source };
}

const wanted = process.argv.slice(2);
const examples = readdirSync(join(root, "examples"))
  .filter((file) => file.endsWith(".ts"))
  .map((file) => basename(file, ".ts"))
  .filter((name) => !notByThemselves.has(name) && (wanted.length === 0 || wanted.includes(name)));

const failed: string[] = [];
for (const name of examples) {
  const source = readFileSync(join(root, "examples", `${name}.ts`), "utf8");
  if (!(await check(name, join(compiled, `${name}.js`), source))) failed.push(name);
}
if (wanted.length === 0) {
  const { script, source } = readmeExample();
  if (!(await check("README", script, source))) failed.push("README");
}
process.stdout.write(failed.length === 0 ? "All examples print what they say.\n" : `Failed: ${failed.join(", ")}\n`);
process.exitCode = failed.length === 0 && (examples.length > 0 || wanted.length === 0) ? 0 : 1;
