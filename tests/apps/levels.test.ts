/** Echo, HTTP hello and the store on each level: the same service and the same load, and every answer right. */
import net from 'node:net';
import { KvCalls } from '../../host/apps/kv/caller.js';
import { KvStore } from '../../host/apps/kv/store.js';
import {
  type Calling,
  call,
  callDuplex,
  LEVELS,
  type Net,
  serve,
  serveDuplex,
} from '../../host/apps/levels.js';
import { TallySpan } from '../../host/apps/load/tally.js';
import type { CallSpec, ServiceSpec } from '../../host/apps/specs.js';
import { assert, suite } from '../support/suite.js';
import { closeHosts, hosts, SERVER, until } from './rig.js';

const test = suite('apps: levels');

const FLOWS = 8;

interface Pair {
  service: ServiceSpec;
  load: CallSpec;
  /** Begins what the load has to wait with. */
  begin(): boolean;
  /** What must hold in the end. */
  end(): void;
}

const nothing = { begin: () => true, end: () => {} };
const PAIRS: Record<string, () => Pair> = {
  echo: () => ({ service: { app: 'echo' }, load: { app: 'echo', bytes: 64 }, ...nothing }),
  'echo of long messages': () => ({
    ...{ service: { app: 'echo' }, load: { app: 'echo', bytes: 100_000 }, ...nothing },
  }),
  http: () => ({ service: { app: 'http' }, load: { app: 'http' }, ...nothing }),
  kv: () => {
    const memory = KvCalls.memory();
    const workload = { keys: 500 };
    const load: CallSpec = { app: 'kv', workload, memory };
    const calls = new KvCalls({ keys: workload.keys } as never, memory);
    return {
      service: { app: 'kv', memory: KvStore.create({ items: 2000, bytes: 4 << 20 }, true) },
      load,
      begin() {
        if (calls.ready) calls.start();
        return calls.ready;
      },
      end: () => assert.equal([calls.misses, calls.failures], [0, 0]),
    };
  },
};

const answersOf = (calling: Calling): number => new TallySpan(calling.numbers()).answers;

/** Lets a load come to some thousand answers. */
async function runs(calling: Calling, pair: Pair, least: number): Promise<void> {
  await until('all are connected', () => new TallySpan(calling.numbers()).connected === FLOWS);
  await until('the load can begin', () => pair.begin());
  calling.goOn();
  const before = answersOf(calling);
  await until(`${least} answers`, () => answersOf(calling) - before >= least);
  const span = new TallySpan(calling.numbers());
  assert.equal([calling.errors, span.ended], [[], 0]);
  assert.ok(span.at(0.5) > 0 && span.at(0.99) >= span.at(0.5) && span.meanNs > 0);
  assert.ok(span.bytesIn > 0 && span.bytesOut > 0 && span.eventsPerTurn >= 1);
  pair.end();
}

for (const [name, make] of Object.entries(PAIRS)) {
  const least = name === 'echo of long messages' ? 50 : 1000;
  for (const level of LEVELS)
    test(`${name}: a service and a load on the ${level} level, every answer right`, async () => {
      const { client, server } = await hosts();
      const pair = make();
      const served = await serve(server, level, pair.service, { port: 0 }, [1]);
      const place = { host: SERVER, port: served.port, flows: FLOWS, outstanding: 4 };
      const calling = await call(client, level, pair.load, place, [0]);
      await runs(calling, pair, least);
      await calling.close();
      await served.close();
    });

  test(`${name}: the same on Node's net, which it is compared with`, async () => {
    const pair = make();
    const node = net as unknown as Net;
    const served = await serveDuplex(node, pair.service, { port: 0, address: '127.0.0.1' });
    const place = { host: '127.0.0.1', port: served.port, flows: FLOWS, outstanding: 4 };
    const calling = callDuplex(node, pair.load, place);
    await runs(calling, pair, least);
    await calling.close();
    await served.close();
  });
}

for (const level of LEVELS)
  test(`${level}: a load says why it cannot connect`, async () => {
    const { client } = await hosts();
    const place = { host: SERVER, port: 9, flows: 2, outstanding: 1 };
    const calling = await call(client, level, { app: 'echo', bytes: 64 }, place, [0]);
    await until('both are refused', () => calling.errors.length >= 2);
    assert.equal(calling.errors, ['ECONNREFUSED', 'ECONNREFUSED']);
    await calling.close();
  });

test('the hosts close, and leave no stream, no memory and no frame', closeHosts);
