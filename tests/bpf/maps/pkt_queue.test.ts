/**
 * pkt_queue: creation, and packets that wait. A program does what a command in shared memory says, so that the test
 * drives the kfuncs one by one and looks at what they answered, at the wire, the counters and the ledger of frames.
 */
import type { CompiledProgram } from '../../../host/bpf/jit/compiled.js';
import { createMap, type PktQueueMap } from '../../../host/bpf/maps/index.js';
import type { MapSpec } from '../../../host/bpf/spec.js';
import { Engine, type EngineOptions } from '../../../host/engine/engine.js';
import type { EtherloomError } from '../../../host/errors.js';
import { PacketBucketLayout, XdpContextLayout } from '../../../host/layout/layout.gen.js';
import { HostNic } from '../../../host/nic/index.js';
import { handMade, numberOf, udpFrame } from '../../support/programs.js';
import { random } from '../../support/random.js';
import { generator, makesReady, openStream, Todo, wakes } from '../../support/streams.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('bpf/maps: pkt_queue');
const FRAMES = 512;
const STREAMS = { count: 64, bytes: 4096 };
const BUCKETS = 8;
const SLOTS = 4;
const ENOENT = -2;
const EINVAL = -22;
const ENOSPC = -28;
const EFAULT = -14;
const ENODEV = -19;
const EMSGSIZE = -90;
const ENOBUFS = -105;
const queueSpec = (more: Partial<MapSpec> = {}): MapSpec & { type: 'pkt_queue' } => ({
  name: 'wheel',
  keySize: 0,
  valueSize: 0,
  maxEntries: BUCKETS,
  flags: 0,
  extra: SLOTS,
  ...more,
  type: 'pkt_queue',
});

const KFUNCS = {
  bpf_pkt_queue_enqueue: '(param i32 i32 i64) (result i32)',
  bpf_pkt_queue_dequeue: '(param i32 i64) (result i32)',
  bpf_pkt_queue_empty: '(param i32 i64) (result i64)',
  el_pkt_queue_next: '(param i32 i64) (result i64)',
  bpf_packet_send: '(param i32 i32) (result i32)',
  bpf_packet_drop: '(param i32)',
  bpf_packet_flush: '',
  el_frame_load: '(param i32 i32 i32 i32) (result i32)',
  el_frame_store: '(param i32 i32 i32 i32) (result i32)',
};

enum Op {
  /** The packet in hand into a bucket; verdict `arg`. */
  ENQUEUE = 1,
  /** The oldest of a bucket out of port `arg`. */
  SEND = 2,
  DROP = 3,
  EMPTY = 4,
  /** Takes a packet out and traps. */
  TRAP = 5,
  /** Swaps the 4 bytes at offset `arg` of the oldest packet with those at `data`, and sends it out of port 1. */
  REWRITE = 6,
  /** Takes two out of a bucket before it sends the first and drops the second. */
  TWO = 7,
  /** The next bucket in which a packet waits. */
  NEXT = 8,
}

/** Does what the command says; any packet will do. Words: op, bucket (u64), arg, answer, data, the frame's own words. */
const commanded = (map: PktQueueMap, at: number, type: 'xdp' | 'xdp_egress' = 'xdp'): CompiledProgram => {
  const word = (i: number): string => `(i32.load (i32.const ${at + i * 4}))`;
  const answer = (value: string): string => `(i32.store (i32.const ${at + 16}) ${value})`;
  const bucket = `(i64.load (i32.const ${at + 8}))`;
  const on = (op: Op, body: string): string =>
    `(if (i32.eq ${word(0)} (i32.const ${op})) (then ${body} (return (i64.const 1))))`;
  const take = (local: string): string =>
    `(local.set ${local} (call $bpf_pkt_queue_dequeue (i32.const ${map.addr}) ${bucket}))`;
  const ifNone = `(if (i32.eqz (local.get $f)) (then ${answer(`(i32.const ${ENOENT})`)} (return (i64.const 1))))`;
  return handMade(
    `(local $f i32) (local $g i32)
     (if (i32.eq ${word(0)} (i32.const ${Op.ENQUEUE})) (then
       ${answer(`(call $bpf_pkt_queue_enqueue (local.get 0) (i32.const ${map.addr}) ${bucket})`)}
       (return (i64.extend_i32_u ${word(1)}))))
     ${on(Op.EMPTY, answer(`(i32.wrap_i64 (call $bpf_pkt_queue_empty (i32.const ${map.addr}) ${bucket}))`))}
     ${on(Op.NEXT, answer(`(i32.wrap_i64 (call $el_pkt_queue_next (i32.const ${map.addr}) ${bucket}))`))}
     ${take('$f')}
     ${ifNone}
     (memory.copy (i32.const ${at + 24}) (local.get $f) (i32.const 16))
     ${on(Op.SEND, answer(`(call $bpf_packet_send (local.get $f) ${word(1)})`))}
     ${on(Op.DROP, `(call $bpf_packet_drop (local.get $f)) ${answer('(i32.const 0)')}`)}
     ${on(Op.TRAP, 'unreachable')}
     ${on(
       Op.REWRITE,
       `${answer(`(call $el_frame_load (local.get $f) ${word(1)} (i32.const ${at + 40}) (i32.const 4))`)}
        (drop (call $el_frame_store (local.get $f) ${word(1)} (i32.const ${at + 20}) (i32.const 4)))
        (drop (call $bpf_packet_send (local.get $f) (i32.const 1)))`,
     )}
     ${take('$g')}
     (drop (call $bpf_packet_send (local.get $f) (i32.const 1)))
     (if (local.get $g) (then (call $bpf_packet_drop (local.get $g))))
     (call $bpf_packet_flush)
     ${answer('(local.get $g)')}
     i64.const 1`,
    { type, helpers: KFUNCS, name: 'commanded' },
  );
};

