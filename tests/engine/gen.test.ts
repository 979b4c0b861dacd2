/** XDP_GEN: the ready list, visits, what becomes of the packets that are made, and what of those that cannot be. */
import type { CompiledProgram } from '../../host/bpf/jit/compiled.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import type { LaneCrash } from '../../host/engine/report.js';
import { FRAME_HEADROOM, NO_FRAME, XdpContextLayout } from '../../host/layout/layout.gen.js';
import { HostNic } from '../../host/nic/index.js';
import { handMade } from '../support/programs.js';
import {
  egressVerdict,
  type Generator,
  generator,
  madeBy,
  makesReady,
  openStream,
  streamView,
  Todo,
  wakes,
} from '../support/streams.js';
import { assert, suite } from '../support/suite.js';
import { comes } from '../support/waiting.js';

const test = suite('engine: gen');
const FRAMES = 512;
const zero = { aborted: 0, drop: 0, pass: 0, tx: 0, redirect: 0, other: 0 };

/** Records that tests open by hand. */
const STREAMS = { count: 1024, bytes: 4096 };

/** One inline lane with two ports, streams 0 … `open` - 1 of port 1, and a generator there. */
async function rig({
  open = 8,
  gen = {},
  ...more
}: { open?: number; gen?: Generator | ((todo: Todo) => CompiledProgram) } & Partial<EngineOptions> = {}) {
  const nics = [
    new HostNic({ name: 'a', ...(more.lanes ? { queues: more.lanes } : {}) }),
    new HostNic({ name: 'b' }),
  ];
  const engine = await Engine.create({
    ...{ nics, inline: true, frames: FRAMES, mapBytes: 1 << 16, streams: STREAMS },
    ...more,
  });
  const todo = new Todo(engine, open);
  for (let id = 0; id < open; id++) openStream(engine, id);
  const answer = engine.arena.scratch.alloc(64, 64);
  engine.attach(await engine.load(makesReady(answer)), 'a');
  const program = typeof gen === 'function' ? gen(todo) : generator(todo, gen);
  const attachment = engine.attach(await engine.load(program), 'a');
  await engine.start();
  const wake = (id: number): void => assert.ok(nics[0].send(wakes(id)));
  return {
    engine,
    a: nics[0],
    b: nics[1],
    todo,
    attachment,
    wake,
    answered: () => engine.arena.i32[answer >> 2],
    made: () => nics[0].receive().map(p => madeBy(p.data)),
    ready: () => engine.arena.lane(0).readyCount,
  };
}

const counting = (id: number, n: number): [number, number][] => Array.from({ length: n }, (_, i) => [id, i]);

for (const [done, name] of [
  [0, 'aborted'],
  [1, 'drop'],
] as const)
  test(`a stream that is made ready has its packets made in the same round, in order, until XDP_${name.toUpperCase()}`, async () => {
    const r = await rig({ gen: { done } });
    r.todo.give(3, 5);
    r.wake(3);
    r.engine.step();
    assert.equal(r.made(), counting(3, 5));
    const [c] = r.engine.counters();
    assert.equal(c.gen, { ...zero, tx: 5, [name]: 1 });
    assert.equal([c.txPackets, c.txBytes], [5, 320]);
    assert.equal(c.drops, { XDP_DROP: 1 }, 'only the packet that made it ready');
    assert.is(r.answered(), 0);
    assert.is((await r.engine.stop()).ledger.free, FRAMES);
  });

test('XDP_PASS sends the packet and ends the visit', async () => {
  const r = await rig({ gen: { packet: 2 } });
  r.todo.give(0, 5);
  r.wake(0);
  r.engine.run();
  assert.equal(r.made(), counting(0, 1));
  assert.equal(r.engine.counters()[0].gen, { ...zero, pass: 1 });
  await r.engine.stop();
});

