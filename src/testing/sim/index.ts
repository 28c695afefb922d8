export { huntMutants, runBatch, runGuarded, type BatchOptions, type BatchSummary, type MutantReport } from "./batch.js";
export { mutants } from "./mutants.js";
export { runSchedule, type ScheduleOptions, type ScheduleResult } from "./schedule.js";
export type { Violation } from "./witness.js";
