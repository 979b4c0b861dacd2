/** XDP_EGRESS: what it sees of packets that leave of their own accord, what its verdicts do, and what it never sees. */
import type { CompiledProgram } from '../../host/bpf/jit/compiled.js';
import { createMap } from '../../host/bpf/maps/index.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { XdpContextLayout } from '../../host/layout/layout.gen.js';
import { HostNic } from '../../host/nic/index.js';
import { handMade, udpFrame, verdict } from '../support/programs.js';
import { egressVerdict, generator, madeBy, makesReady, openStream, Todo, wakes } from '../support/streams.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: egress');
const FRAMES = 512;
const zero = { aborted: 0, drop: 0, pass: 0, tx: 0, redirect: 0, other: 0 };
const { data, dataEnd } = XdpContextLayout;

/** One inline lane, ports a, b and c, four streams of port a. */
async function rig(egress: CompiledProgram | undefined, more: Partial<EngineOptions> = {}) {
  const nics = ['a', 'b', 'c'].map(name => new HostNic({ name }));
  const engine = await Engine.create({
    nics,
    inline: true,
    streams: { count: 64, bytes: 1 << 20 },
    frames: FRAMES,
    mapBytes: 1 << 16,
    ...more,
  });
  const todo = new Todo(engine, 4);
  for (let id = 0; id < 4; id++) openStream(engine, id, { transport: 17 });
  engine.attach(await engine.load(makesReady()), 'a');
  engine.attach(await engine.load(generator(todo)), 'a');
  const attachment = egress && engine.attach(await engine.load(egress), 'a');
  await engine.start();
  const [a, b, c] = nics;
  /** Has stream `id` make `n` packets. */
  const make = (id: number, n: number): void => {
    todo.give(id, n);
    assert.ok(a.send(wakes(id)));
    engine.run();
  };
  return { engine, a, b, c, todo, make, attachment: attachment! };
}

const numbers = (nic: HostNic): number[] => nic.receive().map(p => madeBy(p.data)[1]);

test('without a program packets that are made go out by their port', async () => {
  const r = await rig(undefined);
  r.make(1, 3);
  assert.equal(numbers(r.a), [0, 1, 2]);
  assert.equal(r.engine.counters()[0].egress, zero);
  await r.engine.stop();
});

for (const [v, name] of [
  [2, 'pass'],
  [3, 'tx'],
] as const)
  test(`XDP_${name.toUpperCase()} sends the packet`, async () => {
    const r = await rig(egressVerdict(v));
    r.make(1, 3);
    assert.equal(numbers(r.a), [0, 1, 2]);
    const [c] = r.engine.counters();
    assert.equal([c.egress, c.txPackets], [{ ...zero, [name]: 3 }, 3]);
    assert.is((await r.engine.stop()).ledger.free, FRAMES);
  });

for (const [v, name, reason] of [
  [0, 'aborted', 'XDP_EGRESS_ABORTED'],
  [1, 'drop', 'XDP_EGRESS_DROP'],
  [77, 'other', 'XDP_EGRESS_INVALID'],
] as const)
  test(`${reason} frees the frame and counts one reason`, async () => {
    const r = await rig(egressVerdict(v));
    r.make(1, 100);
    assert.equal(numbers(r.a), []);
    const [c] = r.engine.counters();
    assert.equal(c.drops, { XDP_DROP: 1, [reason]: 100 });
    assert.equal([c.gen.tx, c.egress, c.txPackets], [100, { ...zero, [name]: 100 }, 0]);
    assert.is((await r.engine.stop()).ledger.free, FRAMES);
  });

