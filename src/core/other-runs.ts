/** Other runs, as workflow code holds them. */
import type { ChildHandle, WorkflowRunHandle } from "../api/context-types.js";
import type { Message } from "../api/definition-types.js";
import type { Args, Wait } from "../api/shape-types.js";
import { PerdureError } from "../errors.js";
import { checkKind, checkOptions } from "./check-options.js";
import type { ChildCommand } from "./commands.js";
import { parseDuration } from "./duration.js";
import { checkName } from "./names.js";
import type { RunMachine } from "./run-machine.js";
import type { Scope } from "./scope.js";

const ignore = (): void => {};

export class OtherRun implements WorkflowRunHandle {
  readonly id: string;
  protected readonly machine: RunMachine;
  protected readonly scope: Scope;

  constructor(machine: RunMachine, scope: Scope, id: string) {
    this.machine = machine;
    this.scope = scope;
    this.id = id;
  }

  send<I>(message: Message<any, I>, ...args: Args<NoInfer<I>, { readonly key?: string | undefined }>): Promise<void> {
    checkKind(message, "message", "send", "made by message(…)");
    const [value, options] = args as [unknown, { readonly key?: string }?];
    checkOptions(options, `send of message "${message.name}"`, ["key"]);
    if (options?.key !== undefined) checkName(options.key, "the key of a message");
    const { machine } = this;
    return machine.issue<void>(this.scope, {
      kind: "send",
      number: machine.nextNumber(),
      name: message.name,
      dueAt: null,
      target: this.id,
      message,
      value: machine.encode(value, `the value of message "${message.name}"`),
      key: options?.key ?? null,
    });
  }

  cancel(reason?: string): Promise<void> {
    if (reason !== undefined && typeof reason !== "string")
      throw new PerdureError("invalid_argument", "The reason of a cancel must be a string.");
    const { machine } = this;
    return machine.issue<void>(this.scope, { kind: "cancel_run", number: machine.nextNumber(), name: this.id, dueAt: null, reason });
  }
}

export class ChildRun<R> extends OtherRun implements ChildHandle<R> {
  readonly #command: ChildCommand;
  readonly #outcome: Promise<R>;
  #settled = false;

  private constructor(machine: RunMachine, scope: Scope, command: ChildCommand, outcome: Promise<R>) {
    super(machine, scope, command.id);
    this.#command = command;
    this.#outcome = outcome;
    const settle = (): void => void (this.#settled = true);
    // Nobody may ever ask for it.
    outcome.then(settle, settle);
  }

  /** Resolves once the child is stored; rejects if that fails. */
  static async start<R>(machine: RunMachine, scope: Scope, command: ChildCommand): Promise<ChildHandle<R>> {
    let onStarted!: () => void;
    const started = new Promise<void>((resolve) => (onStarted = resolve));
    const outcome = machine.issue<R>(scope, command, { onStarted });
    const child = new ChildRun<R>(machine, scope, command, outcome);
    await Promise.race([started, outcome]);
    return child;
  }

  async result<const O = never>(wait?: Wait<O>): Promise<R | O> {
    checkOptions(wait, `the wait for child workflow "${this.#command.name}"`, ["timeout", "otherwise"]);
    if (wait === undefined || this.#settled) return this.#outcome;
    const { machine } = this;
    const number = machine.nextNumber();
    const dueAt = machine.nowMs + parseDuration(wait.timeout, "the timeout of a child's result");
    const otherwise = Object.hasOwn(wait, "otherwise") ? { value: wait.otherwise } : undefined;
    const given = machine.issue<O>(this.scope, { kind: "child_result", number, name: this.#command.name, dueAt }, { otherwise });
    given.catch(ignore);
    const withdraw = (): void => machine.withdraw(number);
    this.#outcome.then(withdraw, withdraw);
    return Promise.race([this.#outcome, given]);
  }
}
