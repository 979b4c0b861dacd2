/** The first packet of a call comes in twice, by two lanes at a time: whatever they do in turns, it is one call. */

import { assert, suite } from '../support/suite.js';
import type { TcpEngine } from '../tcp/engine.js';
import { MortalLanes } from '../tcp/mortal.js';
import { Forged } from './forged.js';

const test = suite('homa: two lanes');
const LIMIT = { timeoutMs: 120_000 };

interface Two {
  f: Forged;
  lanes: MortalLanes;
}

async function two(): Promise<Two> {
  let lanes: MortalLanes | undefined;
  const f = await Forged.create({
    ...{ lanes: 2, streams: 512, answer: () => undefined },
    rounds: (engine, { stack, messages }) => {
      const { collection } = messages as unknown as { collection: unknown };
      const hosts = [{ entrance: stack.entrance, collection }];
      lanes = new MortalLanes(engine, hosts as unknown as TcpEngine[]);
      return lanes;
    },
  });
  return { f, lanes: lanes! };
}

/** The other lane's turn, as far as it goes; what its application reads. */
function turn({ f, lanes }: Two, lane: number): void {
  for (const nic of f.engine.nics) nic.poll();
  while (lanes.stepOf(lane) !== 0);
  f.server.work();
}

/** Channels that the shares say a peer has, of all lanes. */
function counted({ f }: Two): number {
  const { live } = f.messages as unknown as { live: { map(name: string): Iterable<[Key, Share]> } };
  return [...live.map('homa_shares')]
    .filter(([key]) => key.address.some(w => w !== 0))
    .reduce((n, [, s]) => n + s.living, 0);
}
interface Key {
  address: number[];
}
interface Share {
  living: number;
}

/** Calls that a lane makes for the first packet of a call. */
function callsOf(t: Two): number {
  const before = t.lanes.calls;
  t.f.put(t.f.data(5n, 1, 'x'), { queue: 0 });
  t.f.pass(1);
  return t.lanes.calls - before;
}

test(
  'two lanes begin a channel of the same slot: there is one, and one call',
  async () => {
    const t = await two();
    const { f, lanes } = t;
    const calls = callsOf(t);
    let raced = 0;
    for (let n = 1; n <= calls; n++) {
      const slot = 1 + n;
      f.put(f.data(5n, slot, `call ${n}`), { queue: 0 });
      lanes.meanwhile(n, '', () => {
        raced++;
        f.put(f.data(5n, slot, `call ${n}`), { queue: 1 });
        turn(t, 1);
      });
      f.pass(1);
      assert.is(f.seen.filter(s => s === `call ${n}`).length, 1, `before call ${n}: ${lanes.before}`);
      assert.is(f.served.length, 1 + n, `before call ${n}: ${lanes.before}`);
      assert.is(counted(t), 1 + n, `before call ${n}: ${lanes.before}`);
    }
    assert.ok(raced > 10, `${raced} of ${calls}`);
  },
  LIMIT,
);

test(
  'and in the other lane the call begins, is given up and forgotten meanwhile: it is not executed again',
  async () => {
    const t = await two();
    const { f, lanes } = t;
    const calls = callsOf(t);
    let once = 0;
    for (let n = 1; n <= calls; n++) {
      const slot = 1 + n;
      f.put(f.data(5n, slot, `call ${n}`), { queue: 0 });
      lanes.meanwhile(n, '', () => {
        f.put(f.data(5n, slot, `call ${n}`), { queue: 1 });
        turn(t, 1);
        f.put(f.control('RPC_UNKNOWN', 5n, slot), { queue: 1 });
        turn(t, 1);
      });
      f.pass(1);
      const seen = f.seen.filter(s => s === `call ${n}`).length;
      assert.ok(seen <= 1, `before call ${n}: ${lanes.before}`);
      once += seen;
    }
    assert.ok(once > calls / 2, `${once} of ${calls}`);
  },
  LIMIT,
);
