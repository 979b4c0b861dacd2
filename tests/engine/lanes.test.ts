import { trustAsCompiled } from '../../host/bpf/stages.js';
import { LaneWords } from '../../host/engine/control.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { Lane } from '../../host/engine/lane.js';
import type { LaneCrash } from '../../host/engine/report.js';
import { Supervisor } from '../../host/engine/supervisor.js';
import { LanePhase } from '../../host/layout/layout.gen.js';
import { coreModule } from '../../host/mem/core.js';
import { HostNic, modelLink, ReplayNic } from '../../host/nic/index.js';
import { handMade, numberOf, udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: lanes');
const flows = (n: number, length = 64): Uint8Array[] =>
  Array.from({ length: n }, (_, i) => udpFrame(i, length, i));

const create = (options: EngineOptions) =>
  Engine.create({ lanes: 2, frames: 2048, mapBytes: 1 << 16, ...options });

/** Traps on packets whose byte 40 is 0xee, else passes. */
const trapOnMark = handMade(
  `(if (i32.eq (i32.load8_u offset=40 (i32.load (local.get 0))) (i32.const 0xee)) (then unreachable)) i64.const 1`,
  { name: 'trap' },
);
const hangOnMark = handMade(
  `(if (i32.eq (i32.load8_u offset=40 (i32.load (local.get 0))) (i32.const 0xee)) (then (loop (br 0)))) i64.const 1`,
  { name: 'hang' },
);
const marked = (flow: number): Uint8Array => {
  const p = udpFrame(flow);
  p[40] = 0xee;
  return p;
};

test('two workers start, play a finite source to its end, and stop with all frames in the ledger', async () => {
  const nic = new ReplayNic({ packets: flows(64), count: 1_000_000, sink: true });
  const engine = await create({ nics: [nic] });
  engine.attach(await engine.load(verdict(3)), 1);
  await engine.start();
  await engine.idle({ timeoutMs: 15_000 });
  const report = await engine.stop();
  assert.is(report.ports[0].txPackets, 1_000_000);
  assert.ok(
    report.lanes.every(l => l.packets > 100_000),
    'both lanes worked',
  );
  assert.is(report.ledger.free, 2048);
  assert.equal(report.crashes, []);
});

test('an idle worker sleeps, and wakes for a packet', async () => {
  const nic = new HostNic();
  const engine = await create({ nics: [nic], lanes: 1, spinUs: 20 });
  engine.attach(await engine.load(verdict(3)), 1);
  await engine.start();
  const asleep = () => engine.arena.lane(0).sleeping === 1;
  for (let i = 0; i < 500 && !asleep(); i++) await new Promise(r => setTimeout(r, 1));
  assert.ok(asleep());
  nic.send(udpFrame(0, 64, 7));
  let got = nic.receive();
  for (let i = 0; i < 500 && !got.length; i++, got = nic.receive()) await new Promise(r => setTimeout(r, 1));
  assert.equal(
    got.map(p => numberOf(p.data)),
    [7],
  );
  const report = await engine.stop();
  assert.ok(report.lanes[0].sleeps > 0);
});

test('a swap while busy loses no packet, and every lane says how long it stood still', async () => {
  const nic = new ReplayNic({ packets: flows(64), count: 1e12, sink: true });
  const engine = await create({ nics: [nic] });
  let attachment = engine.attach(await engine.load(verdict(3, 'first')), 1);
  await engine.start();
  const slots = new Set<number>();
  for (let i = 0; i < 20; i++) {
    const { attachment: next, pausesNs } = await engine.swap(
      attachment,
      verdict(i % 2 ? 3 : 1, `number ${i}`),
    );
    attachment = next;
    slots.add(next.program.run);
    assert.is(pausesNs.length, 2);
    assert.ok(
      pausesNs.every(ns => ns > 0 && ns < 1e9),
      `${pausesNs}`,
    );
  }
  const report = await engine.stop();
  const [c] = report.ports;
  assert.is(c.txPackets + (c.drops.XDP_DROP ?? 0), c.rxPackets);
  assert.equal(Object.keys(c.drops), ['XDP_DROP']);
  assert.ok(c.txPackets > 0);
  assert.is(report.swaps.length, 20);
  assert.ok(slots.size <= 3, 'slots of old programs are used again');
  const inFlight = Object.values(report.ledger.inFlight).reduce((x, y) => x + y, 0);
  assert.is(report.ledger.free + inFlight, 2048);
});

test('a program that traps is reported with its reason, its lane replaced, and no frame lost', async () => {
  const nic = new HostNic({ queues: 2 });
  const engine = await create({ nics: [nic] });
  const crashes: LaneCrash[] = [];
  engine.on('crash', c => crashes.push(c));
  engine.attach(await engine.load(trapOnMark), 1);
  await engine.start();
  for (let i = 0; i < 30; i++) nic.send(i === 10 ? marked(i) : udpFrame(i), 1);
  for (let i = 0; i < 3000 && !crashes.length; i++) await new Promise(r => setTimeout(r, 1));
  assert.is(crashes.length, 1);
  const [crash] = crashes;
  assert.equal([crash.lane, crash.how, crash.replaced], [1, 'threw', true]);
  assert.match(crash.reason, /unreachable/);
  for (let i = 0; i < 500; i++) while (!nic.send(udpFrame(i))) await new Promise(r => setTimeout(r, 1));
  await engine.idle({ timeoutMs: 5000 });
  const report = await engine.stop();
  const [c] = report.ports;
  assert.is((c.drops.XDP_DROP ?? 0) + (c.drops.LANE_CRASHED ?? 0) >= 500, true);
  assert.is(report.ledger.free, 2048);
  assert.is(report.crashes.length, 1);
});

/** Flows of all eight classes. */
const classes = (n: number): Uint8Array[] =>
  flows(n).map((p, i) => {
    p[15] = (i & 7) << 5;
    return p;
  });

for (const [what, settings] of [
  ['with delays', { delayNs: 50_000, jitterNs: 20_000, duplicate: 0.05 }],
  // Slower than what comes: most packets wait, in all queues.
  ['with priorities', { rate: 5e8, priorities: 8, packets: 1024, duplicate: 0.05, delayNs: 20_000 }],
] as const)
  test(
    `a lane terminated in the middle of its work is replaced, again and again, with frames conserved: a link ${what}`,
    async () => {
      const { a, b } = modelLink({ ...settings, queues: 2 });
      const nic = new ReplayNic({ packets: classes(64), count: 1e12, sink: true });
      const engine = await create({ nics: [nic, a, b] });
      // From replay to b through the link to a: rings, pool, link and heap are all at work when the thread ends.
      engine.attach(
        await engine.load(
          handMade(
            `(call $redirect_set (i32.const 1) (i32.const 3) (i32.const 0) (i32.const 0) (i64.const 0)) i64.const 4`,
            { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
          ),
        ),
        'replay',
      );
      engine.attach(await engine.load(verdict(1)), a.name);
      await engine.start();
      for (let i = 0; i < 6; i++) {
        await new Promise(r => setTimeout(r, 30));
        const before = engine.crashes.length;
        engine.killLane(i % 2);
        for (let k = 0; k < 5000 && engine.crashes.length === before; k++)
          await new Promise(r => setTimeout(r, 1));
        await engine.settled();
      }
      const taken = [0, 1].map(i => Number(engine.arena.lane(i).packets));
      const goesOn = (i: number): boolean => Number(engine.arena.lane(i).packets) > taken[i];
      for (let k = 0; k < 5000 && !(goesOn(0) && goesOn(1)); k++) await new Promise(r => setTimeout(r, 1));
      assert.ok(goesOn(0) && goesOn(1), 'both lanes go on');
      const report = await engine.stop();
      assert.equal(
        report.crashes.map(c => [c.how, c.replaced]),
        Array(6).fill(['terminated', true]),
      );
      const inFlight = Object.values(report.ledger.inFlight).reduce((x, y) => x + y, 0);
      assert.is(report.ledger.free + inFlight, 2048);
    },
    { timeoutMs: 60_000 },
  );

test('a lane that hangs is found by its heartbeat and replaced', async () => {
  const nic = new HostNic();
  const engine = await create({ nics: [nic], lanes: 1, hangMs: 300 });
  const crashed = new Promise<LaneCrash>(done => engine.once('crash', done));
  engine.attach(await engine.load(hangOnMark), 1);
  await engine.start();
  for (let i = 0; i < 5; i++) nic.send(udpFrame(i));
  nic.send(marked(0));
  const crash = await crashed;
  assert.equal([crash.how, crash.replaced], ['hung', true]);
  assert.match(crash.reason, /300 ms/);
  nic.send(udpFrame(1));
  await engine.idle({ timeoutMs: 5000 });
  assert.is((await engine.stop()).ledger.free, 2048);
});

test('a lane that dies at every packet is given up, and the engine says so', async () => {
  const nic = new HostNic();
  const engine = await create({ nics: [nic], lanes: 1, restarts: 2 });
  const failed = new Promise<{ code: string }>(done => engine.once('failed', done));
  engine.attach(await engine.load(trapOnMark), 1);
  await engine.start();
  const more = setInterval(() => nic.send(marked(0)), 2);
  assert.is((await failed).code, 'ERR_LANE_CRASHED');
  clearInterval(more);
  const report = await engine.stop();
  assert.equal(
    report.crashes.map(c => c.replaced),
    [true, true, false],
  );
  const inFlight = Object.values(report.ledger.inFlight).reduce((x, y) => x + y, 0);
  assert.is(report.ledger.free + inFlight, 2048);
});

test('an inline lane that traps is reported and goes on', async () => {
  const nic = new HostNic();
  const engine = await create({ nics: [nic], lanes: 1, inline: true });
  engine.attach(await engine.load(trapOnMark), 1);
  await engine.start();
  for (let i = 0; i < 20; i++) nic.send(i === 9 ? marked(i) : udpFrame(i));
  engine.run();
  for (let i = 0; i < 20; i++) nic.send(udpFrame(i));
  engine.run();
  const report = await engine.stop();
  assert.equal(
    report.crashes.map(c => [c.how, c.packetsLost]),
    [['threw', 11]],
  );
  assert.equal(report.ports[0].drops, { XDP_DROP: 20, LANE_CRASHED: 11 });
  assert.is(report.ledger.free, 2048);
});

test('inline lanes and workers come to the same counters', async () => {
  // The verdict depends on the packet: its number modulo 5.
  const program = handMade(
    `(i64.extend_i32_u (i32.rem_u (i32.load8_u offset=63 (i32.load (local.get 0))) (i32.const 5)))`,
  );
  const run = async (inline: boolean) => {
    const nic = new ReplayNic({ packets: flows(100), rounds: 50, sink: true });
    const engine = await create({ nics: [nic], inline, pass: 'count' });
    engine.attach(await engine.load(program), 1);
    await engine.start();
    await engine.idle({ timeoutMs: 10_000 });
    const { ports, lanes } = await engine.stop();
    return { ports, packets: lanes.map(l => l.packets) };
  };
  assert.equal(await run(false), await run(true));
});

test('a flow stays on one lane', async () => {
  // Writes the lane's number where the packet is read afterwards.
  const program = handMade(`(i32.store8 offset=5 (i32.load (local.get 0)) (global.get $lane)) i64.const 3`);
  const nic = new ReplayNic({ packets: flows(200), rounds: 20 });
  const engine = await create({ nics: [nic], lossless: true });
  engine.attach(await engine.load(program), 1);
  await engine.start();
  const laneOf = new Map<number, number>();
  let n = 0;
  const look = (): void => {
    nic.drain(1e9, p => {
      const flow = numberOf(p);
      assert.is(laneOf.get(flow) ?? p[5], p[5]);
      laneOf.set(flow, p[5]);
      n++;
    });
  };
  while (n < 4000) {
    look();
    await new Promise(r => setTimeout(r, 1));
  }
  assert.is(n, 4000);
  assert.equal([...new Set(laneOf.values())].sort(), [0, 1]);
  await engine.stop();
});

test('programs load, swap and unload on a running engine, and a bad module is refused everywhere', async () => {
  const nic = new HostNic();
  const engine = await create({ nics: [nic] });
  await engine.start();
  const program = await engine.load(verdict(3));
  assert.is(program.pausesNs.length, 2);
  const attachment = engine.attach(program, 1);
  nic.send(udpFrame());
  for (let i = 0; i < 1000 && !nic.receive().length; i++) await new Promise(r => setTimeout(r, 1));
  let code: string | undefined;
  const module = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  const bad = trustAsCompiled({ ...verdict(1), module });
  await engine.load(bad).catch((e: { code: string }) => (code = e.code));
  assert.is(code, 'ERR_PROGRAM_INSTANCE');
  await engine.detach(attachment);
  await engine.unload(program);
  assert.is(engine.ports[0].slot(0), 0);
  await engine.stop();
});

test('an order between the start of a lane and its first look is not taken for done', async () => {
  const engine = await create({ nics: [new HostNic()], lanes: 1 });
  const words = new LaneWords(engine.arena, 0);
  const before = words.get('generation');
  words.raise();
  const lane = new Lane(engine.arena.memory, coreModule(), 0, [], before);
  assert.ok(lane.called);
  lane.obey({ kind: 'remove', generation: before + 1, places: [] });
  assert.not.ok(lane.called);
});

test(
  'programs loaded while their lane is being replaced run in it as soon as load() is done',
  async () => {
    const nic = new HostNic();
    const engine = await create({ nics: [nic], lanes: 1 });
    await engine.start();
    for (let round = 0; round < 5; round++) {
      const before = engine.crashes.length;
      engine.killLane(0);
      // At another moment of the replacement each time, the last ones after it.
      await new Promise(r => setTimeout(r, round * 15));
      for (let k = 0; k < 3; k++) {
        engine.attach(await engine.load(verdict(3, `round ${round}.${k}`)), 1);
        nic.send(udpFrame(0, 64, round));
      }
      for (let k = 0; k < 5000 && engine.crashes.length === before; k++)
        await new Promise(r => setTimeout(r, 1));
      await engine.settled();
    }
    await engine.idle({ timeoutMs: 5000 });
    const report = await engine.stop();
    assert.equal(
      report.crashes.map(c => c.how),
      Array(5).fill('terminated'),
      'no lane met an empty slot',
    );
    nic.receive();
  },
  { timeoutMs: 30_000 },
);

test('cpumap programs are unloaded under full load, and no lane meets an empty slot', async () => {
  const nic = new ReplayNic({ packets: flows(64), count: 1e12 });
  const engine = await create({ nics: [nic], pass: 'count' });
  const source = (slot: number) =>
    handMade(
      `(call $redirect_set (i32.const 2) (i32.sub (i32.const 1) (global.get $lane)) (i32.const ${slot}) (i32.const 0) (i64.const 0)) i64.const 4`,
      { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
    );
  let old = await engine.load(handMade('i64.const 2', { section: 'xdp/cpumap' }));
  let attachment = engine.attach(await engine.load(source(old.run)), 1);
  await engine.start();
  const slots = new Set<number>();
  for (let i = 0; i < 15; i++) {
    const next = await engine.load(handMade('i64.const 2', { section: 'xdp/cpumap' }));
    ({ attachment } = await engine.swap(attachment, source(next.run)));
    await engine.unload(old);
    slots.add((old = next).run);
  }
  const report = await engine.stop();
  assert.equal(report.crashes, []);
  assert.ok(report.ports[0].pass > 1000);
  assert.ok(slots.size < 15, 'slots are used again');
});

test('a load that one lane fails leaves nothing in any of them', async () => {
  const engine = await create({ nics: [new HostNic()] });
  await engine.start();
  const first = await engine.load(verdict(1));
  await engine.unload(first);
  const before = engine.arena.maps.usedBytes;
  for (const lane of [0, 1]) {
    const start = `(if (i32.eq (global.get $lane) (i32.const ${lane})) (then unreachable))`;
    let error: { code?: string; message?: string } = {};
    await engine.load(handMade('i64.const 1', { start })).catch(e => (error = e));
    assert.is(error.code, 'ERR_PROGRAM_INSTANCE');
    assert.match(error.message!, new RegExp(`lane ${lane}`));
    assert.is(engine.core.table.get(first.run), null);
    assert.is(engine.arena.maps.usedBytes, before);
  }
  const next = await engine.load(verdict(1));
  assert.is(next.run, first.run, 'the slots are free again');
  assert.equal((await engine.stop()).crashes, []);
});

test('a lane that passes no burst boundary in time is an error, not a wait without end', async () => {
  const engine = await create({ nics: [new HostNic()], lanes: 1 });
  const { arena, fabric } = engine;
  const options = { rounds: 8, spinUs: 50, hangMs: 50, restarts: 1, stopMs: 10 };
  const supervisor = new Supervisor(arena, fabric, new Map(), new Map(), options);
  // A lane that says that it runs, and has no thread to do so.
  new LaneWords(arena, 0).set('phase', LanePhase.RUNNING);
  let error: { code?: string; message?: string } = {};
  await supervisor.grace().catch(e => (error = e));
  assert.is(error.code, 'ERR_LANE_STUCK');
  assert.match(error.message!, /lane 0 still runs after 70 ms/);
});

test('the options that exclude each other are refused', async () => {
  let code: string | undefined;
  await Engine.create({ nics: [], clock: 'virtual' }).catch((e: { code: string }) => (code = e.code));
  assert.is(code, 'ERR_ENGINE_OPTIONS');
});
