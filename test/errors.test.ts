import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { documentationOf, errorCodes } from "../src/errors.js";
import type { ErrorCode } from "../src/errors.js";

const page = readFileSync(new URL("../docs/errors.md", import.meta.url), "utf8");
const sections = new Map(
  page
    .split(/^### /m)
    .slice(1)
    .map((section) => [section.slice(0, section.indexOf("\n")), section.slice(section.indexOf("\n") + 1)]),
);
const codes = Object.keys(errorCodes) as ErrorCode[];

test("the page has exactly one section for each code, in the order of the table", () => {
  expect([...page.matchAll(/^### (.+)$/gm)].map((match) => match[1])).toEqual(codes);
});

test("every section says something", () => {
  const short = codes.filter((code) => (sections.get(code)?.trim().length ?? 0) < 40);
  expect(short).toEqual([]);
});

test("the address in an error leads to its section", () => {
  for (const code of codes) expect(documentationOf(code)).toMatch(new RegExp(`/errors#${code}$`));
});
