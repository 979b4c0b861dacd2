/** Networks to simulate: who gets what, when, in which order, and that every run of a seed is the same. */
import { Engine } from '../../host/engine/engine.js';
import { Network, type NetworkHost, type NetworkOptions } from '../../host/sim/index.js';
import { numberOf, udpFrame } from '../support/programs.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('sim: networks');
const FRAMES = 8192;

interface Arrival {
  /** Index of the host. */
  at: number;
  number: number;
  ns: number;
}

class Rig {
  readonly got: Arrival[] = [];
  #hostOf = new Map<number, number>();

  private constructor(
    readonly net: Network,
    readonly engine: Engine,
  ) {
    for (const h of net.hosts) this.#hostOf.set(engine.port(h.name).ifindex, h.index);
  }

  static async open(options: NetworkOptions): Promise<Rig> {
    const net = new Network({ ringSlots: 256, ...options });
    const engine = await Engine.create({
      nics: [...net.nics],
      inline: true,
      clock: 'virtual',
      startNs: 0n,
      frames: FRAMES,
      ringSlots: 256,
      mapBytes: 8 << 20,
    });
    await net.install(engine);
    await engine.start();
    return new Rig(net, engine);
  }

  mac(host: NetworkHost): Uint8Array {
    return this.engine.port(host.name).mac;
  }

  /** A frame from one host to another, or to everybody. */
  send(from: number, to: number | Uint8Array, number: number, bytes = 1000, priority = 0): void {
    const p = udpFrame(0, bytes, number);
    const { hosts } = this.net;
    p.set(typeof to === 'number' ? this.mac(hosts[to]) : to, 0);
    p.set(this.mac(hosts[from]), 6);
    p[15] = priority << 5;
    const dv = new DataView(p.buffer);
    dv.setUint16(24, 0);
    let sum = 0;
    for (let i = 14; i < 34; i += 2) sum += dv.getUint16(i);
    dv.setUint16(24, ~((sum & 0xffff) + (sum >>> 16)));
    assert.ok(hosts[from].nic.send(p), 'no room');
  }

  /** Until nothing is due before `ns`. */
  run(ns = Number.MAX_SAFE_INTEGER): void {
    for (;;) {
      while (this.engine.step() !== 0);
      for (const p of this.engine.receive())
        this.got.push({
          at: this.#hostOf.get(p.ifindex) ?? -1,
          number: numberOf(p.data),
          ns: Number(this.engine.now()),
        });
      const due = this.engine.nextDueNs();
      if (due === undefined || due > BigInt(ns)) return;
      this.engine.advance(due - this.engine.now());
    }
  }

  async close(): Promise<void> {
    assert.is((await this.engine.stop()).ledger.free, FRAMES, 'every frame is free again');
  }
}

const places = (got: Arrival[], number: number): number[] =>
  got
    .filter(g => g.number === number)
    .map(g => g.at)
    .sort((a, b) => a - b);

test('a frame goes to its destination and to nobody else, within a rack and between racks', async () => {
  for (const racks of [1, 2, 3]) {
    const rig = await Rig.open({ racks, hostsPerRack: 4 });
    const n = 4 * racks;
    for (let from = 0; from < n; from++)
      for (let to = 0; to < n; to++) {
        if (to === from) continue;
        rig.send(from, to, from * 100 + to, 64);
        rig.run();
      }
    assert.is(rig.got.length, n * (n - 1));
    for (const g of rig.got) assert.is(g.at, g.number % 100);
    await rig.close();
  }
});

test('a broadcast reaches all others once; so does what nobody is known for, until it has spoken', async () => {
  const rig = await Rig.open({ racks: 2, hostsPerRack: 3 });
  rig.send(4, new Uint8Array(6).fill(255), 1, 64);
  rig.run();
  assert.equal(places(rig.got, 1), [0, 1, 2, 3, 5]);
  const stranger = Uint8Array.of(2, 9, 9, 9, 9, 9);
  rig.send(0, stranger, 2, 64);
  rig.run();
  assert.equal(places(rig.got, 2), [1, 2, 3, 4, 5]);
  // It speaks, from behind host 5: from now on it is found there.
  const p = udpFrame(0, 64, 3);
  p.set(rig.mac(rig.net.hosts[0]), 0);
  p.set(stranger, 6);
  rig.net.hosts[5].nic.send(p);
  rig.run();
  rig.send(0, stranger, 4, 64);
  rig.run();
  assert.equal([places(rig.got, 3), places(rig.got, 4)], [[0], [5]]);
  // To oneself: the switch sends nothing back where it came from.
  rig.send(2, 2, 5, 64);
  rig.run();
  assert.equal(places(rig.got, 5), []);
  await rig.close();
});

