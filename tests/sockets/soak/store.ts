/** The key-value store of the soak: flexkvs's load, 90 % gets by Zipf's law, on sockets or in bursts. */
import { KvCalls } from '../../../host/apps/kv/caller.js';
import { Workload } from '../../../host/apps/kv/workload.js';
import type { Calling, CallPlace } from '../../../host/apps/levels.js';
import { TallySpan } from '../../../host/apps/load/tally.js';
import type { CallSpec } from '../../../host/apps/specs.js';
import { comes } from '../../support/waiting.js';
import { type Counted, counted } from './load.js';

const WORKLOAD = { keys: 1000 };
export const STORE = { items: 4 * WORKLOAD.keys, bytes: 4 << 20 };

/** Calls that need nobody to set the keys first: those not set yet are not found. */
export function storeCalls(): KvCalls {
  const calls = new KvCalls(new Workload(WORKLOAD), KvCalls.memory());
  calls.start();
  return calls;
}

/** The store is a cache: when its log begins anew the oldest go. Of keys by Zipf's law these are few: one in so many answers. */
export const KEPT = 1000;

/** A load that begins when every key is set. */
export class StoreLoad {
  #calling: Calling | undefined;
  readonly #calls: KvCalls;
  readonly #memory = KvCalls.memory();
  #cut = 0;

  constructor(
    readonly name: string,
    readonly flows: number,
  ) {
    this.#calls = new KvCalls(new Workload(WORKLOAD), this.#memory);
  }

  /** @throws Error when the keys are not set in time */
  async start(
    host: string,
    port: number,
    call: (spec: CallSpec, place: CallPlace) => Calling | Promise<Calling>,
  ): Promise<void> {
    const spec: CallSpec = { app: 'kv', workload: WORKLOAD, memory: this.#memory };
    const calling = await call(spec, { host, port, flows: this.flows, outstanding: 2 });
    this.#calling = calling;
    for (let i = 0; i < 4 && !(await comes(() => this.#calls.ready)); i++);
    if (!this.#calls.ready) throw new Error(`${this.name}: keys are not set; ${calling.errors.join(', ')}`);
    this.#calls.start();
    calling.goOn();
  }

  get total(): Counted {
    const span = new TallySpan(this.#calling?.numbers() ?? []);
    const { misses, failures } = this.#calls;
    const errors = (this.#calling?.errors ?? []).map(e => `${this.name}: ${e}`);
    if (failures || misses > span.answers / KEPT)
      errors.push(`${this.name}: of ${span.answers} ${misses} not found, ${failures} refused`);
    const bytes = span.bytesIn + span.bytesOut;
    return {
      ...counted(),
      answers: span.answers,
      bytes,
      connections: span.connected,
      cut: this.#cut,
      errors,
    };
  }

  async stop(): Promise<void> {
    // Answers are under way.
    this.#cut = this.flows;
    await this.#calling?.close();
  }
}
