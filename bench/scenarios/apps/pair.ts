/**
 * Two hosts of ours in this process, on the two ends of the shared-memory link; plan.ts says who does what in which thread.
 *
 *   own 10.0.0.1, who calls ═══ descriptors only ═══ far 10.0.0.2, who serves
 */
import type * as Servers from '../../../host/apps/burst.js';
import type * as Levels from '../../../host/apps/levels.js';
import type { Calling, CallPlace } from '../../../host/apps/levels.js';
import type * as Loads from '../../../host/apps/load/burst.js';
import type * as Tallies from '../../../host/apps/load/tally.js';
import type * as Specs from '../../../host/apps/specs.js';
import type * as Cpus from '../../../host/engine/cpus.js';
import type * as Engines from '../../../host/engine/engine.js';
import type { Engine } from '../../../host/engine/engine.js';
import type * as Stacks from '../../../host/net/stack.js';
import type { Stack } from '../../../host/net/stack.js';
import type * as Nics from '../../../host/nic/index.js';
import type * as Tcps from '../../../host/transports/tcp/index.js';
import { built } from '../../harness/built.js';
import { HOUR_MS } from '../tcp/hosts.js';
import { Calls, serviceSpec } from './part.js';
import type { PairPlan, Shape } from './plan.js';
import { takeTurns } from './turns.js';

const { Engine: EngineClass } = await built<typeof Engines>('engine/engine');
const { keepTo } = await built<typeof Cpus>('engine/cpus');
const { Stack: StackClass } = await built<typeof Stacks>('net/stack');
const { modelLink } = await built<typeof Nics>('nic/index');
const { tcp } = await built<typeof Tcps>('transports/tcp/index');
const levels = await built<typeof Levels>('apps/levels');
const { BurstServer } = await built<typeof Servers>('apps/burst');
const { BurstLoad } = await built<typeof Loads>('apps/load/burst');
const { Tally } = await built<typeof Tallies>('apps/load/tally');
const { callersOf, serviceOf } = await built<typeof Specs>('apps/specs');

const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
const PORT = 7;
/** Bytes of each ring of a connection. */
const RING = 16 << 10;
/** By number of the thread: lanes first, or the main thread and its lane. */
const CPUS: Record<Shape, { lanes: number[]; main?: number }> = {
  lanes: { lanes: [0, 1] },
  split: { lanes: [1], main: 0 },
  inline: { lanes: [], main: 0 },
};

/** What is measured. */
export interface PairAtWork {
  readonly calling: Calling;
  readonly calls: Calls;
}

export async function openPair(plan: PairPlan): Promise<PairAtWork> {
  const { engine, own, far } = await openHosts(plan);
  const { main } = CPUS[plan.shape];
  if (main !== undefined) keepTo(main);
  const calls = new Calls(plan.app);
  const calling = await begin(plan, own, far, calls);
  await calls.begin(calling, plan.flows);
  if (engine.crashes.length) throw new Error(`lanes died: ${JSON.stringify(engine.crashes)}`);
  return { calling, calls };
}

/** An engine with a stack at each end of its link. */
async function openHosts({ shape, flows, spinUs }: PairPlan) {
  const { lanes } = CPUS[shape];
  const { a, b } = modelLink({ name: 'link', queues: 1, firstLanes: [0, lanes.length === 2 ? 1 : 0] });
  const count = 2 * flows + 64;
  const engine: Engine = await EngineClass.create({
    ...(shape === 'inline' ? { inline: true } : { lanes: lanes.length, cpus: lanes, spinUs }),
    ...{ nics: [a, b], pass: 'count', frames: 8192, hangMs: HOUR_MS },
    mapBytes: (12 << 20) + count * 8192,
    streams: { count, bytes: 4 * flows * RING + count * 10240 + (8 << 20), apps: 16, slots: 2048 },
  });
  const transport = tcp({ defaults: { sendBuffer: RING, receiveBuffer: RING } });
  const [own, far] = [
    await StackClass.create({ engine, transport, ports: { 'link.a': { addresses: [`${ADDRESSES[0]}/24`] } } }),
    await StackClass.create({ engine, transport, ports: { 'link.b': { addresses: [`${ADDRESSES[1]}/24`] } } }),
  ];
  await engine.start();
  return { engine, own, far };
}

async function begin(plan: PairPlan, own: Stack, far: Stack, calls: Calls): Promise<Calling> {
  const { level, shape, app, flows, outstanding, spinUs } = plan;
  const service = serviceSpec(app);
  const listen = { port: PORT, backlog: flows + 1 };
  const place: CallPlace = { host: ADDRESSES[1], port: PORT, flows, outstanding };
  if (level === 'burst' && spinUs > 0) {
    // Two loops in one thread would have each other wait: one that polls both in turn does not.
    const server = new BurstServer(serviceOf(service));
    const load = new BurstLoad(new Tally());
    const callers = callersOf(calls.spec);
    const options = { noDelay: true };
    far.burst.listen({ ...listen, options });
    for (let i = 0; i < flows; i++)
      load.begin(
        own.burst.connect({ host: place.host, port: PORT, options }),
        callers.next(),
        outstanding,
      );
    void takeTurns([
      { calls: own.burst, news: load.news },
      { calls: far.burst, news: server.news },
    ]);
    return {
      numbers: () => [load.tally.numbers.slice()],
      errors: load.errors,
      goOn: () => load.goOn(),
      close: async () => load.close(),
    };
  }
  const lanes = shape === 'lanes' ? [0, 1] : [0, 0];
  await levels.serve(far, level, service, listen, [lanes[1]]);
  return levels.call(own, level, calls.spec, place, [lanes[0]]);
}
