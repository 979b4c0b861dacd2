/**
 * Two hosts of ours in this process, on the two ends of the shared-memory link; plan.ts says who does what in which thread.
 *
 *   own 10.0.0.1, who calls ═══ descriptors only ═══ far 10.0.0.2, who serves
 */
import type * as Servers from '../../../host/apps/burst.js';
import type * as Levels from '../../../host/apps/levels.js';
import type { Calling, CallPlace, Net } from '../../../host/apps/levels.js';
import type * as Loads from '../../../host/apps/load/burst.js';
import type * as Tallies from '../../../host/apps/load/tally.js';
import type * as Specs from '../../../host/apps/specs.js';
import type * as Cpus from '../../../host/engine/cpus.js';
import type { Stack } from '../../../host/net/stack.js';
import type { ConnectionOptions } from '../../../host/transports/tcp/index.js';
import { built } from '../../harness/built.js';
import { BurstConnects, socketConnects } from './connects.js';
import { ADDRESSES, CPUS, openHosts, PORT } from './hosts.js';
import { BYTES, Calls, serviceSpec } from './part.js';
import type { PairPlan } from './plan.js';
import { takeTurns } from './turns.js';

const { keepTo } = await built<typeof Cpus>('engine/cpus');
const levels = await built<typeof Levels>('apps/levels');
const { BurstServer } = await built<typeof Servers>('apps/burst');
const { BurstLoad } = await built<typeof Loads>('apps/load/burst');
const { Tally } = await built<typeof Tallies>('apps/load/tally');
const { callersOf, serviceOf } = await built<typeof Specs>('apps/specs');

const NO_DELAY = { noDelay: true } as const;

/** What is measured. */
export interface PairAtWork {
  readonly calling: Calling;
  readonly calls: Calls;
}

export async function openPair(plan: PairPlan): Promise<PairAtWork> {
  const { engine, own, far } = await openHosts(plan.shape, plan.flows, plan.outstanding * BYTES, plan.spinUs);
  const { main } = CPUS[plan.shape];
  if (main !== undefined) keepTo(main);
  const calls = new Calls(plan.app);
  const calling = await begin(plan, own, far, calls);
  await calls.begin(calling, plan.flows);
  if (engine.crashes.length) throw new Error(`lanes died: ${JSON.stringify(engine.crashes)}`);
  return { calling, calls };
}

async function begin(plan: PairPlan, own: Stack, far: Stack, calls: Calls): Promise<Calling> {
  const { level, shape, app, flows, outstanding, most, spinUs } = plan;
  const service = serviceSpec(app);
  const listen = { port: PORT, backlog: 2 * flows };
  const place: CallPlace = { host: ADDRESSES[1], port: PORT, flows, outstanding, most };
  const lanes = shape === 'lanes' ? [0, 1] : [0, 0];
  if (level === 'burst' && spinUs > 0) {
    // Two loops in one thread would have each other wait: one that polls both in turn does not.
    const server = new BurstServer(serviceOf(service));
    far.burst.listen({ ...listen, options: NO_DELAY });
    const client = app === 'connects' ? new BurstConnects(own, place) : burstCalls(own, calls, place);
    void takeTurns([
      { calls: own.burst, news: client.news },
      { calls: far.burst, news: server.news },
    ]);
    return client.calling;
  }
  await levels.serve(far, level, service, listen, [lanes[1]]);
  if (app === 'connects') return socketConnects(own.net as unknown as Net, place);
  return levels.call(own, shape === 'served' ? 'lane' : level, calls.spec, place, [lanes[0]]);
}

/** A load whose news somebody else polls. */
function burstCalls(stack: Stack, calls: Calls, { host, port, flows, outstanding, most }: CallPlace) {
  const load = new BurstLoad<ConnectionOptions>(new Tally(), most);
  const callers = callersOf(calls.spec);
  for (let i = 0; i < flows; i++)
    load.begin(stack.burst.connect({ host, port, options: NO_DELAY }), callers.next(), outstanding);
  const calling: Calling = {
    numbers: () => [load.tally.numbers.slice()],
    errors: load.errors,
    goOn: () => load.goOn(),
    close: async () => load.close(),
  };
  return { calling, news: load.news };
}
