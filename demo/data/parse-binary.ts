// Files that are not text: containers are checked from outside (signature, structure, checksums), their bytes get a profile of size and type.
import { type Column, emptyFile, type ParsedFile } from "./tables.js";

export function parsePng(bytes: Buffer): ParsedFile {
  const base = { ...emptyFile("PNG image"), columns: [byteColumn(bytes)] };
  if (!bytes.subarray(0, 8).equals(Buffer.from("89504e470d0a1a0a", "hex")))
    return { ...base, faults: ["does not begin with the PNG signature"] };
  const faults: string[] = [];
  const kinds: string[] = [];
  let at = 8;
  while (at + 12 <= bytes.length) {
    const length = bytes.readUInt32BE(at);
    const kind = bytes.toString("latin1", at + 4, at + 8);
    const end = at + 8 + length;
    if (end + 4 > bytes.length) break;
    if (crc32(bytes.subarray(at + 4, end)) !== bytes.readUInt32BE(end)) faults.push(`the checksum of chunk ${kind} is wrong`);
    kinds.push(kind);
    at = end + 4;
  }
  if (kinds.at(-1) !== "IEND") faults.push("the image is cut off");
  const facts = kinds[0] === "IHDR" ? [`${bytes.readUInt32BE(16)} × ${bytes.readUInt32BE(20)} pixels`, `${kinds.length} chunks`] : [];
  return { ...base, faults, facts };
}

export function parseArrow(bytes: Buffer): ParsedFile {
  const magic = "ARROW1";
  const faults: string[] = [];
  if (bytes.toString("latin1", 0, 6) !== magic) faults.push("does not begin with the Arrow signature");
  if (bytes.toString("latin1", bytes.length - 6) !== magic) faults.push("does not end with the Arrow signature: cut off?");
  const footer = bytes.length >= 18 ? bytes.readInt32LE(bytes.length - 10) : 0;
  if (footer <= 0 || footer > bytes.length - 18) faults.push("its footer does not fit into the file");
  return { ...emptyFile("Arrow file"), columns: [byteColumn(bytes)], faults, facts: [`footer of ${footer} bytes`] };
}

export function parseParquet(bytes: Buffer): ParsedFile {
  const magic = "PAR1";
  const faults: string[] = [];
  if (bytes.toString("latin1", 0, 4) !== magic) faults.push("does not begin with the Parquet signature");
  if (bytes.toString("latin1", bytes.length - 4) !== magic) faults.push("does not end with the Parquet signature: cut off?");
  const footer = bytes.length >= 12 ? bytes.readUInt32LE(bytes.length - 8) : 0;
  if (footer === 0 || footer > bytes.length - 12) faults.push("its metadata does not fit into the file");
  return { ...emptyFile("Parquet file"), columns: [byteColumn(bytes)], faults, facts: [`metadata of ${footer} bytes`] };
}

export function parseUnknown(bytes: Buffer, extension: string): ParsedFile {
  return { ...emptyFile(extension === "" ? "unknown kind" : `.${extension} file`), columns: [byteColumn(bytes)] };
}

const sampleMax = 50_000;

/** Byte values, evenly sampled: their spread tells text, compressed and empty data apart. */
function byteColumn(bytes: Buffer): Column {
  const stride = Math.max(1, Math.ceil(bytes.length / sampleMax));
  const cells: number[] = [];
  for (let at = 0; at < bytes.length; at += stride) cells.push(bytes[at] ?? 0);
  return { name: "(bytes)", cells };
}

function crc32(bytes: Buffer): number {
  let crc = 0xff_ff_ff_ff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xed_b8_83_20 : 0);
  }
  return (crc ^ 0xff_ff_ff_ff) >>> 0;
}