test('the unloaded time is what the simulation takes, to the nanosecond: any lengths, any path', async () => {
  const next = random(7);
  const shapes: NetworkOptions[] = [
    { hostsPerRack: 2 },
    { racks: 2, hostsPerRack: 2, up: { rate: 25e9, delayNs: 333 }, core: { rate: 40e9, delayNs: 70 } },
    { racks: 3, hostsPerRack: 1, core: { rate: 7e9 }, down: { rate: 3e9 } },
  ];
  for (const shape of shapes) {
    const rig = await Rig.open(shape);
    const [from, to] = [rig.net.hosts[0], rig.net.hosts.at(-1)!];
    for (let round = 0; round < 20; round++) {
      const lengths = Array.from({ length: 1 + (next() % 30) }, () => 64 + (next() % 1450));
      const begun = Number(rig.engine.now());
      rig.got.length = 0;
      for (const [i, bytes] of lengths.entries()) rig.send(0, to.index, i, bytes);
      rig.run();
      assert.is(rig.got.at(-1)!.ns - begun, rig.net.unloadedNs(from, to, lengths));
    }
    await rig.close();
  }
});

test('incast under one switch: the urgent message passes 7 × 40 kB that wait before the receiver', async () => {
  const rig = await Rig.open({});
  for (let k = 0; k < 30; k++)
    for (let from = 1; from < 8; from++)
      rig.send(from, 0, from * 1000 + k, 1400, from === 7 && k === 0 ? 7 : 0);
  rig.run();
  const [down] = rig.net.stats().down;
  assert.equal([down.delivered, down.overflowed], [210, 0]);
  const urgent = rig.got.findIndex(g => g.number === 7000);
  assert.ok(urgent >= 0 && urgent <= 1, 'at most one frame is under way before it');
  assert.equal([down.queues[7].sent, down.queues[0].sent, down.queues[7].maxPackets], [1, 209, 1]);
  assert.ok(down.queues[0].maxBytes > 200_000);
  // The last byte comes when the line to the receiver was never idle.
  const lineNs = (210 * 1400 * 8) / 10;
  assert.is(rig.got.at(-1)!.ns, lineNs + 1120 + 1000);
  await rig.close();
});

/** Random traffic among 40 hosts in two racks; a line for each arrival. */
async function traffic(seed: number, loss: number): Promise<string> {
  const rig = await Rig.open({
    racks: 2,
    hostsPerRack: 20,
    seed,
    up: { loss },
    down: { queueBytes: 30_000 },
  });
  const next = random(3);
  for (let k = 0; k < 50; k++) {
    for (let from = 0; from < 40; from++) {
      // Half of them to the same few.
      const to = next() & 1 ? next() % 40 : next() % 3;
      if (to !== from) rig.send(from, to, from * 1000 + k, 64 + (next() % 1400), next() & 7);
    }
    rig.run(k * 2000);
  }
  rig.run();
  const stats = rig.net.stats();
  const add = (links: { [k: string]: unknown }[], key: string): number =>
    links.reduce((n, l) => n + (l[key] as number), 0);
  const sent = add(stats.up as never, 'taken');
  const gone = add(stats.up as never, 'lost') + add(stats.down as never, 'overflowed');
  assert.is(rig.got.length, sent - gone, 'what was sent arrived, was lost, or found no room');
  assert.ok(add(stats.down as never, 'overflowed') > 0, 'some buffer was full');
  for (const l of stats.down)
    assert.is(
      l.queues.reduce((n, q) => n + q.enqueued, 0),
      l.queues.reduce((n, q) => n + q.sent, 0),
    );
  await rig.close();
  return rig.got.map(g => `${g.ns} ${g.at} ${g.number}`).join('\n');
}

test('40 hosts in 2 racks: nothing is lost track of; the same seed gives the same run, another one another', async () => {
  const one = await traffic(5, 0.02);
  assert.is(await traffic(5, 0.02), one);
  assert.not.equal(await traffic(6, 0.02), one);
});

test('networks that cannot be are refused with a code', () => {
  for (const bad of [
    { racks: 0 },
    { hostsPerRack: 1.5 },
    { racks: 2, hostsPerRack: 64 },
    { hostsPerRack: 251 },
  ])
    assert.throws(
      () => new Network(bad),
      (e: { code: string }) => e.code === 'ERR_NETWORK_OPTIONS',
    );
});
