import { createMap } from '../../host/bpf/maps/index.js';
import { type BadDescriptor, Engine } from '../../host/engine/engine.js';
import type { LoadedProgram } from '../../host/engine/program.js';
import { CounterBlockLayout, DropReason, XdpContextLayout } from '../../host/layout/layout.gen.js';
import { HostNic, ReplayNic } from '../../host/nic/index.js';
import { handMade, numberOf, udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: verdicts');
const { data, dataEnd } = XdpContextLayout;

async function oneLane(program: ReturnType<typeof verdict> | undefined, more: object = {}) {
  const nics = [new HostNic({ name: 'a' }), new HostNic({ name: 'b' })];
  const engine = await Engine.create({ nics, inline: true, frames: 512, mapBytes: 1 << 18, ...more });
  if (program) engine.attach(await engine.load(program), 'a');
  await engine.start();
  return { engine, a: nics[0], b: nics[1] };
}

/** Sends `n` numbered packets into `nic`, running the engine as it goes. */
function feed(engine: Engine, nic: HostNic, n: number): void {
  for (let i = 0; i < n; i++) {
    while (!nic.send(udpFrame(i, 64, i))) engine.step();
    if (i % 50 === 49) engine.run();
  }
  engine.run();
}

for (const [v, name] of [
  [0, 'XDP_ABORTED'],
  [1, 'XDP_DROP'],
  [77, 'XDP_INVALID'],
] as const)
  test(`${name} frees the frame and counts one reason`, async () => {
    const { engine, a } = await oneLane(verdict(v));
    feed(engine, a, 1000);
    const { drops, rxPackets, rxBytes } = engine.counters()[0];
    assert.equal([rxPackets, rxBytes, drops], [1000, 64_000, { [name]: 1000 }]);
    const { ledger } = await engine.stop();
    assert.is(ledger.free, 512);
  });

test('XDP_PASS, and no program at all, bring the packet to the host as it was', async () => {
  for (const program of [verdict(2), undefined]) {
    const { engine, a } = await oneLane(program);
    feed(engine, a, 300);
    const got = engine.receive();
    assert.equal(
      got.map(p => numberOf(p.data)),
      Array.from({ length: 300 }, (_, i) => i),
    );
    assert.equal([got[5].ifindex, got[5].queue, got[5].data], [1, 0, udpFrame(5, 64, 5)]);
    assert.is((await engine.stop()).ledger.free, 512);
  }
});

test('drain takes everything when asked for no limit, and no more than a limit', async () => {
  const { engine, a } = await oneLane(verdict(2));
  feed(engine, a, 100);
  let bytes = 0;
  const take = (data: Uint8Array): void => {
    bytes += data.length;
  };
  assert.is(engine.drain(30, take), 30);
  assert.is(engine.drain(Number.POSITIVE_INFINITY, take), 70);
  assert.is(bytes, 6400);
  await engine.stop();
});

test('XDP_TX sends the packet out of the port that it came from', async () => {
  const { engine, a, b } = await oneLane(verdict(3));
  feed(engine, a, 100);
  assert.is(a.receive().length, 100);
  assert.is(b.receive().length, 0);
  const [c] = engine.counters();
  assert.equal([c.txPackets, c.txBytes, c.verdicts.tx], [100, 6400, 100]);
  await engine.stop();
});

test('a ring that nobody drains fills up; what finds no room is dropped with a reason and conserved', async () => {
  for (const [program, reason] of [
    [verdict(2), 'PASS_FULL'],
    [verdict(3), 'TX_FULL'],
  ] as const) {
    const { engine, a } = await oneLane(program, { ringSlots: 64 });
    feed(engine, a, 300);
    assert.equal(engine.counters()[0].drops, { [reason]: 300 - 64 });
    const { ledger } = await engine.stop();
    assert.is(ledger.free, 512 - 64);
  }
});

test('a lossless lane holds packets back instead', async () => {
  const { engine, a } = await oneLane(verdict(2), { ringSlots: 64, lossless: true });
  let sent = 0;
  const got: number[] = [];
  while (sent < 1000) {
    while (sent < 1000 && a.send(udpFrame(0, 64, sent))) sent++;
    engine.run();
    got.push(...engine.receive(40).map(p => numberOf(p.data)));
  }
  for (;;) {
    engine.run();
    const more = engine.receive();
    if (!more.length) break;
    got.push(...more.map(p => numberOf(p.data)));
  }
  assert.equal(
    got,
    Array.from({ length: 1000 }, (_, i) => i),
  );
  assert.equal(engine.counters()[0].drops, {});
  await engine.stop();
});

test('the descriptor follows adjust_head, adjust_tail and adjust_meta', async () => {
  // Moves data 14 on, data_end 10 back, and leaves 8 bytes of metadata.
  const program = handMade(`
    (i32.store offset=${data} (local.get 0) (i32.add (i32.load offset=${data} (local.get 0)) (i32.const 14)))
    (i32.store offset=${dataEnd} (local.get 0) (i32.sub (i32.load offset=${dataEnd} (local.get 0)) (i32.const 10)))
    (i32.store offset=${XdpContextLayout.dataMeta} (local.get 0) (i32.sub (i32.load offset=${data} (local.get 0)) (i32.const 8)))
    (i64.store (i32.load offset=${XdpContextLayout.dataMeta} (local.get 0)) (i64.const 0x1122334455667788))
    i64.const 2`);
  const { engine, a } = await oneLane(program);
  a.send(udpFrame(3, 80, 9));
  engine.run();
  const [p] = engine.receive();
  assert.equal(p.data, udpFrame(3, 80, 9).subarray(14, 70));
  assert.equal(p.meta, Uint8Array.of(0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11));
  await engine.stop();
});

const EGRESS = { section: 'xdp/devmap' };

/** A devmap or devmap_hash with these entries. Returns its address. */
function devmap(
  engine: Engine,
  type: 'devmap' | 'devmap_hash',
  entries: [ifindex: number, program?: LoadedProgram][],
): number {
  const map = createMap(engine.arena, engine.core, {
    name: type,
    type,
    keySize: 4,
    valueSize: 8,
    maxEntries: 8,
    flags: 0,
  });
  for (const [i, [ifindex, program]] of entries.entries()) map.set(i * 2, { ifindex, program });
  return map.addr;
}

/** Returns XDP_REDIRECT after setting the redirect globals through the core's test entry. */
const redirect = (kind: number, target: number, slot = 0, map = 0, flags = 0) =>
  handMade(
    `(call $redirect_set (i32.const ${kind}) (i32.const ${target}) (i32.const ${slot}) (i32.const ${map}) (i64.const ${flags})) i64.const 4`,
    { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );

test('XDP_REDIRECT to a port sends there; to no port, a port that is none, or a packet too long, drops', async () => {
  const { engine, a, b } = await oneLane(redirect(1, 2));
  feed(engine, a, 20);
  assert.is(b.receive().length, 20);
  assert.is(engine.counters()[0].redirect, 20);
  for (const [program, reason] of [
    [verdict(4), 'REDIRECT_NO_TARGET'],
    [redirect(1, 9), 'REDIRECT_NO_PORT'],
    [redirect(1, 0), 'REDIRECT_NO_PORT'],
    [redirect(1, 70_000), 'REDIRECT_NO_PORT'],
    [redirect(2, 5), 'REDIRECT_NO_LANE'],
    [redirect(3, 1 << 8), 'REDIRECT_NO_SOCKET'],
  ] as const) {
    const before = engine.counters()[0].drops[reason] ?? 0;
    engine.attach(await engine.load(program), 'a');
    feed(engine, a, 10);
    assert.is((engine.counters()[0].drops[reason] ?? 0) - before, 10, reason);
  }
  engine.attach(await engine.load(redirect(1, 2)), 'a');
  a.send(udpFrame(0, 1519));
  engine.run();
  assert.is(engine.counters()[0].drops.REDIRECT_TOO_LONG, 1);
  assert.is((await engine.stop()).ledger.free, 512);
});

test('a redirect set by one packet is not seen by the next', async () => {
  // The first packet sets a target and redirects, the second redirects without one.
  const program = handMade(
    `(if (i32.eqz (i32.load8_u offset=63 (i32.load (local.get 0)))) (then
       (call $redirect_set (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 0)))) i64.const 4`,
    { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );
  const { engine, a, b } = await oneLane(program);
  feed(engine, a, 2);
  assert.is(b.receive().length, 1);
  assert.equal(engine.counters()[0].drops, { REDIRECT_NO_TARGET: 1 });
  await engine.stop();
});

test('a devmap broadcast clones to every entry, runs its egress program, and can leave out the ingress port', async () => {
  for (const type of ['devmap', 'devmap_hash'] as const) {
    const { engine, a, b } = await oneLane(undefined);
    const mark = await engine.load(
      handMade(
        `(i32.store8 (i32.load (local.get 0)) (i32.load offset=20 (local.get 0))) i64.const 2`,
        EGRESS,
      ),
    );
    const refuse = await engine.load(handMade('i64.const 1', EGRESS));
    const all = devmap(engine, type, [[1, mark], [2, mark], [77]]);
    engine.attach(await engine.load(redirect(4, 0, 0, all)), 'a');
    feed(engine, a, 5);
    const marked = (nic: HostNic) => nic.receive().map(p => [p.data[0], numberOf(p.data)]);
    assert.equal(
      marked(a),
      [0, 1, 2, 3, 4].map(i => [1, i]),
      type,
    );
    assert.equal(
      marked(b),
      [0, 1, 2, 3, 4].map(i => [2, i]),
      type,
    );
    assert.is(engine.counters()[0].clones, 5);
    const others = devmap(engine, type, [[1], [2, refuse]]);
    engine.attach(await engine.load(redirect(4, 0, 0, others, 16)), 'a');
    feed(engine, a, 3);
    assert.equal([a.receive().length, b.receive().length], [0, 0]);
    assert.is(engine.counters()[0].drops.EGRESS_PROGRAM, 3);
    assert.is((await engine.stop()).ledger.free, 512);
  }
});

test('a broadcast without a free frame sends the original and counts the clones it could not make', async () => {
  const { engine, a, b } = await oneLane(undefined, { frames: 4 });
  engine.attach(await engine.load(redirect(4, 0, 0, devmap(engine, 'devmap', [[1], [2]]))), 'a');
  for (let i = 0; i < 4; i++) assert.ok(a.send(udpFrame(i)));
  engine.run();
  assert.equal([a.receive().length, b.receive().length, engine.counters()[0].drops], [0, 4, { NO_FRAME: 4 }]);
  assert.is((await engine.stop()).ledger.free, 4);
});

test('a cpumap redirect brings the packet to the other lane, which runs the entry’s program', async () => {
  const mark = handMade(
    `(i32.store8 (i32.load (local.get 0)) (i32.add (i32.const 100) (global.get $lane))) i64.const 2`,
  );
  const { engine, a } = await oneLane(undefined, { lanes: 2 });
  const program = await engine.load(mark);
  engine.attach(await engine.load(redirect(2, 1, program.run)), 'a');
  for (let i = 0; i < 8; i++) a.send(udpFrame(i, 64, i), 0);
  engine.run();
  assert.equal(
    engine.receive().map(p => [p.data[0], p.ifindex]),
    Array(8).fill([101, 1]),
  );
  assert.is(Number(engine.arena.lane(1).packets), 8);
  await engine.stop();
});

test('the program of a cpumap entry keeps its slots until no packet on its way to a lane names it', async () => {
  const { engine, a } = await oneLane(undefined, { lanes: 2 });
  const program = await engine.load(handMade('i64.const 2', { section: 'xdp/cpumap', name: 'far' }));
  // From lane 1 to lane 0, which has had its turn in the same step.
  const attachment = engine.attach(await engine.load(redirect(2, 0, program.run)), 'a');
  for (let i = 0; i < 8; i++) a.send(udpFrame(i, 64, i), 1);
  engine.step();
  await engine.detach(attachment);
  await engine.unload(program);
  const next = await engine.load(verdict(1));
  assert.is.not(next.run, program.run, 'its slots are not handed on');
  engine.run();
  assert.is(engine.receive().length, 8);
  assert.equal(engine.crashes, []);
  assert.is((await engine.load(verdict(1))).run, program.run, 'now they are');
  assert.is((await engine.stop()).ledger.free, 512);
});

test('an xskmap redirect reaches the socket of that queue and no other', async () => {
  const nic = new HostNic({ name: 'a', queues: 2 });
  const engine = await Engine.create({ nics: [nic], inline: true, frames: 64, mapBytes: 1 << 16 });
  const socket = engine.openSocket('a', 1);
  assert.throws(
    () => engine.openSocket('a', 1),
    (e: { code: string }) => e.code === 'ERR_SOCKET_BOUND',
  );
  engine.attach(await engine.load(redirect(3, socket.number)), 'a');
  await engine.start();
  for (let i = 0; i < 6; i++) nic.send(udpFrame(i, 64, i), i % 2);
  engine.run();
  assert.equal(
    socket.receive().map(p => [numberOf(p.data), p.queue]),
    [
      [1, 1],
      [3, 1],
      [5, 1],
    ],
  );
  assert.equal(engine.counters()[0].drops, { REDIRECT_NO_SOCKET: 3 });
  await engine.stop();
});

test('tc sees what XDP passes, and its verdict counts', async () => {
  // Drops odd packets; the context must describe the packet.
  const tc = handMade(
    `(if (i32.ne (i32.load (local.get 0)) (i32.sub (i32.load offset=80 (local.get 0)) (i32.load offset=76 (local.get 0)))) (then unreachable))
     (if (i32.ne (i32.load offset=16 (local.get 0)) (i32.const 8)) (then unreachable))
     (i64.extend_i32_u (i32.shl (i32.and (i32.load8_u offset=63 (i32.load offset=76 (local.get 0))) (i32.const 1)) (i32.const 1)))`,
    { type: 'tc' },
  );
  const { engine, a } = await oneLane(verdict(2));
  engine.attach(await engine.load(tc), 'a', 'tc_ingress');
  feed(engine, a, 10);
  assert.equal(
    engine.receive().map(p => numberOf(p.data)),
    [0, 2, 4, 6, 8],
  );
  assert.equal(engine.counters()[0].drops, { TC_SHOT: 5 });
  assert.equal(engine.crashes, []);
  await engine.stop();
});

test('tc can redirect, and a socket filter trims or drops', async () => {
  const tc = handMade(
    `(if (i32.eqz (i32.load8_u offset=63 (i32.load offset=76 (local.get 0)))) (then
       (call $redirect_set (i32.const 1) (i32.const 2) (i32.const 0) (i32.const 0) (i64.const 0)) (return (i64.const 7))))
     i64.const -1`,
    { type: 'tc', helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
  );
  // Keeps as many bytes as the packet's number times 10; none for number 1.
  const filter = handMade(
    `(i64.extend_i32_u (select (i32.const 0) (i32.mul (i32.const 10) (i32.load8_u offset=63 (i32.load offset=76 (local.get 0))))
       (i32.eq (i32.load8_u offset=63 (i32.load offset=76 (local.get 0))) (i32.const 1))))`,
    { type: 'socket_filter' },
  );
  const { engine, a, b } = await oneLane(undefined);
  engine.attach(await engine.load(tc), 'a', 'tc_ingress');
  engine.attach(await engine.load(filter), 'a', 'socket_filter');
  feed(engine, a, 10);
  assert.equal(
    b.receive().map(p => numberOf(p.data)),
    [0],
  );
  assert.equal(
    engine.receive().map(p => p.data.length),
    [20, 30, 40, 50, 60, 64, 64, 64],
  );
  assert.equal(engine.counters()[0].drops, { SOCKET_FILTER: 1 });
  await engine.stop();
});

test('a program of the wrong type, or one that is not loaded, cannot be attached', async () => {
  const { engine } = await oneLane(undefined);
  const tc = await engine.load(handMade('i64.const 0', { type: 'tc' }));
  assert.throws(
    () => engine.attach(tc, 'a', 'xdp'),
    (e: { code: string }) => e.code === 'ERR_ATTACH_TYPE',
  );
  await engine.unload(tc);
  assert.throws(
    () => engine.attach(tc, 'a', 'tc_ingress'),
    (e: { code: string }) => e.code === 'ERR_PROGRAM_UNLOADED',
  );
  const pass = await engine.load(verdict(2));
  const at = engine.attach(pass, 'a');
  let code: string | undefined;
  await engine.unload(pass).catch((e: { code: string }) => (code = e.code));
  assert.is(code, 'ERR_PROGRAM_BUSY');
  await engine.detach(at);
  await engine.unload(pass);
  await engine.stop();
});

test('a descriptor that leaves its frame is refused and counted, its frame free again', async () => {
  const { engine, a } = await oneLane(verdict(3));
  const x = engine.core.exports;
  const feedAt = a.port.queue(0).rxFeedAt;
  const bad = [
    [2048 * 512, 64],
    [x.frame_alloc() + 256, 1793],
    [x.frame_alloc() + 2047, 2],
    [0xfffff000, 64],
    [x.frame_alloc() + 256, 0xffffff00],
  ];
  const said: BadDescriptor[] = [];
  engine.on('descriptor', d => said.push(d));
  for (const [addr, len] of bad) x.ring_push(feedAt, addr, len, 0);
  x.ring_submit(feedAt);
  engine.step();
  assert.equal(
    said,
    [{ lane: 0, count: bad.length, address: bad[4][0], length: bad[4][1] }],
    'when it is seen, not at the end',
  );
  engine.run();
  assert.is(said.length, 1);
  assert.equal(engine.counters()[0].drops, { BAD_DESCRIPTOR: bad.length });
  assert.is((await engine.stop()).ledger.free, 512);
});

test('a frame whose descriptor came back as no frame is in the ledger as strayed; another one is lost', async () => {
  for (const lost of [0, 1]) {
    const { engine, a } = await oneLane(verdict(1));
    const x = engine.core.exports;
    for (let i = 0; i <= lost; i++) x.frame_alloc();
    x.ring_push(a.port.queue(0).rxFeedAt, 0xfffff000, 64, 0);
    x.ring_submit(a.port.queue(0).rxFeedAt);
    engine.run();
    const { free, strayed, lost: missing } = engine.ledger();
    assert.equal([free, strayed, missing], [511 - lost, 1, lost]);
    if (lost)
      await engine.stop().then(
        () => assert.unreachable(),
        e => assert.is(e.code, 'ERR_FRAMES_LOST'),
      );
    else await engine.stop();
  }
});

test('replay plays each template in turn, exactly as often as asked, through every queue', async () => {
  const packets = Array.from({ length: 37 }, (_, i) => udpFrame(i, 60 + i * 40, i));
  const nic = new ReplayNic({ packets, count: 1000, queues: 3 });
  const engine = await Engine.create({ nics: [nic], lanes: 3, inline: true, frames: 300, mapBytes: 1 << 16 });
  await engine.start();
  const times = new Map<number, number>();
  while (engine.busy) {
    engine.run();
    for (const p of engine.receive()) {
      const i = numberOf(p.data);
      assert.equal(p.data, packets[i]);
      times.set(i, (times.get(i) ?? 0) + 1);
    }
  }
  for (let i = 0; i < 37; i++) assert.is(times.get(i), Math.floor(1000 / 37) + (i < 1000 % 37 ? 1 : 0));
  assert.is(nic.played, 1000);
  assert.is((await engine.stop()).ledger.free, 300);
});

test('every drop reason has a name of its own and fits its counters', () => {
  const numbers = Object.values(DropReason);
  assert.is(new Set(numbers).size, numbers.length);
  const bytes = CounterBlockLayout.size - CounterBlockLayout.drop;
  assert.ok((Math.max(...numbers) + 1) * 8 <= bytes);
});

test('random numbers repeat with the seed; without one each engine has its own, and each lane', async () => {
  const draw = async (seed?: number) => {
    const engine = await Engine.create({
      nics: [],
      inline: true,
      lanes: 2,
      frames: 512,
      mapBytes: 1 << 16,
      seed,
    });
    await engine.start();
    const words = [0, 1, 2].map(i => {
      const { random0, random1, random2, random3 } = engine.arena.lane(i);
      return [random0, random1, random2, random3].join();
    });
    await engine.stop();
    return words;
  };
  const [one, same, other] = [await draw(7), await draw(7), await draw(8)];
  assert.equal(one, same);
  const all = [one, other, await draw(), await draw()].flat();
  assert.is(new Set(all).size, all.length);
});
