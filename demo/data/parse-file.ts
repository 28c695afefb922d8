import { extname } from "node:path";
import { parseArrow, parseParquet, parsePng, parseUnknown } from "./parse-binary.js";
import { parseDelimited } from "./parse-delimited.js";
import { parseJson } from "./parse-json.js";
import type { ParsedFile } from "./tables.js";

/** Parses a file of any kind. Never throws on content: what is wrong with it is in `faults`. */
export function parseFile(name: string, bytes: Buffer): ParsedFile {
  const extension = extname(name).slice(1).toLowerCase();
  switch (extension) {
    case "csv":
      return parseDelimited(bytes.toString("utf8"), ",");
    case "tsv":
      return parseDelimited(bytes.toString("utf8"), "\t");
    case "json":
    case "geojson":
    case "topojson":
      return parseJson(bytes.toString("utf8"));
    case "png":
      return parsePng(bytes);
    case "arrow":
      return parseArrow(bytes);
    case "parquet":
      return parseParquet(bytes);
    default:
      return parseUnknown(bytes, extension);
  }
}
