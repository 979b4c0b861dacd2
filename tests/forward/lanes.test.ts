/** A chain run by two worker lanes: flows are shared, rings are not, and a lane that dies takes nobody with it. */

import { Engine } from '../../host/engine/engine.js';
import { Forwarder } from '../../host/forward/chain.js';
import { forwardConfig } from '../../host/forward/config.js';
import { JointEnd, joint, type ModelEnd, modelLink } from '../../host/nic/index.js';
import { read } from '../support/packets.js';
import { assert, suite } from '../support/suite.js';
import {
  ACK,
  BACKEND,
  BACKEND_PORT,
  FIN_ACK,
  FIRST_PORT,
  input,
  REAR,
  reply,
  request,
  SYN,
  SYN_ACK,
} from './rig.js';

const test = suite('forward: lanes');

/** What a backend answers from and to, without having been asked. */
const ANSWER = { src: BACKEND, dst: REAR, sport: BACKEND_PORT };

/** Packets that arrive within 5 s, as many as are asked for. */
async function arrive(end: ModelEnd, count: number): Promise<Uint8Array[]> {
  const got: Uint8Array[] = [];
  const until = performance.now() + 5000;
  while (got.length < count && performance.now() < until) {
    got.push(...end.receive().map(p => p.data));
    if (got.length < count) await new Promise(done => setTimeout(done, 2));
  }
  return got;
}

async function chain(lanes: number, body: (f: Forwarder, clients: ModelEnd, backends: ModelEnd) => unknown) {
  const front = modelLink({ name: 'front' });
  const rear = modelLink({ name: 'rear' });
  const forwarder = await Forwarder.create({
    config: forwardConfig(input(3, { flows: 4096 })),
    in: front.a,
    out: rear.a,
    engine: { lanes, frames: 4096, warmMs: 0 },
  });
  await forwarder.start();
  try {
    await body(forwarder, front.b, rear.b);
  } finally {
    await forwarder.stop();
  }
}

/** Opens `count` flows and answers each; the source ports that the backend saw. */
async function round(
  clients: ModelEnd,
  backends: ModelEnd,
  first: number,
  count: number,
): Promise<Set<number>> {
  const ports = new Set<number>();
  for (let i = 0; i < count; i++)
    assert.ok(clients.send(request({ sport: first + i, protocol: i & 1 ? 'udp' : 'tcp', flags: SYN })));
  const there = (await arrive(backends, count)).map(data => read(data));
  assert.is(there.length, count, 'all of them arrive');
  for (const seen of there) {
    assert.ok(seen.sound);
    ports.add(seen.sport);
    assert.ok(backends.send(reply(seen)));
  }
  assert.is(ports.size, count, 'each with a port of its own');
  const back = (await arrive(clients, count)).map(data => read(data));
  assert.equal(
    back.map(b => b.dport).sort((a, b) => a - b),
    Array.from({ length: count }, (_, i) => first + i),
    'every client has its answer',
  );
  return ports;
}

test(
  'two lanes open flows at the same time: no port twice, no answer astray',
  () =>
    chain(2, async (f, clients, backends) => {
      const all = new Set<number>();
      for (let n = 0; n < 5; n++)
        for (const p of await round(clients, backends, 2000 + n * 300, 300)) all.add(p);
      assert.is(all.size, 1500);
      const { ports, hops } = f.counters();
      assert.equal(
        hops.map(h => h.flows),
        [1500, 1500, 1500],
      );
      const lanes = new Set(ports[0].blocks.filter(b => b.rxPackets).map(b => b.lane));
      assert.equal([...lanes].sort(), [0, 1], 'both had work');
      // A joint keeps a packet in its lane: what lane i received at the NIC it received at every hop.
      for (const port of ports.filter(p => p.port.startsWith('hop')))
        for (const b of port.blocks) if (b.rxPackets) assert.is(b.queue, b.lane);
    }),
  { timeoutMs: 60_000 },
);

