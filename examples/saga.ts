// A saga: each part of a trip says how it is undone before it is done. If the run fails or is cancelled, what was registered runs, the last first.
import { launch, NonRetryableError, workflow } from "perdure";
import { sqlite } from "perdure/sqlite";

interface Trip {
  readonly who: string;
  readonly fullyBooked?: string;
}

const bookings = new Set<string>();

const book = workflow("book", async (ctx, trip: Trip) => {
  for (const part of ["flight", "hotel", "car"]) {
    // Registered first: the booking may succeed just before the process dies. So the undoing must bear that there is nothing to undo.
    ctx.compensate(`cancel ${part}`, () => {
      if (bookings.delete(`${trip.who}: ${part}`)) console.log(`cancelled ${part}`);
      else console.log(`no ${part} to cancel`);
    });
    await ctx.step(`book ${part}`, () => {
      if (trip.fullyBooked === part) throw new NonRetryableError(`no ${part} left`);
      bookings.add(`${trip.who}: ${part}`);
      console.log(`booked ${part}`);
    });
  }
  return "have a good trip";
});

const engine = await launch({ backend: sqlite("saga.db"), workflows: [book] });
console.log(await engine.execute(book, { who: "Ada" }));
try {
  await engine.execute(book, { who: "Alan", fullyBooked: "car" });
} catch (error) {
  // What it failed of, not what the undoing did.
  console.log((error as Error).message.replace(/"[^"]*"/, "of Alan"));
}
console.log([...bookings].join(", "));
await engine.close();

/* Output:
booked flight
booked hotel
booked car
have a good trip
booked flight
booked hotel
no car to cancel
cancelled hotel
cancelled flight
Run of Alan failed: no car left
Ada: flight, Ada: hotel, Ada: car
*/
