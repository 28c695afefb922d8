// Installs packages into a folder of their own, for what only some need and everybody would pay for as a dependency: other runtimes, other libraries.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** @param {string} prefix @param {string} name @returns {string | undefined} */
function installedVersion(prefix, name) {
  const manifest = join(prefix, "node_modules", name, "package.json");
  if (!existsSync(manifest)) return undefined;
  return /** @type {{ version: string }} */ (JSON.parse(readFileSync(manifest, "utf8"))).version;
}

/**
 * Does nothing if they are there in these versions.
 * @param {string} prefix @param {Readonly<Record<string, string>>} packages exact versions by name
 * @param {{ say?: (text: string) => void, runScripts?: boolean }} [options] `runScripts`: also those that packages run when they are installed (default: true)
 */
export function installPackages(prefix, packages, { say = () => {}, runScripts = true } = {}) {
  if (Object.entries(packages).every(([name, version]) => installedVersion(prefix, name) === version)) return;
  const specs = Object.entries(packages).map(([name, version]) => `${name}@${version}`);
  say(`installing ${specs.join(", ")}`);
  mkdirSync(prefix, { recursive: true });
  writeFileSync(join(prefix, "package.json"), '{ "private": true }\n');
  const flags = ["--no-audit", "--no-fund", "--no-save", "--loglevel=error", ...(runScripts ? [] : ["--ignore-scripts"])];
  // Its standard output is not ours to write to: it may belong to JSON.
  const npm = spawnSync("npm", ["install", ...flags, ...specs], { cwd: prefix, stdio: ["ignore", 2, 2] });
  if (npm.status !== 0) throw new Error(`${specs.join(", ")} could not be installed`);
}
