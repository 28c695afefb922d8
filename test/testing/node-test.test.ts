import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

it("works under node:test, and lets the process end", { timeout: 60_000 }, async () => {
  const file = fileURLToPath(new URL("../fixtures/tester-node-test.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, ["--test", "--test-reporter=tap", file], {
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  expect(stdout).toMatch(/^# pass 3$/m);
  expect(stdout).toMatch(/^# fail 0$/m);
});
