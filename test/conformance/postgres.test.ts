import { describe, expect, it, test } from "vitest";
import { postgres } from "perdure/postgres";
import { backendConformance } from "../../src/testing/conformance/index.js";
import { postgresServer } from "../support/postgres.js";
import { compareWithModel, everyKind } from "./differential.js";

// Tables are made and dropped for every check and program; what survives a crash of the server is tested elsewhere.
const server = postgresServer({ settings: ["fsync=off"] });

const create = async () => {
  const schema = server.schema();
  return { backend: postgres(server.url, { schema }), dispose: () => server.drop(schema) };
};

backendConformance({ name: "postgres", describe, it, create, expectHints: true });

test("the PostgreSQL store agrees with the memory store in every kind of outcome", { timeout: 240_000 }, async () => {
  // A seed whose few programs come across all of them.
  const seen = await compareWithModel({ create, programs: 60, seed: 9 });
  expect(everyKind.filter((kind) => !seen.has(kind))).toEqual([]);
});

test("the PostgreSQL store agrees with the memory store on programs that nobody has tried before", { timeout: 120_000 }, async () => {
  const seen = await compareWithModel({ create, programs: 20 });
  expect(seen.size).toBeGreaterThan(0);
});