test('XDP_REDIRECT and what is no verdict make no packet and end the visit', async () => {
  for (const [packet, counted] of [
    [4, 'redirect'],
    [77, 'other'],
  ] as const) {
    const r = await rig({ gen: { packet } });
    r.todo.give(0, 5);
    r.wake(0);
    r.engine.run();
    assert.equal(r.made(), []);
    assert.equal(r.engine.counters()[0].gen, { ...zero, [counted]: 1 });
    assert.is((await r.engine.stop()).ledger.free, FRAMES);
  }
});

test('the program gets an empty packet of the port’s largest size, and who it is for', async () => {
  for (const [mtu, bytes] of [
    [1500, 1514],
    [9000, 2048 - FRAME_HEADROOM],
  ]) {
    const nic = new HostNic({ name: 'a', mtu });
    const engine = await Engine.create({
      nics: [new HostNic(), nic],
      inline: true,
      frames: FRAMES,
      streams: STREAMS,
    });
    const at = engine.arena.scratch.alloc(64, 64);
    openStream(engine, 9, { ifindex: 2, transport: 6 });
    engine.attach(await engine.load(makesReady()), 'a');
    const copy = handMade(`(memory.copy (i32.const ${at}) (local.get 0) (i32.const 40)) i64.const 0`, {
      type: 'xdp_gen',
    });
    engine.attach(await engine.load(copy), 'a');
    await engine.start();
    nic.send(wakes(9));
    engine.run();
    const field = (offset: number): number => engine.arena.u32[(at + offset) >> 2];
    const x = XdpContextLayout;
    assert.is(field(x.dataEnd) - field(x.data), bytes);
    assert.is(field(x.dataMeta), field(x.data));
    assert.is(field(x.data) - field(x.hardStart), FRAME_HEADROOM);
    assert.is(field(x.frameEnd) - field(x.hardStart), 2048);
    assert.equal([field(x.rxQueueIndex), field(x.ingressIfindex), field(x.egressIfindex)], [9, 6, 2]);
    await engine.stop();
  }
});

test('a stream is in the list once, however often it is made ready', async () => {
  const r = await rig();
  r.todo.give(2, 3);
  for (let i = 0; i < 10; i++) r.wake(2);
  r.engine.step();
  assert.equal(r.engine.counters()[0].gen, { ...zero, tx: 3, drop: 1 });
  assert.is(r.ready(), 0);
  await r.engine.stop();
});

test('streams are visited in the order in which they became ready, 64 packets at a time', async () => {
  const r = await rig();
  r.todo.give(5, 100);
  r.todo.give(1, 70);
  r.wake(5);
  r.wake(1);
  r.engine.run();
  const turns: [number, number][] = [];
  for (const [id] of r.made()) {
    const last = turns.at(-1);
    if (last?.[0] === id) last[1]++;
    else turns.push([id, 1]);
  }
  assert.equal(turns, [
    [5, 64],
    [1, 64],
    [5, 36],
    [1, 6],
  ]);
  await r.engine.stop();
});

test('a round makes at most 256 packets: what comes in does not wait for longer', async () => {
  const r = await rig({ frames: 2048 });
  for (let id = 0; id < 8; id++) {
    r.todo.give(id, 100);
    r.wake(id);
  }
  r.engine.step();
  assert.is(r.made().length, 256);
  assert.is(r.ready(), 8);
  r.wake(0);
  r.engine.step();
  assert.is(r.engine.counters()[0].rxPackets, 9, 'the next burst came between');
  r.engine.run();
  assert.is(r.made().length, 800 - 256);
  assert.is(r.ready(), 0);
  await r.engine.stop();
});

test('a stream that makes itself ready while it is visited is visited again in the next round', async () => {
  const r = await rig({
    gen: {
      first: '(drop (call $el_ready (local.get $id)))',
      helpers: { el_ready: '(param i32) (result i32)' },
    },
  });
  r.todo.give(4, 2);
  r.wake(4);
  for (let i = 1; i <= 3; i++) {
    r.engine.step();
    assert.is(r.engine.counters()[0].gen.drop, i);
    assert.is(r.ready(), 1);
  }
  await r.engine.stop();
});

