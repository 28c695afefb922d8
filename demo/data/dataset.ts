// The files to check: everything in the data folder of the vega-datasets package, with what the package itself declares about each of them.
import { createRequire } from "node:module";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** What datapackage.json says about a file: the contract that the file is checked against. */
export interface Declaration {
  readonly bytes: number;
  /** The hash that git gives the file's content, in hex. */
  readonly gitHash: string | undefined;
  readonly fields: readonly DeclaredField[];
}

export interface DeclaredField {
  readonly name: string;
  readonly type: string;
}

export interface Dataset {
  readonly folder: string;
  readonly version: string;
  /** File names, sorted. */
  readonly files: readonly string[];
  readonly declarations: ReadonlyMap<string, Declaration>;
}

/** Finds and reads the installed package. */
export function findDataset(): Dataset {
  // The package exports no files, so its folder is found through its entry point.
  const entry = createRequire(import.meta.url).resolve("vega-datasets");
  const root = join(dirname(entry), "..");
  const folder = join(root, "data");
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
  const files = readdirSync(folder, { withFileTypes: true })
    .filter((entryOf) => entryOf.isFile())
    .map((entryOf) => entryOf.name)
    .toSorted();
  const declarations = readDeclarations(readFileSync(join(root, "datapackage.json"), "utf8"));
  return { folder, version: manifest.version, files, declarations };
}

interface RawResource {
  readonly path: string;
  readonly bytes: number;
  readonly hash?: string;
  readonly schema?: { readonly fields?: readonly { readonly name: string; readonly type?: string }[] };
}

/** Reads a Data Package descriptor. */
export function readDeclarations(text: string): ReadonlyMap<string, Declaration> {
  const { resources } = JSON.parse(text) as { readonly resources: readonly RawResource[] };
  return new Map(
    resources.map((resource) => [
      resource.path,
      {
        bytes: resource.bytes,
        gitHash: resource.hash?.startsWith("sha1:") === true ? resource.hash.slice("sha1:".length) : undefined,
        fields: (resource.schema?.fields ?? []).map((field) => ({ name: field.name, type: field.type ?? "any" })),
      },
    ]),
  );
}
