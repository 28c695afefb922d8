export { memory, type MemoryOptions } from "./memory.js";
