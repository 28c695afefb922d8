// What payloads go through on their way to the database: a codec of one's own, then encryption. Every process needs the same chain.
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { promisify } from "node:util";
import { brotliCompress, brotliDecompress } from "node:zlib";
import { connect, encryption, isPerdureError, launch, type PayloadCodec, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

// From bytes to bytes. Compress first: ciphertext does not shrink.
const brotli: PayloadCodec = {
  name: "brotli",
  optional: true, // payloads from before it was switched on stay readable
  encode: (bytes) => promisify(brotliCompress)(bytes),
  decode: (bytes) => promisify(brotliDecompress)(bytes),
};

const keys = { "2026-01": randomBytes(32), "2026-02": randomBytes(32) };

const diagnose = workflow("diagnose", async (ctx, patient: string) => ctx.step("look", () => `${patient} has a cold`));

// The older key still reads what it wrote; the current one writes.
const codec = [brotli, encryption({ keys, current: "2026-02" })];
const engine = await launch({ backend: sqlite("encryption.db"), workflows: [diagnose], codec });
console.log(await engine.execute(diagnose, "Ada Lovelace", { id: "visit-1" }));
await engine.close();

const stored = readdirSync(".").filter((file) => file.startsWith("encryption.db"));
for (const word of ["visit-1", "diagnose", "Lovelace", "cold"])
  console.log(word, stored.some((file) => readFileSync(file).includes(word)) ? "can be read in the file" : "is nowhere in the file");

// With a key that is not the one it was written with, nothing opens.
const stranger = await connect({
  backend: sqlite("encryption.db"),
  codec: [brotli, encryption({ keys: { "2026-02": randomBytes(32) }, current: "2026-02" })],
});
await stranger
  .get("visit-1")
  .result()
  .catch((error: unknown) => console.log(isPerdureError(error) && error.code));
await stranger.close();

/* Output:
Ada Lovelace has a cold
visit-1 can be read in the file
diagnose can be read in the file
Lovelace is nowhere in the file
cold is nowhere in the file
undecodable
*/
