import type { Command } from "./commands.js";
import type { CommandRecord } from "./events.js";

/**
 * The commands of a run, in order: what the code asks for in this turn, and on replay what the history has in its place. Marks of patches that the code
 * does not ask about (any more) are passed over: it has the newer branch only.
 */
export class CommandLog {
  /** What this turn asked for. */
  commands: Command[] = [];
  /** Is this a turn whose commands are already in the history? */
  replaying = false;
  #count = 0;
  #recorded: readonly CommandRecord[] | undefined;
  #index = 0;

  /** Begins a turn. `recorded`: the commands that the history has for it, undefined when it is new. */
  begin(recorded: readonly CommandRecord[] | undefined): void {
    this.commands = [];
    this.replaying = recorded !== undefined;
    this.#recorded = recorded;
    this.#index = 0;
  }

  /** The number that the next command will have, if it is let through: marks of patches are passed over only when it is. */
  nextNumber(): number {
    return this.#count + this.#marks(undefined) + 1;
  }

  /** Enters a command; false if the history has something else in its place. */
  enter(command: Command): boolean {
    this.#pass(this.#marks(undefined));
    return this.#take(command);
  }

  /** Enters the mark of a patch, unless the history was written without it. */
  enterPatch(id: string): boolean {
    const marks = this.#marks(id);
    if (this.#recorded !== undefined && this.#recorded[this.#index + marks]?.[0] !== "patch") return false;
    this.#pass(marks);
    return this.#take({ kind: "patch", number: this.#count + 1, name: id, dueAt: null });
  }

  #take(command: Command): boolean {
    if (this.#recorded !== undefined) {
      const recorded = this.#recorded[this.#index];
      if (recorded === undefined || recorded[0] !== command.kind || recorded[1] !== command.name) return false;
      this.#index++;
    }
    this.#count++;
    this.commands.push(command);
    return true;
  }

  /** What the history has next. */
  get recorded(): CommandRecord | undefined {
    return this.#recorded?.[this.#index];
  }

  /** What the history has in this turn that the code did not ask for. */
  unasked(): CommandRecord | undefined {
    this.#pass(this.#marks(undefined));
    return this.recorded;
  }

  /** How many marks of patches come next, before that of this one. */
  #marks(id: string | undefined): number {
    let count = 0;
    for (let next = this.recorded; next?.[0] === "patch" && next[1] !== id; next = this.#recorded?.[this.#index + count]) count++;
    return count;
  }

  #pass(marks: number): void {
    this.#index += marks;
    this.#count += marks;
  }
}