async function rig(more: Partial<EngineOptions> = {}, spec: Partial<MapSpec> = {}) {
  const nics = ['a', 'b'].map(
    name => new HostNic({ name, queues: more.lanes ?? 1, mtu: name === 'b' ? 100 : 1500 }),
  );
  const engine = await Engine.create({
    nics,
    inline: true,
    frames: FRAMES,
    mapBytes: 1 << 20,
    streams: STREAMS,
    ...more,
  });
  const map = createMap(engine.arena, engine.core, queueSpec(spec));
  const at = engine.arena.scratch.alloc(64, 64);
  const { u32, i32, dv } = engine.arena;
  engine.attach(await engine.load(commanded(map, at)), 'a');
  await engine.start();
  let sent = 0;
  /** Runs one command with a packet of its own; returns the answer. */
  const run = (op: Op, bucket: number | bigint, arg = 0, { lane = 0, bytes = 64 } = {}): number => {
    u32[at >> 2] = op;
    u32[(at >> 2) + 1] = arg;
    dv.setBigUint64(at + 8, BigInt(bucket), true);
    i32[(at >> 2) + 4] = -999;
    assert.ok(nics[0].send(udpFrame(0, bytes, ++sent), lane));
    engine.step();
    return i32[(at >> 2) + 4];
  };
  return {
    engine,
    map,
    a: nics[0],
    b: nics[1],
    run,
    data: u32.subarray((at >> 2) + 5, (at >> 2) + 16),
    /** Puts a packet in and returns its number. */
    put: (bucket: number, lane = 0): number => {
      assert.is(run(Op.ENQUEUE, bucket, 4, { lane }), 0);
      return sent;
    },
    drops: () => engine.counters()[0].drops,
  };
}

const numbers = (nic: HostNic): number[] => nic.receive().map(p => numberOf(p.data));

test('creation wants slots and no keys or values, and names what is wrong', async () => {
  const engine = await Engine.create({ nics: [new HostNic()], inline: true, frames: 64, mapBytes: 1 << 16 });
  const make = (more: Partial<MapSpec>) => () => createMap(engine.arena, engine.core, queueSpec(more));
  for (const more of [
    { extra: 0 },
    { extra: undefined },
    { extra: 2 ** 21 + 1 },
    { extra: 1.5 },
    { keySize: 4 },
    { valueSize: 8 },
    { maxEntries: 0 },
    { flags: 1 },
  ] as Partial<MapSpec>[])
    assert.throws(make(more), (e: { code: string }) => e.code === 'ERR_MAP_EINVAL', JSON.stringify(more));
  const map = make({ extra: 7 })();
  assert.equal([map.maxEntries, map.slots], [BUCKETS, 7]);
  assert.throws(
    () => map.held(BUCKETS),
    (e: EtherloomError) => e.code === 'ERR_MAP_EINVAL' && e.message.includes('bucket 8'),
  );
  map.destroy();
  await engine.stop();
});

