/** Pieces that a process of the apps bench is made of: the application's data, and what is measured of it. */
import { readdirSync, readFileSync } from 'node:fs';
import type * as KvCallers from '../../../host/apps/kv/caller.js';
import type * as KvStores from '../../../host/apps/kv/store.js';
import type * as Workloads from '../../../host/apps/kv/workload.js';
import type { Calling } from '../../../host/apps/levels.js';
import type * as Tallies from '../../../host/apps/load/tally.js';
import type * as Patiences from '../../../host/apps/patience.js';
import type { CallSpec, ServiceSpec } from '../../../host/apps/specs.js';
import { built } from '../../harness/built.js';
import type { Answer, AppName, Order } from './plan.js';

/** Of messages, and of values of the store. */
export const BYTES = 64;
/** flexkvs_bench's, with 64 bytes a value. */
const WORKLOAD = { keyBytes: 32, keys: 1000, valueBytes: BYTES, gets: 0.9, zipf: 0.9 };
const BEGIN_MS = 20_000;

const { KvCalls } = await built<typeof KvCallers>('apps/kv/caller');
const { NO_LIMITS } = await built<typeof Patiences>('apps/patience');
const { KvStore } = await built<typeof KvStores>('apps/kv/store');
const { Workload } = await built<typeof Workloads>('apps/kv/workload');
const { TallySpan } = await built<typeof Tallies>('apps/load/tally');

/** Who only connects is served by an echo, which ends when its peer does. Peers that stand still are waited for. */
export const serviceSpec = (app: AppName): ServiceSpec =>
  app === 'kv'
    ? {
        ...{ app, limits: NO_LIMITS },
        memory: KvStore.create({ items: 4 * WORKLOAD.keys, bytes: 16 << 20 }, true),
      }
    : { app: app === 'connects' ? 'echo' : app, limits: NO_LIMITS };

/** What a client asks, and when it may begin. */
export class Calls {
  /** Of what is asked on connections. */
  readonly spec: CallSpec;
  /** Whether its connections stay. */
  readonly #stays: boolean;
  readonly #kv: InstanceType<typeof KvCalls> | undefined;

  constructor(app: AppName) {
    this.#stays = app !== 'connects';
    if (app === 'kv') {
      const memory = KvCalls.memory();
      this.#kv = new KvCalls(new Workload(WORKLOAD), memory);
      this.spec = { app, workload: WORKLOAD, memory };
    } else this.spec = app === 'http' ? { app } : { app: 'echo', bytes: BYTES };
  }

  /** Until all are connected, and the store has every key. @throws Error with what they say after 20 s */
  async begin(calling: Calling, flows: number): Promise<void> {
    for (const late = performance.now() + BEGIN_MS; this.#stays; ) {
      const { connected } = new TallySpan(calling.numbers());
      if (calling.errors.length) throw new Error(calling.errors.slice(0, 3).join('; '));
      if (connected === flows && (this.#kv?.ready ?? true)) break;
      if (performance.now() > late) throw new Error(`${connected} of ${flows} connections`);
      await new Promise(next => setTimeout(next, 5));
    }
    this.#kv?.start();
    calling.goOn();
  }

  get failures(): string[] {
    const { failures = 0, misses = 0 } = this.#kv ?? {};
    return failures + misses ? [`${failures} requests failed, ${misses} keys were not there`] : [];
  }
}

const wait = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

/** Of all threads of this process, µs. */
const awaitedUs = (): number =>
  readdirSync('/proc/self/task').reduce((sum, thread) => {
    const [, ns] = readFileSync(`/proc/self/task/${thread}/schedstat`, 'utf8').split(' ');
    return sum + Number(ns) / 1000;
  }, 0);

/** What happens in the time of an order, and until an answer came; without a load what the process takes. */
export async function measure(
  { warmMs, ms }: Order,
  load?: { calling: Calling; calls: Calls },
): Promise<Answer> {
  await wait(warmMs);
  const before = load?.calling.numbers() ?? [];
  const awaited = awaitedUs();
  const cpu = process.cpuUsage();
  const from = performance.now();
  let span: InstanceType<typeof TallySpan>;
  do {
    await wait(ms);
    span = new TallySpan(load?.calling.numbers() ?? [], before);
  } while (load && span.answers === 0 && performance.now() - from < BEGIN_MS);
  const { user, system } = process.cpuUsage(cpu);
  const errors = [...(load?.calling.errors ?? []), ...(load?.calls.failures ?? [])];
  if (load && span.answers === 0) errors.push('no answer came');
  return {
    seconds: (performance.now() - from) / 1000,
    ...{ answers: span.answers, p50Us: span.at(0.5) / 1000, p99Us: span.at(0.99) / 1000 },
    ...{ cpuUs: user + system, awaitedUs: awaitedUs() - awaited, errors: errors.slice(0, 5) },
  };
}
