/** A Galera cluster of three MariaDB servers on loopback: each node takes writes, and a commit is acknowledged when all nodes have it. */
import { rmSync } from "node:fs";
import { freePort } from "./free-port.js";
import { isInstalled, makePlace, serveFrom, type MariadbPlace, type MariadbServer } from "./mariadb-server.js";

export interface GaleraCluster {
  readonly nodes: readonly [MariadbServer, MariadbServer, MariadbServer];
  stop(): Promise<void>;
}

const provider = "/usr/lib/galera/libgalera_smm.so";

interface Member {
  readonly place: MariadbPlace;
  readonly settings: readonly string[];
}

/** Says so loudly where MariaDB or Galera cannot be had. @throws Error then, with `CI=true` */
export const hasGalera = (): boolean => isInstalled("Install mariadb-server and galera-4", provider);

export async function galeraCluster(): Promise<GaleraCluster> {
  const ports = [await groupPorts(), await groupPorts(), await groupPorts()] as const;
  const settingsOf = (own: number): readonly string[] => {
    const { group = 0, state = 0, snapshot = 0 } = ports[own] ?? {};
    return [
      "--binlog-format=ROW",
      "--innodb-autoinc-lock-mode=2",
      // As durable as the group: what one process forgets when it is killed, the others have.
      "--innodb-flush-log-at-trx-commit=2",
      "--wsrep-on=ON",
      `--wsrep-provider=${provider}`,
      "--wsrep-cluster-name=perdure",
      `--wsrep-node-name=node${own + 1}`,
      `--wsrep-node-address=127.0.0.1:${group}`,
      `--wsrep-cluster-address=gcomm://${ports.map((port) => `127.0.0.1:${port.group}`).join(",")}`,
      "--wsrep-sst-method=rsync",
      `--wsrep-sst-receive-address=127.0.0.1:${snapshot}`,
      `--wsrep-provider-options=base_port=${group};ist.recv_addr=127.0.0.1:${state};gcache.size=32M`,
    ];
  };
  const place = await makePlace();
  place.run("mariadb-install-db", [`--datadir=${place.data}`, "--auth-root-authentication-method=normal", "--skip-test-db"]);
  // The first node alone makes the state that all begin with: so none has to be sent a snapshot.
  const seed = await serveFrom(place, settingsOf(0), ["--wsrep-new-cluster"]);
  await seed.kill("SIGTERM");
  const members: Member[] = [{ place, settings: settingsOf(0) }];
  for (const own of [1, 2]) members.push({ place: await makePlace(place.data), settings: settingsOf(own) });
  for (const { place: other } of members.slice(1)) rmSync(`${other.data}/gvwstate.dat`, { force: true });

  const nodes: MariadbServer[] = [];
  const stop = async (): Promise<void> => void (await Promise.all([...nodes, seed].map((node) => node.stop())));
  try {
    for (const [own, member] of members.entries())
      nodes.push(await serveFrom(member.place, member.settings, own === 0 ? ["--wsrep-new-cluster"] : []));
  } catch (error) {
    await stop();
    throw error;
  }
  return { nodes: nodes as unknown as GaleraCluster["nodes"], stop };
}

const groupPorts = async () => ({ group: await freePort(), state: await freePort(), snapshot: await freePort() });
