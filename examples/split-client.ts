// The other half: this program starts runs and looks at them. It needs the workflow's name and types, not its code: `import type` leaves nothing behind.
import { connect, workflowRef } from "perdure";
import { sqlite } from "perdure/sqlite";
import type { gallery } from "./split-worker.js";

const galleryRef = workflowRef<typeof gallery>("gallery");

const client = await connect({ backend: sqlite("split.db") });
const handle = await client.start(galleryRef, ["cat.png", "dog.png"], { id: "pets" });
const again = await client.start(galleryRef, ["cat.png", "dog.png"], { id: "pets" }); // the same run: ids make starts idempotent
console.log(handle.id === again.id, await again.result());

for await (const run of client.list({ name: "gallery" })) console.log(run.id, run.status);
await client.close();

/* Output:
true { published: [ 'cat.png@2x', 'dog.png@2x' ] }
pets completed
*/
