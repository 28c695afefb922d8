/**
 * Arrays of one dimension in the server's binary format, as values of a statement's parameters. The driver writes arrays as text, which costs both sides
 * more. The server refuses a value whose element type is not the parameter's.
 */

const types = { integer: 23, bigint: 20, float: 701, text: 25, bytes: 17 } as const;

const headerBytes = 20;

function withHeader(elementType: number, length: number, hasNulls: boolean, bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(headerBytes + bytes);
  const dimensions = 1;
  const firstIndex = 1;
  buffer.writeInt32BE(dimensions, 0);
  buffer.writeInt32BE(hasNulls ? 1 : 0, 4);
  buffer.writeInt32BE(elementType, 8);
  buffer.writeInt32BE(length, 12);
  buffer.writeInt32BE(firstIndex, 16);
  return buffer;
}

export function integerArray(values: readonly number[]): Buffer {
  const buffer = withHeader(types.integer, values.length, false, 8 * values.length);
  let at = headerBytes;
  for (const value of values) {
    buffer.writeInt32BE(4, at);
    buffer.writeInt32BE(value, at + 4);
    at += 8;
  }
  return buffer;
}

/** Of numbers without sign below 2^53. */
export function bigintArray(values: readonly number[]): Buffer {
  const buffer = withHeader(types.bigint, values.length, false, 12 * values.length);
  let at = headerBytes;
  for (const value of values) {
    buffer.writeInt32BE(8, at);
    buffer.writeUInt32BE(Math.floor(value / 2 ** 32), at + 4);
    buffer.writeUInt32BE(value % 2 ** 32, at + 8);
    at += 12;
  }
  return buffer;
}

export function floatArray(values: readonly (number | null)[]): Buffer {
  const buffer = withHeader(types.float, values.length, true, 12 * values.length);
  let at = headerBytes;
  for (const value of values) {
    if (value === null) {
      at = buffer.writeInt32BE(-1, at);
    } else {
      at = buffer.writeInt32BE(8, at);
      at = buffer.writeDoubleBE(value, at);
    }
  }
  return buffer.subarray(0, at);
}

/** Of well-formed text without a zero character, which the server does not store. */
export function textArray(values: readonly (string | null)[]): Buffer {
  let bytesMax = 0;
  for (const value of values) bytesMax += 4 + (value === null ? 0 : 3 * value.length);
  const buffer = withHeader(types.text, values.length, true, bytesMax);
  let at = headerBytes;
  for (const value of values) {
    const length = value === null ? -1 : buffer.write(value, at + 4);
    buffer.writeInt32BE(length, at);
    at += 4 + Math.max(0, length);
  }
  return buffer.subarray(0, at);
}

export function bytesArray(values: readonly (Uint8Array | null)[]): Buffer {
  let bytes = 0;
  for (const value of values) bytes += 4 + (value === null ? 0 : value.byteLength);
  const buffer = withHeader(types.bytes, values.length, true, bytes);
  let at = headerBytes;
  for (const value of values) {
    at = buffer.writeInt32BE(value === null ? -1 : value.byteLength, at);
    if (value === null) continue;
    buffer.set(value, at);
    at += value.byteLength;
  }
  return buffer;
}
