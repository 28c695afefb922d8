import type { Store } from "../backend/backend.js";
import type { RunKey } from "../backend/records.js";
import type { Codec } from "../codec/codec.js";
import type { ActivityCommand, BodyCommand } from "../core/commands.js";
import type { RunFacts } from "../core/machine-options.js";
import { parseInput } from "../core/schema.js";
import { PerdureError } from "../errors.js";
import type { Runtime } from "../platform/runtime.js";
import { ActivityIo } from "./activity-io.js";
import type { Definitions } from "./definitions.js";
import type { GroupCommit } from "./group-commit.js";
import type { ActivityCall, Interceptors } from "./interceptors.js";
import type { Outgoing } from "./outgoing.js";
import type { BodyIo } from "./step-runner.js";
import { StreamWriter, type WriteRight } from "./stream-writer.js";
import type { Post } from "./post.js";
import { Transactions } from "./transactions.js";

/** The command whose body is to run in the place of this one's: the same but for its code. */
export type Substitute = (facts: RunFacts, command: BodyCommand) => BodyCommand;

export interface BodyServicesOptions {
  readonly store: Store;
  readonly runtime: Runtime;
  readonly post: Post;
  readonly commits: GroupCommit;
  readonly codec: Codec;
  readonly definitions: Definitions;
  readonly interceptors: Interceptors;
  readonly outgoing: Outgoing;
  /** Under which right this process drives a run; waits while it is being claimed anew. */
  readonly rightOf: (runId: string) => Promise<{ readonly key: RunKey; readonly epoch: number } | undefined>;
  readonly persist: <T>(call: () => Promise<T>) => Promise<T>;
  readonly substitute?: Substitute | undefined;
  readonly onTrouble: (message: string, error: unknown) => void;
}

/** What bodies need of the worker that runs them. */
export class BodyServices {
  readonly outgoing: Outgoing;
  readonly interceptors: Interceptors;
  readonly transactions: Transactions;
  readonly substitute: Substitute | undefined;
  readonly #options: BodyServicesOptions;

  constructor(options: BodyServicesOptions) {
    this.#options = options;
    this.outgoing = options.outgoing;
    this.interceptors = options.interceptors;
    this.substitute = options.substitute;
    this.transactions = new Transactions(options);
  }

  /** What the body of a command writes to streams with. */
  streamsOf(facts: RunFacts, command: number): StreamWriter {
    const { rightOf } = this.#options;
    return this.streamsUnder(facts.id, command, async () => {
      const right = await rightOf(facts.runId);
      return right === undefined ? undefined : { key: right.key, on: { run: right.key, epoch: right.epoch } };
    });
  }

  streamsUnder(workflowId: string, command: number, right: () => Promise<WriteRight | undefined>): StreamWriter {
    const { store, commits, codec, persist } = this.#options;
    return new StreamWriter({ store, commits, codec, workflowId, command, right, persist });
  }

  /** Runs an activity in the place of a step. */
  async runLocally(facts: RunFacts, { name, input, headers }: ActivityCommand, io: BodyIo): Promise<unknown> {
    const { codec } = this.#options;
    const activityIo = new ActivityIo({ io, token: "", lastHeartbeat: undefined, onHeartbeat: () => undefined, mayCompleteLater: false });
    const call = { name, workflowId: facts.id, runId: facts.runId, headers: headers ?? {} };
    return this.callActivity({ ...call, input: codec.decode(input), io: activityIo });
  }

  /** Runs an activity's code, its schema before it and interceptors around it. */
  async callActivity(call: ActivityCall): Promise<unknown> {
    const { definitions, interceptors } = this.#options;
    const definition = definitions.activities.get(call.name);
    if (definition === undefined) {
      throw new PerdureError(
        "invalid_argument",
        `Activity "${call.name}" is to run where the workflow does, and this process has not registered it. Give it to launch there, or leave out \`local\`.`,
      );
    }
    const input = await parseInput(definition.input, call.input, `The input of activity "${call.name}"`);
    return interceptors.activity({ ...call, input }, definition.run);
  }
}
