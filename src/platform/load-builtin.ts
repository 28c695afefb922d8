/** Which runtime this is, for the few places where a dependency works on some only. */
export interface Host {
  readonly name: "node" | "bun" | "deno";
  /** Major version of Node, or of the Node that the runtime imitates. */
  readonly nodeMajor: number;
}

export function currentHost(): Host {
  const versions: Readonly<Record<string, string | undefined>> = process.versions;
  const name = versions["bun"] !== undefined ? "bun" : versions["deno"] !== undefined ? "deno" : "node";
  return { name, nodeMajor: Number.parseInt(process.versions.node, 10) };
}

/**
 * Loads a module that is part of the runtime, or undefined where there is none. Unlike an import, it is nothing a bundler tries to resolve.
 * The warning that some Nodes print for a module that they call experimental is left out, that one only.
 */
export function loadBuiltin(specifier: string): unknown {
  // Not in the types of the oldest supported Node, and missing in early versions of it.
  const { getBuiltinModule } = process as { getBuiltinModule?: (id: string) => unknown };
  if (getBuiltinModule === undefined) return undefined;
  const warner = process as { emitWarning: (...args: unknown[]) => void };
  const { emitWarning } = warner;
  warner.emitWarning = (...args) => {
    if (!isExperimentalWarning(args)) Reflect.apply(emitWarning, process, args);
  };
  try {
    return getBuiltinModule(specifier);
  } catch {
    return undefined;
  } finally {
    warner.emitWarning = emitWarning;
  }
}

function isExperimentalWarning([warning, options]: readonly unknown[]): boolean {
  if (warning instanceof Error) return warning.name === "ExperimentalWarning";
  return (typeof options === "object" && options !== null ? (options as { type?: unknown }).type : options) === "ExperimentalWarning";
}