test('numbers that are no stream, closed streams and those of another lane are not made ready', async () => {
  const r = await rig();
  streamView(r.engine, 6).flags = 0;
  streamView(r.engine, 7).lane = 3;
  const ENOENT = -2;
  const EPERM = -1;
  for (const [id, answer] of [
    [5, 0],
    [6, ENOENT],
    [7, EPERM],
    [1024, ENOENT],
    [0xffff_ffff, ENOENT],
  ]) {
    r.wake(id);
    r.engine.run();
    assert.is(r.answered(), answer, `stream ${id}`);
  }
  assert.equal(r.engine.counters()[0].gen, { ...zero, drop: 1 });
  await r.engine.stop();
});

test('without a program, without a port, and when it was closed meanwhile, a stream leaves the list unvisited', async () => {
  const r = await rig();
  openStream(r.engine, 1, { ifindex: 2 });
  openStream(r.engine, 2, { ifindex: 99 });
  for (const id of [1, 2]) {
    r.todo.give(id, 1);
    r.wake(id);
  }
  r.engine.run();
  assert.equal([r.made(), r.b.receive().length, r.ready()], [[], 0, 0]);
  openStream(r.engine, 1);
  r.wake(1);
  r.engine.run();
  assert.equal(r.made(), counting(1, 1), 'it can be made ready again');
  await r.engine.stop();
});

