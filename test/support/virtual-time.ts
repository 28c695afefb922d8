// The clock of the engine's own tests is the one that `testEngine` has.
export { virtualTime, type EngineRuntime, type VirtualTime } from "../../src/testing/virtual-time.js";
