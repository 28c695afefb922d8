import { afterAll, describe, it } from "vitest";
import { mysql } from "perdure/mysql";
import { backendConformance } from "../../src/testing/conformance/index.js";
import { mariadbServer } from "../support/mariadb-server.js";

const server = await mariadbServer();
afterAll(() => server?.stop());

if (server === undefined) it("has no server to run on", () => undefined);
else {
  backendConformance({
    name: "mysql, on MariaDB",
    describe,
    it,
    create: async () => {
      const database = await server.database();
      return { backend: mysql(database.url), dispose: () => database.drop() };
    },
    expectHints: true,
  });
}
