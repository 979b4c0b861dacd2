/** The load of messages in virtual time that bench -- homa is made of: every message is counted, alone it takes what its frames take. */
import { dctcp } from '../../bench/scenarios/homa/dctcp.js';
import { homa } from '../../bench/scenarios/homa/homa.js';
import { type LoadOptions, type Outcome, simulate } from '../../bench/scenarios/homa/simulation.js';
import { workload } from '../../host/apps/workloads/workload.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bench: homa');
const LIMIT = { timeoutMs: 120_000 };

const run = (o: Partial<LoadOptions>): Promise<Outcome> =>
  simulate({
    transport: dctcp({ ports: 2 }),
    shape: { hostsPerRack: 3 },
    workload: workload('w3', true),
    ...{ load: 0.6, messages: 400, seed: 4 },
    ...o,
  });

const slowdowns = ({ took, best }: Outcome): number[] => Array.from(took, (t, i) => t / best[i]);

test(
  'DCTCP: every message completes, none is faster than its frames; the same seed gives the same run',
  async () => {
    const one = await run({});
    assert.is(one.completed, 400);
    assert.is(one.failed, 0);
    assert.is(one.took.length, 380, 'a twentieth is warm-up');
    assert.ok(Math.min(...slowdowns(one)) >= 1, 'faster than possible');
    assert.ok(Math.max(...slowdowns(one)) > 2, 'nothing waited: that was no load');
    assert.ok(one.offered > 0 && one.goodput > 0);
    const other = await run({});
    assert.equal(other.took, one.took);
  },
  LIMIT,
);

test(
  'a message alone takes what its frames take: a frame, an initial window',
  async () => {
    for (const bytes of [8, 100, 1400, 5000, 12_000]) {
      const o = await run({ workload: workload(bytes), messages: 20, alone: true, callers: 1, warmup: 2 });
      assert.is(o.completed, 20);
      for (const s of slowdowns(o)) assert.ok(s >= 1 && s < 1.05, `${bytes} B: ${s}`);
    }
  },
  LIMIT,
);

test(
  'Homa: every message completes, short ones alone take exactly what their frames take, and wait little under load',
  async () => {
    const transport = (): ReturnType<typeof homa> => homa({ streams: 256 });
    const alone = await run({
      transport: transport(),
      workload: workload(1400),
      messages: 20,
      alone: true,
      callers: 1,
    });
    assert.is(alone.completed, 20);
    for (const s of slowdowns(alone)) assert.is(s, 1);
    const o = await run({ transport: transport() });
    assert.is(o.completed, 400);
    assert.is(o.counters.CallsIn, 400, 'at most once');
    const all = slowdowns(o);
    assert.ok(Math.min(...all) >= 1, 'faster than possible');
    assert.ok(Math.max(...all) > 2, 'nothing waited: that was no load');
  },
  LIMIT,
);

test(
  'a dead peer: whoever calls it is told, everybody else is answered',
  async () => {
    let cut = false;
    const o = await run({
      ...{ messages: 200, drainMs: 100_000 },
      transport: dctcp({ ports: 1, connection: { userTimeoutMs: 50 } }),
      at(_now, { network, begun }) {
        if (cut || begun < 50) return;
        cut = true;
        network.cut(network.hosts[2]);
      },
    });
    assert.is(o.completed + o.failed, 200);
    assert.ok(o.failed > 0);
    assert.equal(Object.keys(o.errors), ['ETIMEDOUT']);
  },
  LIMIT,
);