test('a stream whose transmit ring is full waits, and nothing is dropped', async () => {
  const r = await rig({ ringSlots: 32, burst: 16 });
  r.todo.give(0, 200);
  r.wake(0);
  const got: [number, number][] = [];
  for (let i = 0; i < 50 && got.length < 200; i++) {
    r.engine.run();
    got.push(...r.made());
  }
  assert.equal(got, counting(0, 200));
  assert.equal(r.engine.counters()[0].drops, { XDP_DROP: 1 });
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('a stream for which no frame is free waits for one', async () => {
  const r = await rig();
  r.todo.give(0, 50);
  r.wake(0);
  const { frame_alloc, frame_free } = r.engine.core.exports;
  const taken: number[] = [];
  for (let f = frame_alloc() >>> 0; f !== NO_FRAME; f = frame_alloc() >>> 0) taken.push(f);
  r.engine.run();
  assert.equal(r.made(), counting(0, 1), 'in the frame of the packet that made it ready');
  assert.is(r.ready(), 1);
  for (const f of taken) frame_free(f);
  r.engine.run();
  assert.equal(r.made(), counting(0, 50).slice(1));
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('in a lossless lane packets are made only when every ring that they may end in has room', async () => {
  // Egress sends all to port b, which nobody empties for a while.
  const r = await rig({ ringSlots: 32, burst: 16, lossless: true });
  const toB = handMade(
    `(call $redirect_set (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 0)) i64.const 4`,
    { type: 'xdp_egress', helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );
  r.engine.attach(await r.engine.load(toB), 'a');
  r.todo.give(0, 100);
  r.wake(0);
  r.engine.run();
  assert.is(r.ready(), 1);
  const got: [number, number][] = [];
  for (let i = 0; i < 50 && got.length < 100; i++) {
    got.push(...r.b.receive().map(p => madeBy(p.data)));
    r.engine.run();
  }
  assert.equal(got, counting(0, 100));
  assert.equal(r.engine.counters()[0].drops, { XDP_DROP: 1 });
  await r.engine.stop();
});

test('a swap under way of packets: each is made by the old program or the new, none is lost', async () => {
  const r = await rig({ frames: 2048 });
  r.todo.give(0, 1000);
  r.wake(0);
  r.engine.step();
  const { attachment } = await r.engine.swap(r.attachment, generator(r.todo, { name: 'next' }));
  r.engine.run();
  const got = r.made();
  assert.equal(got, counting(0, 1000));
  await r.engine.detach(attachment);
  r.todo.give(0, 5);
  r.wake(0);
  r.engine.run();
  assert.equal([r.made(), r.ready()], [[], 0], 'detached: nobody makes anything');
  assert.is((await r.engine.stop()).ledger.free, 2048);
});

/** Traps on stream 4. */
const traps = (todo: Todo): CompiledProgram =>
  generator(todo, { first: '(if (i32.eq (local.get $id) (i32.const 4)) (then unreachable))' });

test('a program that traps on one stream is tried once more with it and then not; the others go on, frames conserved', async () => {
  const r = await rig({ gen: traps });
  const crashes: LaneCrash[] = [];
  r.engine.on('crash', c => crashes.push(c));
  for (const id of [2, 4, 6]) {
    r.todo.give(id, 10);
    r.wake(id);
  }
  r.engine.run();
  assert.equal(
    crashes.map(c => [c.lane, c.how]),
    [
      [0, 'threw'],
      [0, 'threw'],
    ],
  );
  const got = r.made();
  // What the round in which it trapped had staged died with it; before the second try all was published.
  assert.equal(
    got.filter(([id]) => id === 6),
    counting(6, 10),
  );
  assert.is(r.todo.left(2), 0);
  assert.is(r.ready(), 0);
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});

test('after a crash every open stream of the lane is ready: what it owed is not forgotten', async () => {
  const trap = handMade(
    `(if (i32.eq (i32.load offset=40 (i32.load (local.get 0))) (i32.const 99)) (then unreachable)) i64.const 1`,
  );
  const nic = new HostNic({ name: 'a' });
  const engine = await Engine.create({ nics: [nic], inline: true, frames: FRAMES, streams: STREAMS });
  const todo = new Todo(engine, 4);
  for (let id = 0; id < 4; id++) openStream(engine, id);
  streamView(engine, 3).lane = 1;
  engine.attach(await engine.load(trap), 'a');
  engine.attach(await engine.load(generator(todo)), 'a');
  await engine.start();
  for (let id = 0; id < 4; id++) todo.give(id, 1);
  nic.send(wakes(99));
  engine.run();
  assert.equal(
    nic.receive().map(p => madeBy(p.data)[0]),
    [0, 1, 2],
  );
  await engine.stop();
});

test(
  'a worker lane that is ended in the midst of making packets goes on in the next, frames conserved',
  async () => {
    const nic = new HostNic({ name: 'a', sink: true, queues: 1 });
    const engine = await Engine.create({
      nics: [nic],
      frames: 2048,
      mapBytes: 1 << 16,
      restarts: 100,
      streams: STREAMS,
    });
    const todo = new Todo(engine, 8);
    for (let id = 0; id < 8; id++) openStream(engine, id);
    engine.attach(await engine.load(makesReady()), 'a');
    engine.attach(await engine.load(generator(todo)), 'a');
    engine.attach(await engine.load(egressVerdict(3)), 'a');
    await engine.start();
    const GIVEN = 0x7fff_ffff;
    for (let id = 0; id < 8; id++) todo.give(id, GIVEN);
    for (let id = 0; id < 8; id++) while (!nic.send(wakes(id))) await new Promise(r => setTimeout(r, 1));
    for (let i = 0; i < 4; i++) {
      await new Promise(r => setTimeout(r, 20 + i * 7));
      engine.killLane(0);
      // Its last rounds count as its own, and a lane that is dying cannot be killed once more.
      assert.ok(await comes(() => engine.crashes.length > i), 'it is told');
      const before = todo.left(0);
      await engine.settled();
      assert.ok(await comes(() => todo.left(0) < before), 'the next lane makes packets');
    }
    const report = await engine.stop();
    const [c] = report.ports;
    assert.is(report.crashes.length, 4);
    assert.ok(c.gen.tx >= c.txPackets, `${c.gen.tx} made, ${c.txPackets} sent`);
    const made = Array.from({ length: 8 }, (_, id) => GIVEN - todo.left(id)).reduce((x, y) => x + y, 0);
    // Only what the four rounds in hand had staged can be missing.
    assert.ok(made - c.txPackets <= 4 * 256, `${made} made, ${c.txPackets} sent`);
    assert.is(report.ledger.free, 2048);
  },
  { timeoutMs: 30_000 },
);
