import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

/** The contenders that are packages of others, in the versions that were tried. Absurd is missing: its SDK is on npm, the schema that it needs is not. */
export const peerPackages: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  dbos: { "@dbos-inc/dbos-sdk": "5.3.0" },
  openworkflow: { openworkflow: "0.10.1", postgres: "3.4.9" },
  restate: { "@restatedev/restate-server": "1.7.12", "@restatedev/restate-sdk": "1.17.2" },
};

/** Where the packages of a contender are, installed if need be. From the repository's root, where `npm run` starts us. */
export async function prefixOf(name: string): Promise<string> {
  const prefix = resolve(".perdure", "peers", name);
  const packages = peerPackages[name];
  if (packages === undefined) return prefix;
  const { installPackages } = (await import(pathToFileURL(resolve("scripts/install-packages.mjs")).href)) as {
    installPackages(prefix: string, packages: Readonly<Record<string, string>>, options: object): void;
  };
  // What these packages run when they are installed reports the installation to somebody.
  installPackages(prefix, packages, { runScripts: false, say: (text: string) => void process.stderr.write(`${text}\n`) });
  return prefix;
}

/** A module of a package in a prefix. The caller knows its shape: the package is none of ours. */
export const loadFrom = (prefix: string, specifier: string): Promise<unknown> =>
  import(pathToFileURL(createRequire(join(prefix, "package.json")).resolve(specifier)).href);
