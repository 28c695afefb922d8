import { once } from "node:events";
import { createServer, connect, type NetConnectOpts, type Socket } from "node:net";

/** A TCP proxy before a MySQL server that cuts a connection when a commit passes: before the server has it, or after it has answered. */
export interface MysqlProxy {
  readonly url: string;
  /** How often it has cut, or hung. */
  readonly cuts: number;
  /** Cuts the next commit. */
  cutNext(when: "before" | "after"): void;
  /** Keeps the next commit to itself, and everything after it on that connection: to the server, the process hangs. */
  hangNext(): void;
  close(): Promise<void>;
}

export interface MysqlProxyOptions {
  /** Tells clients another connection id than the server's, as a pooler does. Default false. */
  readonly isPooler?: boolean;
}

export async function mysqlProxy(target: string, options: MysqlProxyOptions = {}): Promise<MysqlProxy> {
  const { hostname, port } = new URL(target);
  return commitProxy(target, { host: hostname, port: Number(port) }, options);
}

/** The same before any server whose commits pass as text. `to`: where it is. */
export async function commitProxy(target: string, to: NetConnectOpts, { isPooler = false }: MysqlProxyOptions = {}): Promise<MysqlProxy> {
  const sockets = new Set<Socket>();
  let armed: "before" | "after" | "hang" | undefined;
  let cuts = 0;
  const server = createServer((client) => {
    const upstream = connect(to);
    let [isCut, isHung] = [false, false];
    let isGreeted = !isPooler;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.on("data", (data) => {
      // And not the setting READ COMMITTED of a connection that is being opened.
      const isCommit = data.includes("COMMIT") && !data.includes("COMMITTED");
      if (armed !== undefined && isCommit) {
        const when = armed;
        armed = undefined;
        isHung = when === "hang";
        isCut = !isHung;
        cuts += 1;
        if (when === "before") client.destroy();
      }
      if (!client.destroyed && !isHung) upstream.write(data);
    });
    upstream.on("data", (data) => {
      // The answer is there, so the server has done it; the client never hears of it.
      if (!isGreeted) {
        isGreeted = true;
        // Header (4 bytes), protocol (1), version (up to a zero), connection id.
        data.writeUInt32LE(4_000_000_000, data.indexOf(0, 5) + 1);
      }
      if (isCut) client.destroy();
      else client.write(data);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const url = new URL(target);
  url.port = String(typeof address === "object" && address !== null ? address.port : 0);
  return {
    url: url.href,
    get cuts() {
      return cuts;
    },
    cutNext: (when) => void (armed = when),
    hangNext: () => void (armed = "hang"),
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
