import { afterAll, expect, test } from "vitest";
import { mysql } from "perdure/mysql";
import { compareWithModel, everyKind } from "./differential.js";
import { mariadbServer } from "../support/mariadb-server.js";

const server = await mariadbServer();
afterAll(() => server?.stop());

test("the MySQL store agrees with the memory store on random programs", { timeout: 240_000 }, async () => {
  if (server === undefined) return;
  const create = async () => {
    const database = await server.database();
    return { backend: mysql(database.url), dispose: () => database.drop() };
  };
  const seen = await compareWithModel({ create, programs: 120, seed: 1 });
  expect(everyKind.filter((kind) => !seen.has(kind))).toEqual([]);
});
