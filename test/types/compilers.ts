// Runs real compilers over small projects that use the package as its users do: through the declarations that we emit.
import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export const root = resolve(dirname(fileURLToPath(import.meta.url)), "..", "..");

/** The compilers that the declarations must work with, by the version that users would name. */
export const compilers = { "5.4": "typescript-5.4", "5.9": "typescript-5.9", "6.0": "typescript-6.0", "7.0": "typescript" } as const;
export type Compiler = keyof typeof compilers;

export interface Project {
  readonly files: readonly string[];
  readonly options?: Readonly<Record<string, unknown>>;
  readonly flags?: readonly string[];
}

/** Options of a strict project of a user's, without DOM. */
const userOptions = {
  target: "es2022",
  lib: ["es2023"],
  module: "nodenext",
  moduleResolution: "nodenext",
  strict: true,
  skipLibCheck: true,
  noEmit: true,
  types: ["node"],
  typeRoots: [join(root, "node_modules", "@types")],
};

/** Compiles a project in `folder`; gives what the compiler says, with paths made relative to the repository. Empty: it compiles. */
export async function compile(folder: string, compiler: Compiler, project: Project): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const declarations = join(dirname(folder), "declarations");
  const options = {
    ...userOptions,
    paths: { perdure: [join(declarations, "index.d.ts")] },
    ...project.options,
  };
  const config = join(folder, "tsconfig.json");
  writeFileSync(config, JSON.stringify({ compilerOptions: options, files: project.files }));
  const output = await tsc(compiler, ["-p", config, "--pretty", "false", ...(project.flags ?? [])]);
  return output.replaceAll(`${root}/`, "").trim();
}

/** Emits the declarations of the public entry points into `folder`. Errors elsewhere in the sources are not this test's business. */
export async function emitDeclarations(folder: string): Promise<void> {
  const config = join(folder, "tsconfig.emit.json");
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    config,
    JSON.stringify({
      extends: join(root, "tsconfig.base.json"),
      compilerOptions: {
        rootDir: join(root, "src"),
        outDir: join(folder, "declarations"),
        declaration: true,
        emitDeclarationOnly: true,
        noEmitOnError: false,
        typeRoots: userOptions.typeRoots,
      },
      files: [join(root, "src", "index.ts"), join(root, "src", "testing", "fake-context.ts")],
    }),
  );
  await tsc("7.0", ["-p", config]);
}

function tsc(compiler: Compiler, args: readonly string[]): Promise<string> {
  const program = join(root, "node_modules", compilers[compiler], "bin", "tsc");
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [program, ...args], { cwd: root, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.on("error", failed);
    child.on("close", () => done(output));
  });
}

/** Runs jobs two at a time: a compiler takes a core of its own. */
export async function inPairs<T, R>(items: readonly T[], run: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = [...items.entries()];
  const worker = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next[0]] = await run(next[1]);
  };
  await Promise.all([worker(), worker()]);
  return results;
}
