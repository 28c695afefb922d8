export { huntMutants, runBatch } from "./batch.js";
export type { ScheduleResult } from "./schedule.js";