test(
  'both ends of 300 connections say FIN at once, to two lanes, 40 times: every hop has seen both each time',
  () =>
    chain(2, async (f, clients, backends) => {
      // Ports that every hop keeps; after the first time they open their old flows again.
      const sports = Array.from({ length: 300 }, (_, i) => FIRST_PORT + i);
      const round = async (forth: number, back: number): Promise<void> => {
        for (const sport of sports) {
          if (forth) clients.send(request({ sport, flags: forth }));
          if (back) backends.send(reply(read(request({ sport })), { ...ANSWER, dport: sport, flags: back }));
        }
        const got = await Promise.all([
          forth ? arrive(backends, sports.length) : [],
          back ? arrive(clients, sports.length) : [],
        ]);
        assert.is(got.flat().length, sports.length * got.filter(g => g.length).length, 'all of them arrive');
      };
      const states = (hop: number): string[] => [...new Set(f.flows(hop).map(x => x.state))];
      for (let n = 0; n < 40; n++) {
        await round(SYN, 0);
        await round(0, SYN_ACK);
        await round(ACK, 0);
        for (const hop of [0, 1, 2]) assert.equal(states(hop), ['open'], `time ${n}, hop ${hop}`);
        await round(FIN_ACK, FIN_ACK);
        for (const hop of [0, 1, 2]) assert.equal(states(hop), ['closed'], `time ${n}, hop ${hop}`);
      }
    }),
  { timeoutMs: 60_000 },
);

test(
  'a lane that is killed is replaced; flows go on, every frame is accounted for',
  () =>
    chain(2, async (f, clients, backends) => {
      await round(clients, backends, 2000, 200);
      f.engine.killLane(0);
      const until = performance.now() + 10_000;
      while (f.engine.crashes.length === 0 && performance.now() < until)
        await new Promise(done => setTimeout(done, 5));
      await f.engine.settled();
      assert.is(f.engine.crashes.length, 1);
      // The same clients on the same ports: their flows are in the arena, not in the lane.
      const before = f.counters().hops[2].counts.opened.packets;
      await round(clients, backends, 2000, 200);
      assert.is(f.counters().hops[2].counts.opened.packets, before);
    }),
  { timeoutMs: 60_000 },
);

test('a joint whose other end is elsewhere is refused', async () => {
  const { a } = joint();
  assert.instance(a, JointEnd);
  try {
    await Engine.create({ nics: [a], inline: true, frames: 256, mapBytes: 1 << 20 });
    assert.unreachable('it was opened');
  } catch (error) {
    assert.is((error as { code: string }).code, 'ERR_NIC_OPEN');
  }
});

test('a chain of several hops at one interface is refused, a single hop turns round there', async () => {
  const options = { inline: true, clock: 'virtual', frames: 512, warmMs: 0 } as const;
  const link = modelLink({ name: 'only' });
  try {
    await Forwarder.create({ config: forwardConfig(input(2)), in: link.a, engine: options });
    assert.unreachable('it was made');
  } catch (error) {
    assert.is((error as { code: string }).code, 'ERR_FORWARD_CONFIG');
  }
  const f = await Forwarder.create({ config: forwardConfig(input(1)), in: link.a, engine: options });
  await f.start();
  assert.ok(link.b.send(request({ flags: SYN })));
  f.engine.run();
  const seen = read(link.b.receive()[0].data);
  assert.equal([seen.dst, seen.dport, seen.sound], ['10.1.0.1', 8000, true]);
  assert.ok(link.b.send(reply(seen)));
  f.engine.run();
  assert.is(read(link.b.receive()[0].data).dport, 40000);
  await f.stop();
});

test('a backend whose hardware address nobody knows is named', async () => {
  const { a } = modelLink();
  const config = forwardConfig({ ...input(1), services: [{ ports: [80], backends: ['10.1.0.7:80'] }] });
  try {
    await Forwarder.create({ config, in: a });
    assert.unreachable('it was made');
  } catch (error) {
    assert.is((error as { code: string }).code, 'ERR_FORWARD_MAC');
    assert.match((error as Error).message, /10\.1\.0\.7/);
  }
});
