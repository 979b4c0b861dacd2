/** Congestion control of connections: chosen for each, changed on a live one, and one of a user's own as eBPF programs. */
import { Collection } from '../../host/bpf/collection.js';
import { type CongestionControl, registerCongestion } from '../../host/engine/congestion.js';
import { CcAlgorithm } from '../../host/layout/layout.gen.js';
import { loadObject } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';
import { OptionFlag, type TcpOptions } from './options.js';
import { Pair, type Transfer } from './pair.js';
import { FlowWatch } from './watch.js';

const test = suite('tcp: congestion control');
const LIMIT = { timeoutMs: 60_000 };
const LOSSY = {
  delayNs: 5_000_000,
  rate: 50_000_000,
  queueBytes: 60_000,
  loss: 0.005,
  reorder: 0.01,
  seed: 5,
};

function moves(pair: Pair, t: Transfer): number {
  const { ms, shas } = pair.transfer(t);
  assert.is(shas[0], shas[1], 'forth');
  assert.is(shas[2], shas[3], 'back');
  return ms;
}

/** The object's programs in the engine of a pair, registered. */
async function aimd(pair: Pair, algorithm?: number): Promise<CongestionControl> {
  const collection = await Collection.load(loadObject('aimd'), pair.engine);
  return registerCongestion(pair.engine, collection.map('aimd'), { algorithm });
}

/** Windows and thresholds of the client at every step of a transfer. */
async function trace(algorithm: number, link: Parameters<typeof Pair.create>[0]): Promise<string[]> {
  const pair = await Pair.create(link);
  if (algorithm >= CcAlgorithm.USER) assert.is((await aimd(pair)).algorithm, algorithm);
  const watch = new FlowWatch(pair.a);
  const seen: string[] = [];
  const ms = moves(pair, {
    forth: 2_000_000,
    client: { algorithm },
    each: client => {
      const { id } = client.end;
      const now = `${watch.u32(id, 'cc.cwnd')} ${watch.u32(id, 'cc.ssthresh')} ${watch.u8(id, 'ca')}`;
      if (now !== seen[seen.length - 1]) seen.push(now);
    },
  });
  await pair.engine.stop();
  return [...seen, `${ms} ms`];
}

test(
  'a user’s AIMD decides what the built-in Reno decides: the same windows, in the same order, to the ns',
  async () => {
    for (const link of [LOSSY, { delayNs: 2_000_000, loss: 0.03, seed: 8 }]) {
      const [own, built] = [await trace(CcAlgorithm.USER, link), await trace(CcAlgorithm.RENO, link)];
      assert.ok(own.length > 100, `${own.length} windows`);
      assert.equal(own, built);
    }
  },
  LIMIT,
);

test(
  'the algorithm changes on a live connection, from each to the next and back, and every byte arrives',
  async () => {
    const pair = await Pair.create({ ...LOSSY, ecnBytes: 30_000 });
    const { algorithm: own } = await aimd(pair);
    const algorithms = [0, 1, 2, 3, 4, 5, own, 1, own, 5, 0, 4, 2, 3, own];
    const flags = OptionFlag.ECN;
    const had = new Set<number>();
    let changed = 0;
    let bytes = 0;
    const ms = moves(pair, {
      forth: 6_000_000,
      back: 100_000,
      // All is written when the last of it is in the ring: one that does not grow.
      client: { flags, sndBytes: 262_144 },
      each: client => {
        const flow = pair.a.flow(client.end.id) as unknown as {
          cc: { algorithm: number; cwnd: number };
          bytes_acked: bigint;
        };
        had.add(flow.cc.algorithm);
        if (client.shut || Number(flow.bytes_acked) < bytes + 300_000) return;
        bytes += 300_000;
        const algorithm = algorithms[++changed % algorithms.length];
        const before = flow.cc.cwnd;
        pair.a.setOptions(client.end.id, { flags, algorithm }, 0);
        pair.a.settle();
        const after = pair.a.flow(client.end.id) as unknown as typeof flow;
        assert.equal([after.cc.algorithm, after.cc.cwnd], [algorithm, before], 'the window stays');
      },
    });
    assert.equal(
      [...had].sort((a, b) => a - b),
      [0, 1, 2, 3, 4, 5, own],
    );
    assert.ok(changed >= algorithms.length, `${changed} changes in ${ms} ms`);
    assert.is(pair.a.counters().TCPNoAlgorithm, undefined);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'one that is not there changes nothing, and a new connection gets Reno; it is counted',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000 });
    const seen = new Set<number>();
    moves(pair, {
      forth: 200_000,
      client: { algorithm: 20 },
      server: { algorithm: CcAlgorithm.CUBIC },
      each: client =>
        seen.add((pair.a.flow(client.end.id) as unknown as { cc: { algorithm: number } }).cc.algorithm),
    });
    assert.equal([...seen], [CcAlgorithm.RENO]);
    assert.is(pair.a.counters().TCPNoAlgorithm, 1);
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'a number that is taken back leaves its connections alive; its programs stay loaded while it has one',
  async () => {
    const pair = await Pair.create({ delayNs: 2_000_000, loss: 0.01, seed: 4 });
    const collection = await Collection.load(loadObject('aimd'), pair.engine);
    const control = registerCongestion(pair.engine, collection.map('aimd'), { algorithm: 31 });
    assert.equal([control.algorithm, control.name], [31, 'aimd']);
    assert.throws(
      () => registerCongestion(pair.engine, collection.map('aimd'), { algorithm: 31 }),
      /31 is taken/,
    );
    assert.throws(
      () => registerCongestion(pair.engine, collection.map('aimd'), { algorithm: 3 }),
      /not a user’s/,
    );
    assert.throws(() => registerCongestion(pair.engine, pair.a.map('tcp_flows')), /no congestion control/);
    await collection.close().then(
      () => assert.unreachable(),
      (error: Error) => assert.match(error.message, /aimd" \(registered as congestion control 31\)/),
    );
    let left = 1;
    moves(pair, {
      forth: 1_000_000,
      client: { algorithm: 31 },
      each: client => {
        if (left && client.sent > 500_000) left = control.unregister() ?? 0;
      },
    });
    assert.is(left, 0);
    await collection.close();
    await pair.engine.stop();
  },
  LIMIT,
);

test(
  'each connection of a listener has the algorithm that was chosen for it',
  async () => {
    const pair = await Pair.create({ delayNs: 1_000_000 });
    const options: Partial<TcpOptions>[] = [0, 1, 2, 3, 4, 5].map(algorithm => ({ algorithm }));
    for (const client of options) {
      const seen = new Set<number>();
      moves(pair, {
        forth: 100_000,
        client,
        server: { algorithm: CcAlgorithm.BBR },
        each: (c, s) => {
          const of = (host: Pair['a'], id: number): number =>
            (host.flow(id) as unknown as { cc: { algorithm: number } }).cc.algorithm;
          seen.add(of(pair.a, c.end.id));
          if (s) assert.is(of(pair.b, s.end.id), CcAlgorithm.BBR);
        },
      });
      // Before it is established a flow has none: 0.
      seen.delete(0);
      assert.equal([...seen], client.algorithm ? [client.algorithm] : []);
    }
    await pair.engine.stop();
  },
  LIMIT,
);