/** Redirects to `target` by `kind` (core/redirect.ts). */
const redirects = (kind: number, target: number, map = 0, flags = 0): CompiledProgram =>
  handMade(
    `(call $redirect_set (i32.const ${kind}) (i32.const ${target}) (i32.const 0) (i32.const ${map}) (i64.const ${flags}))
     i64.const 4`,
    { type: 'xdp_egress', helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );

test('XDP_REDIRECT takes the packet to another port, past the hook of that one', async () => {
  const r = await rig(redirects(1, 2));
  r.engine.attach(await r.engine.load(egressVerdict(1)), 'b');
  r.make(1, 3);
  assert.equal([numbers(r.a), numbers(r.b)], [[], [0, 1, 2]]);
  const [a, b] = r.engine.counters();
  assert.equal([a.egress.redirect, a.redirect, b.txPackets], [3, 3, 3]);
  await r.engine.stop();
});

test('a redirect to nowhere is counted as of any program', async () => {
  for (const [program, reason] of [
    [redirects(1, 99), 'REDIRECT_NO_PORT'],
    [egressVerdict(4), 'REDIRECT_NO_TARGET'],
  ] as const) {
    const r = await rig(program);
    r.make(1, 3);
    assert.equal(r.engine.counters()[0].drops, { XDP_DROP: 1, [reason]: 3 });
    assert.is((await r.engine.stop()).ledger.free, FRAMES);
  }
});

test('a broadcast that excludes its port leaves out the one that the packet is about to leave by', async () => {
  const nics = ['a', 'b', 'c'].map(name => new HostNic({ name }));
  const engine = await Engine.create({
    nics,
    inline: true,
    streams: { count: 64, bytes: 1 << 20 },
    frames: FRAMES,
    mapBytes: 1 << 16,
  });
  const ports = createMap(engine.arena, engine.core, {
    name: 'ports',
    type: 'devmap',
    keySize: 4,
    valueSize: 4,
    maxEntries: 4,
    flags: 0,
  });
  for (const ifindex of [1, 2, 3]) ports.set(ifindex, ifindex);
  const todo = new Todo(engine, 1);
  openStream(engine, 0, { transport: 2 });
  engine.attach(await engine.load(makesReady()), 'a');
  engine.attach(await engine.load(generator(todo)), 'a');
  const EXCLUDE = 1 << 4;
  engine.attach(await engine.load(redirects(4, 0, ports.addr, EXCLUDE)), 'a');
  await engine.start();
  todo.give(0, 2);
  nics[0].send(wakes(0));
  engine.run();
  assert.equal(nics.map(numbers), [[], [0, 1], [0, 1]]);
  assert.is((await engine.stop()).ledger.free, FRAMES);
});

test('the program sees stream, transport and port, and the packet as it was made; what it writes goes out', async () => {
  const nic = new HostNic({ name: 'a' });
  const engine = await Engine.create({
    nics: [nic],
    inline: true,
    streams: { count: 64, bytes: 1 << 20 },
    frames: FRAMES,
  });
  const todo = new Todo(engine, 4);
  openStream(engine, 3, { transport: 6 });
  const at = engine.arena.scratch.alloc(64, 64);
  engine.attach(await engine.load(makesReady()), 'a');
  engine.attach(await engine.load(generator(todo)), 'a');
  const marks = handMade(
    `(memory.copy (i32.const ${at}) (local.get 0) (i32.const 40))
     (i32.store8 (i32.load offset=${data} (local.get 0)) (i32.const 0xab))
     (i32.store offset=${dataEnd} (local.get 0) (i32.sub (i32.load offset=${dataEnd} (local.get 0)) (i32.const 4)))
     i64.const 3`,
    { type: 'xdp_egress' },
  );
  engine.attach(await engine.load(marks), 'a');
  await engine.start();
  todo.give(3, 1);
  nic.send(wakes(3));
  engine.run();
  const field = (offset: number): number => engine.arena.u32[(at + offset) >> 2];
  const x = XdpContextLayout;
  assert.equal([field(x.rxQueueIndex), field(x.ingressIfindex), field(x.egressIfindex)], [3, 6, 1]);
  assert.is(field(x.dataEnd) - field(x.data), 64);
  const [packet] = nic.receive();
  assert.equal([packet.data[0], packet.data.length], [0xab, 60]);
  await engine.stop();
});

test('a packet that an ingress program bounces or redirects is not shown to it', async () => {
  const nics = ['a', 'b'].map(name => new HostNic({ name }));
  const engine = await Engine.create({
    nics,
    inline: true,
    streams: { count: 64, bytes: 1 << 20 },
    frames: FRAMES,
    mapBytes: 1 << 16,
  });
  for (const port of ['a', 'b']) engine.attach(await engine.load(egressVerdict(1)), port);
  const bounce = engine.attach(await engine.load(verdict(3)), 'a');
  await engine.start();
  nics[0].send(udpFrame());
  engine.run();
  const toB = handMade(
    `(call $redirect_set (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 0)) i64.const 4`,
    { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );
  await engine.swap(bounce, toB);
  nics[0].send(udpFrame());
  engine.run();
  assert.equal(
    nics.map(n => n.receive().length),
    [1, 1],
  );
  for (const c of engine.counters()) assert.equal(c.egress, zero);
  await engine.stop();
});

test('a swap under way of packets loses none', async () => {
  const r = await rig(egressVerdict(3), { frames: 2048 });
  r.todo.give(0, 1000);
  r.a.send(wakes(0));
  r.engine.step();
  await r.engine.swap(r.attachment, egressVerdict(2));
  r.engine.run();
  assert.is(numbers(r.a).length, 1000);
  const { egress } = r.engine.counters()[0];
  assert.ok(egress.tx > 0 && egress.pass > 0 && egress.tx + egress.pass === 1000, JSON.stringify(egress));
  await r.engine.stop();
});

test('a program that traps ends its burst; frames are conserved and other streams go on', async () => {
  const r = await rig(
    handMade(
      `(if (i32.eq (i32.load offset=40 (i32.load offset=${data} (local.get 0))) (i32.const 2)) (then unreachable)) i64.const 3`,
      { type: 'xdp_egress' },
    ),
  );
  for (const id of [1, 2, 3]) {
    r.todo.give(id, 5);
    assert.ok(r.a.send(wakes(id)));
  }
  r.engine.run();
  assert.is(r.engine.crashes.length, 2);
  assert.equal(
    r.a
      .receive()
      .map(p => madeBy(p.data))
      .filter(([id]) => id === 3).length,
    5,
  );
  assert.is((await r.engine.stop()).ledger.free, FRAMES);
});