test('packets leave a bucket in the order in which they came, each bucket for itself', async () => {
  const r = await rig();
  const [p, q, s] = [r.put(1), r.put(5), r.put(1)];
  assert.equal([r.map.held(1), r.map.held(5), r.map.held(0)], [2, 1, 0]);
  assert.is(r.run(Op.SEND, 1, 1), 0);
  assert.is(r.run(Op.SEND, 1, 1), 0);
  assert.is(r.run(Op.SEND, 1, 1), ENOENT);
  assert.is(r.run(Op.SEND, 5, 1), 0);
  assert.equal(numbers(r.a), [p, s, q]);
  assert.equal(r.map.counts(), { queued: 3, taken: 3, refused: 0 });
  const [c] = r.engine.counters();
  assert.equal([c.redirect, c.verdicts.redirect, c.txPackets], [3, 3, 3]);
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('bpf_pkt_queue_empty tells; a bucket that does not exist is empty and takes nothing', async () => {
  const r = await rig();
  assert.is(r.run(Op.EMPTY, 3), 1);
  r.put(3);
  assert.is(r.run(Op.EMPTY, 3), 0);
  for (const bucket of [BUCKETS, 2n ** 32n, 2n ** 32n + 3n, 2n ** 64n - 1n]) {
    assert.is(r.run(Op.EMPTY, bucket), 1);
    assert.is(r.run(Op.SEND, bucket, 1), ENOENT);
    assert.is(r.run(Op.ENQUEUE, bucket, 4), EINVAL);
  }
  assert.equal(r.drops().REDIRECT_NO_TARGET, 4);
  await r.engine.stop();
});

test('the next bucket in which a packet waits is found around the end, as a look at each would find it', async () => {
  const count = 9000;
  const r = await rig({}, { maxEntries: count });
  assert.is(r.run(Op.NEXT, 17), count, 'none');
  const waiting = new Set([0, 63, 64, 4095, 4096, 5000, count - 1]);
  const model = (from: number): number => {
    for (let i = 0; i < count; i++) if (waiting.has((from + i) % count)) return (from + i) % count;
    return count;
  };
  const compare = (): void => {
    for (const from of [0, 1, 62, 63, 64, 65, 4000, 4095, 4096, 4097, 5000, 5001, 8191, 8192, count - 1])
      assert.is(r.run(Op.NEXT, from), model(from), `from ${from}`);
    assert.is(r.run(Op.NEXT, 2n ** 40n), model(0));
  };
  for (const bucket of waiting) r.put(bucket);
  compare();
  for (const bucket of [63, 4096, 0, count - 1, 5000, 64]) {
    assert.is(r.run(Op.SEND, bucket, 1), 0);
    waiting.delete(bucket);
    compare();
  }
  // A lane that dies leaves bits that are made anew.
  r.run(Op.TRAP, 4095);
  assert.is(r.run(Op.NEXT, 0), count);
  await r.engine.stop();
});

test('a full bucket refuses with -ENOSPC: XDP_REDIRECT drops the packet with a reason, XDP_TX sends it', async () => {
  const r = await rig();
  for (let i = 0; i < SLOTS; i++) r.put(2);
  assert.is(r.run(Op.ENQUEUE, 2, 4), ENOSPC);
  assert.equal(r.drops(), { PKT_QUEUE_FULL: 1 });
  assert.is(r.run(Op.ENQUEUE, 2, 3), ENOSPC);
  assert.is(r.a.receive().length, 1);
  assert.equal(r.map.counts(), { queued: SLOTS, taken: 0, refused: 2 });
  r.run(Op.DROP, 2);
  r.put(2);
  assert.is(r.map.held(2), SLOTS);
  await r.engine.stop();
});

test('without XDP_REDIRECT nothing is queued', async () => {
  const r = await rig();
  assert.is(r.run(Op.ENQUEUE, 2, 3), 0);
  assert.is(r.a.receive().length, 1);
  assert.is(r.run(Op.ENQUEUE, 2, 1), 0);
  assert.is(r.map.held(2), 0);
  assert.equal(r.drops(), { XDP_DROP: 1 });
  await r.engine.stop();
});

test('packets that wait are a place of the ledger, by map and lane', async () => {
  const r = await rig({ lanes: 2 });
  r.put(1, 0);
  r.put(1, 1);
  r.put(7, 1);
  const ledger = r.engine.ledger();
  assert.equal(ledger.inFlight, { 'pkt_queue wheel/0': 1, 'pkt_queue wheel/1': 2 });
  assert.equal([ledger.free, ledger.lost, ledger.doubled], [FRAMES - 3, 0, 0]);
  assert.equal((await r.engine.stop()).ledger.inFlight, ledger.inFlight);
});

test('every lane has buckets of its own', async () => {
  const r = await rig({ lanes: 2 });
  const mine = r.put(1, 0);
  assert.is(r.run(Op.SEND, 1, 1, { lane: 1 }), ENOENT);
  assert.equal([r.map.held(1, 0), r.map.held(1, 1)], [1, 0]);
  assert.is(r.run(Op.SEND, 1, 1, { lane: 0 }), 0);
  assert.equal(numbers(r.a), [mine]);
  assert.equal(r.map.counts(1), { queued: 0, taken: 0, refused: 0 });
  await r.engine.stop();
});

test('a packet that was taken out can be read and written within its bounds', async () => {
  const r = await rig();
  const number = r.put(0);
  r.data[0] = 0x78563412;
  assert.is(r.run(Op.REWRITE, 0, 60), 0);
  assert.is(r.data[5], number << 24, 'the last four bytes, as they were');
  assert.equal(numbers(r.a), [0x12345678]);
  const other = r.put(0);
  assert.is(r.run(Op.REWRITE, 0, 61), EFAULT);
  assert.equal(numbers(r.a), [other], 'sent as it was');
  r.put(0);
  assert.is(r.run(Op.REWRITE, 0, 0xffff_fffe), EFAULT);
  await r.engine.stop();
});

test('the program reads length, stream, port and transport off a packet that it took out', async () => {
  const r = await rig();
  assert.is(r.run(Op.ENQUEUE, 0, 4, { bytes: 333 }), 0);
  r.run(Op.SEND, 0, 1);
  // A received packet has its queue where one that was made has its stream, and its port where that has its transport.
  assert.equal([...r.data.subarray(1, 5)], [333, 0, 1, 1]);
  await r.engine.stop();
});

test('sending says why it could not, and counts the drop at the packet’s port', async () => {
  const r = await rig({ ringSlots: 64 });
  r.put(0);
  assert.is(r.run(Op.SEND, 0, 99), ENODEV);
  assert.is(r.run(Op.ENQUEUE, 0, 4, { bytes: 200 }), 0);
  assert.is(r.run(Op.SEND, 0, 2), EMSGSIZE);
  assert.equal(r.drops(), { XDP_DROP: 2, REDIRECT_NO_PORT: 1, REDIRECT_TOO_LONG: 1 });
  for (let i = 0; i < 64; i++) {
    r.put(0);
    assert.is(r.run(Op.SEND, 0, 2), 0);
  }
  r.put(0);
  assert.is(r.run(Op.SEND, 0, 2), ENOBUFS);
  assert.is(r.drops().TX_FULL, 1);
  const { rxPackets, verdicts, drops } = r.engine.counters()[0];
  assert.is(rxPackets, verdicts.redirect + verdicts.drop, 'the counters of the packet in hand stay its own');
  assert.is(drops.XDP_DROP, verdicts.drop);
  const { ledger } = await r.engine.stop();
  assert.equal(ledger.inFlight, { 'tx b/0': 64 });
});

test('a dropped packet has a reason of its own; two may be in hand at a time', async () => {
  const r = await rig();
  const first = r.put(4);
  r.put(4);
  assert.ok(r.run(Op.TWO, 4) !== 0);
  assert.equal(numbers(r.a), [first]);
  assert.is(r.drops().PACKET_DROP, 1);
  r.put(4);
  assert.is(r.run(Op.DROP, 4), 0);
  assert.is(r.drops().PACKET_DROP, 2);
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('in a lossless lane a packet is taken out only when it can be sent beside what is in hand', async () => {
  const r = await rig({ ringSlots: 16, lossless: true, burst: 16 }, { extra: 16 });
  const sent: number[] = [];
  for (let i = 0; i < 15; i++) {
    sent.push(r.put(0));
    assert.is(r.run(Op.SEND, 0, 1), 0);
  }
  const last = r.put(0);
  // The one place left in the transmit ring is for the packet that carries the command.
  assert.is(r.run(Op.SEND, 0, 1), ENOENT);
  assert.is(r.run(Op.EMPTY, 0), 0, 'it waits');
  assert.equal(numbers(r.a), sent);
  assert.is(r.run(Op.SEND, 0, 1), 0);
  assert.equal(numbers(r.a), [last]);
  assert.equal(r.drops(), { XDP_DROP: 18 });
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('the end of a map drops what waits in it, counted', async () => {
  const r = await rig({ lanes: 2 });
  for (const lane of [0, 1]) for (let i = 0; i < 3; i++) r.put(i, lane);
  await r.engine.stop();
  r.map.destroy();
  assert.equal(r.drops().PKT_QUEUE_CLOSED, 6);
  assert.is(r.engine.ledger().free, FRAMES);
});

test('any sequence of operations agrees with a model, and every frame is somewhere', async () => {
  const r = await rig({ lanes: 2 });
  const next = random(7);
  const below = (n: number): number => next() % n;
  const model = Array.from({ length: 2 }, () => Array.from({ length: BUCKETS }, () => [] as number[]));
  const wires: number[][] = [[], []];
  for (let i = 0; i < 4000; i++) {
    const lane = below(2);
    const bucket = below(BUCKETS);
    const waiting = model[lane][bucket];
    switch (below(5)) {
      case 0:
      case 1: {
        const answer = r.run(Op.ENQUEUE, bucket, 4, { lane });
        assert.is(answer, waiting.length === SLOTS ? ENOSPC : 0);
        // Its packet is the (i + 1)th that was sent.
        if (answer === 0) waiting.push(i + 1);
        break;
      }
      case 2:
        assert.is(r.run(Op.EMPTY, bucket, 0, { lane }), waiting.length ? 0 : 1);
        break;
      case 3: {
        const answer = r.run(Op.SEND, bucket, 1, { lane });
        const number = waiting.shift();
        assert.is(answer, number === undefined ? ENOENT : 0);
        if (number !== undefined) wires[lane].push(number);
        break;
      }
      default: {
        const answer = r.run(Op.DROP, bucket, 0, { lane });
        assert.is(answer, waiting.shift() === undefined ? ENOENT : 0);
      }
    }
    if (i % 100 !== 0) continue;
    const got = numbers(r.a);
    for (const wire of wires)
      assert.equal(
        got.filter(n => wire.includes(n)),
        wire,
      );
    assert.is(got.length, wires[0].length + wires[1].length);
    for (const wire of wires) wire.length = 0;
  }
  for (const [lane, buckets] of model.entries())
    assert.equal(
      buckets.map((_, b) => r.map.held(b, lane)),
      buckets.map(b => b.length),
    );
  const ledger = r.engine.ledger();
  assert.equal([ledger.lost, ledger.doubled], [0, 0]);
  await r.engine.stop();
});

test('a lane that dies with a packet in hand loses that one; those that wait are sent by the next', async () => {
  const r = await rig();
  const numbersPut = Array.from({ length: SLOTS }, () => r.put(6));
  r.run(Op.TRAP, 6);
  assert.is(r.engine.crashes.length, 1);
  // What it had in hand were the packet taken out and the one that carried the command.
  assert.is(r.engine.crashes[0].packetsLost, 2);
  assert.is(r.map.held(6), SLOTS - 1);
  const late = r.put(6);
  for (let i = 0; i < SLOTS; i++) assert.is(r.run(Op.SEND, 6, 1), 0);
  assert.equal(numbers(r.a), [...numbersPut.slice(1), late]);
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('tails and counts that a lane left half written are made anew from the chains', async () => {
  const r = await rig();
  const first = r.put(3);
  const second = r.put(3);
  // As if it had died behind the store that links the second packet, and in another bucket behind that of a first.
  const bucket = (i: number): number =>
    (r.engine.arena.u32[(r.map.addr + 24) >> 2] + i * PacketBucketLayout.size) >> 2;
  const { u32 } = r.engine.arena;
  u32[bucket(3) + 1] = u32[bucket(3)];
  u32[bucket(3) + 2] = 1;
  u32[bucket(5) + 1] = 77;
  r.run(Op.TRAP, 0);
  assert.is(r.engine.crashes.length, 0, 'bucket 0 is empty: nothing was taken out');
  const victim = r.put(0);
  r.run(Op.TRAP, 0);
  assert.is(r.engine.crashes.length, 1);
  assert.equal([r.map.held(3), r.map.held(0), r.map.held(5)], [2, 0, 0]);
  const third = r.put(3);
  for (let i = 0; i < 3; i++) r.run(Op.SEND, 3, 1);
  assert.equal(numbers(r.a), [first, second, third]);
  assert.ok(victim > second);
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

/** XDP_EGRESS: into the bucket of the stream; what finds it full is dropped. */
const queues = (map: PktQueueMap): CompiledProgram =>
  handMade(
    `(drop (call $bpf_pkt_queue_enqueue (local.get 0) (i32.const ${map.addr})
       (i64.extend_i32_u (i32.load offset=${XdpContextLayout.rxQueueIndex} (local.get 0))))) i64.const 4`,
    { type: 'xdp_egress', helpers: { bpf_pkt_queue_enqueue: KFUNCS.bpf_pkt_queue_enqueue } },
  );

test('a packet that XDP_EGRESS queued is sent later, past that program, with its stream on it', async () => {
  const nic = new HostNic({ name: 'a' });
  const engine = await Engine.create({
    nics: [nic],
    inline: true,
    frames: FRAMES,
    mapBytes: 1 << 20,
    streams: STREAMS,
  });
  const map = createMap(engine.arena, engine.core, queueSpec({ extra: 100 }));
  const todo = new Todo(engine, BUCKETS);
  openStream(engine, 5, { transport: 6 });
  const xdp = engine.attach(await engine.load(makesReady()), 'a');
  engine.attach(await engine.load(generator(todo)), 'a');
  engine.attach(await engine.load(queues(map)), 'a');
  await engine.start();
  todo.give(5, 3);
  nic.send(wakes(5));
  engine.run();
  assert.equal([map.held(5), nic.receive().length], [3, 0]);
  const at = engine.arena.scratch.alloc(64, 64);
  await engine.swap(xdp, commanded(map, at));
  const { u32, dv } = engine.arena;
  u32[at >> 2] = Op.SEND;
  u32[(at >> 2) + 1] = 1;
  dv.setBigUint64(at + 8, 5n, true);
  for (let i = 0; i < 3; i++) nic.send(udpFrame());
  engine.run();
  assert.is(nic.receive().length, 3);
  assert.equal([...u32.subarray((at >> 2) + 6, (at >> 2) + 10)], [64, 5, 1, 6]);
  assert.is((await engine.stop()).ledger.free, FRAMES);
});

test(
  'a worker lane that is ended while packets go in and out keeps those that wait, frames conserved',
  async () => {
    const nic = new HostNic({ name: 'a', sink: true, queues: 1 });
    const engine = await Engine.create({
      nics: [nic],
      frames: 2048,
      mapBytes: 1 << 20,
      restarts: 100,
      streams: STREAMS,
    });
    const map = createMap(engine.arena, engine.core, queueSpec({ extra: 64 }));
    const todo = new Todo(engine, BUCKETS);
    for (let id = 0; id < BUCKETS; id++) openStream(engine, id);
    engine.attach(await engine.load(makesReady()), 'a');
    engine.attach(await engine.load(queues(map)), 'a');
    // Before each packet that is made one is sent, of the same stream.
    const gen = generator(todo, {
      first: `(local.set $p (call $bpf_pkt_queue_dequeue (i32.const ${map.addr}) (i64.extend_i32_u (local.get $id))))
        (if (local.get $p) (then (drop (call $bpf_packet_send (local.get $p) (i32.const 1)))))`,
      helpers: {
        bpf_pkt_queue_dequeue: KFUNCS.bpf_pkt_queue_dequeue,
        bpf_packet_send: KFUNCS.bpf_packet_send,
      },
    });
    engine.attach(await engine.load(gen), 'a');
    await engine.start();
    for (let id = 0; id < BUCKETS; id++) todo.give(id, 0x7fff_ffff);
    for (let id = 0; id < BUCKETS; id++)
      while (!nic.send(wakes(id))) await new Promise(r => setTimeout(r, 1));
    for (let i = 0; i < 4; i++) {
      await new Promise(r => setTimeout(r, 15 + i * 9));
      const before = map.counts().taken;
      engine.killLane(0);
      await engine.settled();
      for (let k = 0; k < 2000 && map.counts().taken === before; k++)
        await new Promise(r => setTimeout(r, 1));
      assert.ok(map.counts().taken > before, 'the next lane goes on');
    }
    const { ledger } = await engine.stop();
    const held = Array.from({ length: BUCKETS }, (_, b) => map.held(b)).reduce((x, y) => x + y, 0);
    assert.equal(ledger.inFlight, { 'pkt_queue wheel/0': held });
    assert.is(ledger.free + held, 2048);
    map.destroy();
    assert.is(engine.ledger().free, 2048);
  },
  { timeoutMs: 30_000 },
);
