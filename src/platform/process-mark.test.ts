import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isGone, processMark } from "./process-mark.js";

// Other systems do not say which process is which; there nobody is known to be gone.
describe.runIf(existsSync("/proc/self/ns/pid"))("the mark of a process", () => {
  const own = processMark() ?? "";
  const [boot = "", view = "", pid = "", began = ""] = own.split(" ");

  it("is that of a process that lives", () => {
    expect(own).toMatch(/^[-0-9a-f]+ pid:\S+ \d+ \d+$/);
    expect(isGone(own)).toBe(false);
  });

  it("tells a process that has ended, and one whose id is used again", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
    const mark = `${boot} ${view} ${child.pid} `;
    expect(isGone(`${mark}1`)).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(isGone(`${mark}1`)).toBe(true);
  });

  it("says nothing of processes elsewhere, or of what it cannot read", () => {
    expect(isGone(`00000000-0000-0000-0000-000000000000 ${view} ${pid} 1`)).toBe(false);
    expect(isGone(`${boot} pid:[1] ${pid} 1`)).toBe(false);
    expect(isGone("")).toBe(false);
    expect(isGone(`${boot} ${view} ${pid} ${began}`)).toBe(false);
  });
});
