/** An object of about 100 bytes: what a step of the workloads returns. */
export const stepResult = (index: number) => ({
  order: index,
  status: "accepted",
  customer: `customer-${index}`,
  amount: 1299,
  currency: "EUR",
  items: [1, 2, 3],
});
