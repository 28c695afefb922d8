// Rejections in workflow code that are handled late or never, in processes of their own: what is at stake is whether the process lives.
// `npm run runtimes` does the same on every other runtime.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const fixture = fileURLToPath(new URL("../fixtures/late-rejection-process.mjs", import.meta.url));
const morning = "Error: from the helper, NonRetryableError: from the step, Error: at once, Error: from the helper";

function run(scenario: string): Promise<{ readonly code: number | string; readonly lines: readonly string[]; readonly errors: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [fixture, scenario], (error, stdout, stderr) => {
      resolve({ code: error?.code ?? 0, lines: stdout.trimEnd().split("\n"), errors: stderr });
    });
  });
}

describe.concurrent("a process with rejections in workflow code", () => {
  it.each(["replayed", "warm", "unguarded"])("lives when they are handled late: %s", async (scenario) => {
    expect(await run(scenario)).toEqual({ code: 0, lines: [morning, "alive"], errors: "" });
  });

  it("lives when another engine in it is closed", async () => {
    expect(await run("two-engines")).toEqual({ code: 0, lines: [morning, morning, "alive"], errors: "" });
  });

  it("warns at the end of the run when nobody has handled them", async () => {
    const { code, lines, errors } = await run("never");
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
    expect(lines).toEqual([
      expect.stringMatching(/^warn: A promise in run \S+ of workflow never was rejected and never awaited/),
      "done",
      "alive",
    ]);
  });

  it("lives when the engine is closed in the moment of the rejection", async () => {
    expect(await run("closed-at-once")).toEqual({ code: 0, lines: ["kept", "alive"], errors: "" });
  });

  it("is ended by the application's own, as ever", async () => {
    const { code, lines, errors } = await run("application");
    expect(code).toBe(1);
    expect(lines).not.toContain("alive");
    expect(errors).toMatch(
      /^file:.*late-rejection-process\.mjs:\d+\n[^]*\n\nError: the application's own\n {4}at Immediate[^]*\n\nNode\.js v/,
    );
  });

  it.each(["listener-first", "listener-after"])("tells the application's listener of the application's own only: %s", async (scenario) => {
    const { code, lines, errors } = await run(scenario);
    expect({ code, errors }).toEqual({ code: 0, errors: "" });
    expect(lines).toEqual(["listener: the application's own", "listener: after a result", `${morning} | done | ${morning}`, "alive"]);
  });

  it("is left alone once the engine is closed", async () => {
    const { code, lines, errors } = await run("after-close");
    expect({ code, lines }).toEqual({ code: 1, lines: [morning] });
    expect(errors).toContain("Error: after the close");
  });
});
