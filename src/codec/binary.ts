import { Buffer } from "node:buffer";

/**
 * Bytes in text. Only the viewed bytes of a view are written, never its whole buffer (a Buffer of 5 bytes may sit in a pool of 8 KiB of other people's data).
 * Numbers of several bytes are little-endian in the store, whatever the machine is.
 */

type View = ArrayBufferView & { readonly BYTES_PER_ELEMENT?: number };
type ViewClass = { new (buffer: ArrayBuffer): View; readonly BYTES_PER_ELEMENT?: number };

const viewClasses: ReadonlyMap<string, ViewClass> = new Map(
  [
    Int8Array,
    Uint8ClampedArray,
    Int16Array,
    Uint16Array,
    Int32Array,
    Uint32Array,
    Float32Array,
    Float64Array,
    BigInt64Array,
    BigUint64Array,
    DataView,
    (globalThis as { Float16Array?: ViewClass }).Float16Array,
  ].flatMap((view) => (view === undefined ? [] : [[view.name, view as ViewClass] as const])),
);

const bigEndian = new Uint8Array(new Uint16Array([1]).buffer)[0] === 0;

/** `Uint8Array` for a Buffer too: the kind comes from the brand, not from the class. */
export function kindOfView(view: ArrayBufferView): string {
  const brand: unknown = Reflect.get(typedArrayPrototype, Symbol.toStringTag, view);
  return typeof brand === "string" ? brand : "DataView";
}
const typedArrayPrototype = Object.getPrototypeOf(Uint8Array.prototype) as object;

export function viewToBase64(view: ArrayBufferView): string {
  const bytes = Buffer.from(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
  return (bigEndian ? Buffer.from(swapped(bytes, (view as View).BYTES_PER_ELEMENT ?? 1)) : bytes).toString("base64");
}

export function bufferToBase64(buffer: ArrayBuffer): string {
  return Buffer.from(buffer).toString("base64");
}

/** Undefined for text that is not base64: `Buffer` would skip over what it does not understand. */
export function base64ToBytes(text: unknown): Uint8Array<ArrayBuffer> | undefined {
  if (typeof text !== "string" || text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  const pooled = Buffer.from(text, "base64");
  const bytes = new Uint8Array(pooled.length); // a copy with a buffer of its own
  bytes.set(pooled);
  return bytes;
}

/** Undefined for a kind that does not exist (here), or bytes that do not fill its elements. */
export function binaryFrom(kind: unknown, base64: unknown): ArrayBuffer | ArrayBufferView | undefined {
  const bytes = base64ToBytes(base64);
  if (bytes === undefined || typeof kind !== "string") return undefined;
  if (kind === "ArrayBuffer") return bytes.buffer;
  const view = viewClasses.get(kind);
  const size = view?.BYTES_PER_ELEMENT ?? 1;
  if (view === undefined || bytes.length % size !== 0) return undefined;
  return new view((bigEndian ? swapped(bytes, size) : bytes).buffer);
}

/** A copy with the bytes of each element in the other order. */
export function swapped(bytes: Uint8Array, size: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) copy[i] = bytes[i - (i % size) + (size - 1 - (i % size))] as number;
  return copy;
}
