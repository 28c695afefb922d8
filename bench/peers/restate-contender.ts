import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import { arch, platform } from "node:os";
import { join } from "node:path";
import { freePort } from "../../test/support/free-port.js";
import { delay, stampMs } from "../measure.js";
import { stepResult } from "../values.js";
import { stepCount, type Contender, type Ground } from "./contender.js";
import { loadFrom } from "./packages.js";

interface Context {
  run<T>(name: string, body: () => T): Promise<T>;
}
type Handler = (ctx: Context, order: number) => Promise<number>;

interface Restate {
  service(options: { readonly name: string; readonly handlers: Readonly<Record<string, Handler>> }): object;
  serve(options: { readonly services: readonly object[]; readonly port: number; readonly logger: () => void }): Promise<number>;
}

const handlers: Readonly<Record<"W1" | "W2", Handler>> = {
  W1: async (_ctx, order) => order,
  W2: async (ctx, order) => {
    let amount = 0;
    for (let index = 0; index < stepCount; index++) amount += (await ctx.run(`step ${index}`, () => stepResult(order))).amount;
    return amount;
  },
};

const patienceMs = 20_000;
const json = { "content-type": "application/json" };

/** With a server of its own, which keeps its data in files and confirms nothing before they are synced (its default). */
export async function openRestate({ folder, prefix }: Ground): Promise<Contender> {
  polyfill();
  const restate = (await loadFrom(prefix, "@restatedev/restate-sdk")) as Restate;
  const [ingress, admin, node, endpoint] = [await freePort(), await freePort(), await freePort(), await freePort()];
  const server = startServer(join(folder, "restate"), prefix, { ingress, admin, node });
  await restate.serve({ services: [restate.service({ name: "bench", handlers })], port: endpoint, logger: () => {} });
  const post = (port: number, path: string, body: unknown): Promise<Response> =>
    fetch(`http://127.0.0.1:${port}/${path}`, { method: "POST", headers: json, body: JSON.stringify(body) });
  const limitMs = stampMs() + patienceMs;
  const isUp = (): Promise<boolean> =>
    post(admin, "deployments", { uri: `http://127.0.0.1:${endpoint}` }).then(
      ({ ok }) => ok,
      () => false,
    );
  while (!(await isUp())) {
    if (stampMs() > limitMs) throw new Error("the Restate server does not come up");
    await delay(100);
  }
  return {
    async execute(workload, order) {
      const response = await post(ingress, `bench/${workload}`, order);
      if (!response.ok) throw new Error(`Restate answered ${response.status}: ${await response.text()}`);
      return await response.json();
    },
    serverPid: server.pid,
    async close() {
      const gone = once(server, "exit");
      server.stdin.end();
      await gone;
    },
  };
}

/** Started by a shell that reads from us until we are gone, however we end, and then ends the server. Its time is the shell's children's. */
function startServer(folder: string, prefix: string, ports: { readonly ingress: number; readonly admin: number; readonly node: number }) {
  const program = createRequire(join(prefix, "package.json")).resolve(
    `@restatedev/restate-server-${platform()}-${arch()}/bin/restate-server`,
  );
  const env = {
    ...process.env,
    RESTATE_BIND_ADDRESS: `127.0.0.1:${ports.node}`,
    RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${ports.node}`,
    RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${ports.admin}`,
    RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ports.ingress}`,
    RESTATE_LOG_FILTER: "off",
    DO_NOT_TRACK: "1",
  };
  const guard = '"$0" "$@" & server=$!; cat >/dev/null; kill -KILL $server; wait $server 2>/dev/null';
  return spawn("/bin/sh", ["-c", guard, program, "--base-dir", folder, "--node-name", "bench"], {
    env,
    stdio: ["pipe", "ignore", "ignore"],
  });
}

/** Its SDK takes this for granted, Node 20 lacks it. */
function polyfill(): void {
  const target = Promise as { withResolvers?: () => object };
  target.withResolvers ??= () => {
    const parts: { promise?: Promise<unknown>; resolve?: (value: unknown) => void; reject?: (reason: unknown) => void } = {};
    parts.promise = new Promise<unknown>((resolve, reject) => {
      parts.resolve = resolve;
      parts.reject = reject;
    });
    return parts;
  };
}
