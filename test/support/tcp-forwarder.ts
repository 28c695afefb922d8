import { once } from "node:events";
import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";

/** What a proxy or a DNS name does for those who use a cluster: one address, behind which now this server is and now that one. */
export interface TcpForwarder {
  readonly port: number;
  /** Ends all connections; those that come from now on go there. */
  pointTo(target: NetConnectOpts): void;
  close(): Promise<void>;
}

export async function tcpForwarder(first: NetConnectOpts): Promise<TcpForwarder> {
  let target = first;
  const sockets = new Set<Socket>();
  const endAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  const server = createServer((client) => {
    const upstream = connect(target);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => undefined);
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    pointTo(next) {
      target = next;
      endAll();
    },
    async close() {
      endAll();
      server.close();
      await once(server, "close");
    },
  };
}
