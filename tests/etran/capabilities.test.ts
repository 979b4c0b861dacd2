/**
 * The capabilities of "implementing eTran", by number: what its hooks, maps, kfuncs and timers can do, shown with verified
 * programs. Each part has tests of its own beside; these are the claims of the list. TCP's are in tcp.test.ts. Two have no
 * test yet: Homa (9), with the trees and objects that its programs are made of (the rest of 4), and eTran's applications
 * (11), which stand on the sockets of 10.
 */
import { disassembleProgram } from '../../host/bpf/asm/disassemble.js';
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { helperByName } from '../../host/bpf/helpers.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import { kfuncByName } from '../../host/bpf/kfuncs.js';
import {
  type ArrayOfMaps,
  type BpfMap,
  createMap,
  type KeyedMap,
  mapBinding,
  type PktQueueMap,
  type ProgArrayMap,
  type QueueMap,
} from '../../host/bpf/maps/index.js';
import { type HookName, programTypes } from '../../host/bpf/program_types.js';
import type { MapSpec, MapTypeName, ProgramType } from '../../host/bpf/spec.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { attachObject } from '../../host/engine/attach_object.js';
import { runCapture } from '../../host/engine/capture_run.js';
import type { Verdicts } from '../../host/engine/counters.js';
import { Engine } from '../../host/engine/engine.js';
import { testPacket } from '../../host/engine/test_run.js';
import { HostNic } from '../../host/nic/index.js';
import { Paced } from '../support/paced.js';
import { loadObject, OBJECTS } from '../support/program_rig.js';
import { udpFrame } from '../support/programs.js';
import { random } from '../support/random.js';
import { generator, madeBy, makesReady, openStream, streamView, Todo, wakes } from '../support/streams.js';
import { assert, suite } from '../support/suite.js';

const test = suite('eTran');
const SECOND = 1_000_000_000n;
const STREAMS = { count: 64, bytes: 4096 };
const CAPTURE = 'tests/fixtures/capture/real-traffic.pcapng';
const zero: Verdicts = { aborted: 0, drop: 0, pass: 0, tx: 0, redirect: 0, other: 0 };
const NAMES = ['aborted', 'drop', 'pass', 'tx', 'redirect'] as const;

const compiled = (text: string, type: ProgramType) =>
  compileProgram(verify(assembleSpec(text, { type })), {});

test('1: ingress, egress and gen hooks run verified programs on each packet, and count each of five verdicts', async () => {
  for (const [v, name] of NAMES.entries()) {
    const nic = new HostNic({ name: 'a' });
    const engine = await Engine.create({
      nics: [nic],
      inline: true,
      frames: 512,
      mapBytes: 1 << 16,
      streams: STREAMS,
    });
    const todo = new Todo(engine, 1);
    openStream(engine, 0);
    engine.attach(await engine.load(generator(todo)), 'a');
    engine.attach(await engine.load(compiled(`r0 = ${v}\nexit`, 'xdp_egress')), 'a');
    const ingress = engine.attach(await engine.load(makesReady()), 'a');
    await engine.start();
    todo.give(0, 7);
    nic.send(wakes(0));
    engine.run();
    assert.equal(engine.counters()[0].egress, { ...zero, [name]: 7 }, 'egress');
    await engine.swap(ingress, compiled(`r0 = ${v}\nexit`, 'xdp'));
    const before = engine.counters()[0].verdicts;
    for (let i = 0; i < 5; i++) nic.send(udpFrame());
    engine.run();
    assert.is(engine.counters()[0].verdicts[name] - before[name], 5, 'ingress');
    const { ledger } = await engine.stop();
    const held = Object.values(ledger.inFlight).reduce((a, b) => a + b, 0);
    assert.is(ledger.free + held, 512);
  }
  for (const [v, name] of NAMES.entries()) {
    const nic = new HostNic({ name: 'a' });
    const engine = await Engine.create({
      nics: [nic],
      inline: true,
      frames: 512,
      mapBytes: 1 << 16,
      streams: STREAMS,
    });
    openStream(engine, 0);
    engine.attach(await engine.load(makesReady()), 'a');
    engine.attach(await engine.load(compiled(`r0 = ${v}\nexit`, 'xdp_gen')), 'a');
    await engine.start();
    nic.send(wakes(0));
    engine.step();
    // XDP_TX without an end: a visit makes 64.
    assert.equal(engine.counters()[0].gen, { ...zero, [name]: name === 'tx' ? 64 : 1 }, 'gen');
    await engine.stop();
  }
});

test('1: the same verified program says the same in the interpreter, in the JIT and in a lane', async () => {
  const text = `
    r2 = *(u32 *)(r1 +0)
    r3 = *(u32 *)(r1 +4)
    r4 = r2
    r4 += 20
    r0 = 0
    if r4 > r3 goto out
    r5 = *(u32 *)(r1 +20)
    *(u8 *)(r2 +0) = r5
    r5 = *(u32 *)(r1 +16)
    *(u8 *)(r2 +1) = r5
    r0 = 3
  out:
    exit`;
  for (const type of ['xdp_egress', 'xdp_gen'] as const) {
    const nic = new HostNic({ name: 'a' });
    const engine = await Engine.create({
      nics: [nic],
      inline: true,
      frames: 64,
      mapBytes: 1 << 16,
      streams: STREAMS,
    });
    const spec = assembleSpec(text, { type });
    const loaded = await engine.load(compileProgram(verify(spec), {}));
    const packet = testPacket(engine.arena, type, udpFrame());
    packet.reset();
    const { r0 } = interpret(spec, { arena: engine.arena, core: engine.core, ctx: packet.ctx });
    const interpreted = packet.read();
    packet.reset();
    const jit = engine.core.exports.test_run_xdp(loaded.run, packet.ctx, 1);
    assert.equal([r0, packet.read()], [3n, interpreted]);
    assert.is(jit, 3n);
    // A test run is of stream 0 at port 1, and so is the lane's.
    assert.equal([...interpreted.subarray(0, 2)], [1, 0]);
    packet.free();
    const todo = new Todo(engine, 1);
    openStream(engine, 0);
    engine.attach(await engine.load(makesReady()), 'a');
    if (type === 'xdp_egress') engine.attach(await engine.load(generator(todo)), 'a');
    engine.attach(loaded, 'a');
    await engine.start();
    todo.give(0, 1);
    nic.send(wakes(0));
    engine.step();
    const [first] = nic.receive();
    assert.equal([...first.data.subarray(0, 2)], [1, 0], `${type} in a lane`);
    await engine.stop();
  }
});

test('1: programs hang at the hook of their type only; the kernel, which has none of these hooks, is not asked', async () => {
  const engine = await Engine.create({ nics: [new HostNic({ name: 'a' })], inline: true, frames: 64 });
  const hooks: HookName[] = ['xdp', 'xdp_egress', 'xdp_gen'];
  for (const type of hooks) {
    const loaded = await engine.load(compiled('r0 = 1\nexit', type as ProgramType));
    for (const hook of hooks)
      if (hook === type) engine.attach(loaded, 'a', hook);
      else
        assert.throws(
          () => engine.attach(loaded, 'a', hook),
          (e: { code: string }) => e.code === 'ERR_ATTACH_TYPE',
        );
  }
  assert.match(programTypes.xdp_gen.notInKernel!, /Linux has no such hook/);
  await engine.stop();
});

test('1: a program of either hook can be attached by itself; a capture, which is received, is no input for it', async () => {
  for (const [name, counted] of [
    ['gen_entrance', 'gen'],
    ['egress_entrance', 'egress'],
  ] as const) {
    const engine = await Engine.create({
      nics: [new HostNic()],
      inline: true,
      frames: 64,
      mapBytes: 16 << 20,
    });
    const { program, collection } = await attachObject(engine, 1, loadObject('paced'), name);
    assert.is(programTypes[program.spec.type].counted, counted);
    await engine.stop();
    await collection.close();
    const refused = await runCapture({
      object: `${OBJECTS}paced.bpf.o`,
      program: name,
      in: CAPTURE,
      lanes: 1,
    }).then(
      () => '',
      e => `${e.code}: ${e.message}`,
    );
    assert.match(refused, /ERR_PROGRAM_TYPE: .*packets that are made/);
  }
});

test('2: an entrance demultiplexes by transport through a PROG_ARRAY; one of no transport makes and sends nothing', async () => {
  const p = await Paced.create({ inline: true, clock: 'virtual', startNs: SECOND });
  p.open(1, 1_250_000, 5);
  p.open(2, 1_250_000, 5, { transport: 7 });
  await p.engine.start();
  p.start(1);
  p.start(2);
  const all = p.run(2n * SECOND);
  assert.equal([...new Set(all.map(d => d.stream))], [1]);
  const { gen } = p.engine.counters()[0];
  assert.equal([gen.tx, gen.aborted], [5, 1]);
  const gens = p.collection.map('gen_transports') as ProgArrayMap;
  const egresses = p.collection.map('egress_transports') as ProgArrayMap;
  gens.set(7, p.collection.program('paced_gen').placed);
  egresses.set(7, p.collection.program('paced_egress').placed);
  p.start(2);
  assert.equal(
    p.run(3n * SECOND).map(d => [d.stream, d.number]),
    [0, 1, 2, 3, 4].map(n => [2, n]),
  );
  await p.engine.stop();
  await p.collection.close();
});

test('2: a transport is swapped at the entrance while packets flow, and no byte is lost', async () => {
  const p = await Paced.create({ inline: true, clock: 'virtual', startNs: SECOND });
  const q = await Paced.another(p);
  const packets = 4000;
  p.open(1, 125_000_000, packets);
  await p.engine.start();
  p.start(1);
  const entry = p.collection.map('gen_transports') as ProgArrayMap;
  const programs = [p.collection.program('paced_gen').placed, q.program('paced_gen').placed];
  let steps = 0;
  const all = p.run(10n * SECOND, () => {
    if (++steps % 100 === 0) entry.set(0, programs[(steps / 100) % 2]);
  });
  assert.ok(steps > 1000, `${steps} steps`);
  assert.equal(
    all.map(d => d.number),
    Array.from({ length: packets }, (_, i) => i),
  );
  assert.is(p.streams.get(1)!.sent, BigInt(packets));
  const { ledger } = await p.engine.stop();
  assert.is(ledger.free, ledger.total);
});

test('3: every map that eTran’s programs use can be made, and does what its type is for', async () => {
  const engine = await Engine.create({
    nics: [new HostNic()],
    inline: true,
    lanes: 2,
    frames: 64,
    mapBytes: 4 << 20,
  });
  const MMAPABLE = 1024;
  const spec = <T extends MapTypeName>(type: T, more: Partial<MapSpec> = {}) => ({
    name: type,
    type,
    keySize: 4,
    valueSize: 4,
    maxEntries: 16,
    flags: 0,
    ...more,
  });
  const make = <T extends MapTypeName>(s: MapSpec & { type: T }) => createMap(engine.arena, engine.core, s);
  const bytes = (...b: number[]): Uint8Array => Uint8Array.from(b);
  for (const s of [spec('hash'), spec('array'), spec('array', { flags: MMAPABLE }), spec('lru_hash')]) {
    const map = make(s) as KeyedMap;
    for (let i = 0; i < 10; i++) map.set(bytes(i, 0, 0, 0), bytes(i * 2, 0, 0, 0));
    assert.equal(map.get(bytes(7, 0, 0, 0)), bytes(14, 0, 0, 0), s.type);
    const batch = map.getBatch([bytes(3, 0, 0, 0), bytes(9, 0, 0, 0)]);
    assert.equal(batch, [bytes(6, 0, 0, 0), bytes(18, 0, 0, 0)], `${s.type}: batch lookup`);
  }
  for (const type of ['percpu_array', 'percpu_hash', 'lru_percpu_hash'] as const) {
    const map = make(spec(type));
    assert.ok(map.bytes > 0, type);
  }
  const inner = spec('pkt_queue', { keySize: 0, valueSize: 0, extra: 4 });
  const outer = make(spec('array_of_maps', { inner: { ...inner, name: 'template' } })) as ArrayOfMaps;
  const wheel = make(inner) as PktQueueMap;
  outer.set(1, wheel);
  assert.is(outer.get(1) as BpfMap, wheel, 'a wheel per CPU, as eTran has them');
  assert.equal([wheel.maxEntries, wheel.slots], [16, 4]);
  const queue = make(spec('queue', { keySize: 0 })) as QueueMap;
  queue.push(bytes(1, 2, 3, 4));
  assert.equal(queue.pop(), bytes(1, 2, 3, 4));
  for (const type of ['prog_array', 'xskmap', 'cpumap'] as const) assert.is(make(spec(type)).maxEntries, 16);
  await engine.stop();
});

test('4: what eTran’s programs call of the kernel, ours call or have', () => {
  const called = new Set<string>();
  for (const object of ['tcp', 'paced'])
    for (const program of Object.values(loadObject(object).programs)) {
      for (const name of Object.keys(program.kfuncs ?? {})) called.add(name);
      for (const name of disassembleProgram(program).matchAll(/call (?:kfunc )?(\w+)/g)) called.add(name[1]);
    }
  const there = (name: string): boolean => called.has(name) || called.has(name.replace(/^bpf_/, ''));
  const CALLS = [
    ...['bpf_map_lookup_elem', 'bpf_map_update_elem', 'bpf_map_delete_elem', 'bpf_ktime_get_ns'],
    ...[
      'bpf_xdp_adjust_tail',
      'bpf_redirect_map',
      'bpf_fib_lookup',
      'bpf_tail_call',
      'bpf_get_smp_processor_id',
    ],
    ...['bpf_timer_init', 'bpf_timer_set_callback', 'bpf_timer_start'],
    ...['bpf_pkt_queue_enqueue', 'bpf_pkt_queue_dequeue', 'bpf_packet_send'],
  ];
  assert.equal(
    CALLS.filter(name => !there(name)),
    [],
  );
  const known = (name: string): boolean => helperByName.has(name) || kfuncByName(name) !== undefined;
  for (const name of [
    'bpf_xdp_adjust_meta',
    'bpf_timer_cancel',
    'bpf_spin_lock',
    'bpf_pkt_queue_empty',
    'bpf_packet_flush',
    'bpf_packet_drop',
    // What Homa is made of: tests/bpf/objects has them at work.
    'bpf_obj_new_impl',
    'bpf_obj_drop_impl',
    'bpf_refcount_acquire_impl',
    'bpf_rbtree_add_impl',
    'bpf_rbtree_remove',
    'bpf_rbtree_search',
    'bpf_rbtree_lower_bound',
    'bpf_list_push_back_impl',
    'bpf_list_pop_front',
  ])
    assert.ok(known(name) || known(name.replace(/^bpf_/, '')), name);
});

test('4: metadata before a packet, its tail, the clock, a route and another port: what a program changes leaves with the packet', async () => {
  const nics = ['a', 'b'].map(name => new HostNic({ name }));
  const engine = await Engine.create({ nics, inline: true, clock: 'virtual', frames: 64, mapBytes: 1 << 16 });
  const text = `.map ports devmap key=4 value=4 max=4
    r6 = r1
    r2 = -8
    call bpf_xdp_adjust_meta
    if r0 != 0 goto out
    r1 = r6
    r2 = -10
    call bpf_xdp_adjust_tail
    if r0 != 0 goto out
    call bpf_ktime_get_ns
    r7 = r0
    r2 = *(u32 *)(r6 +8)
    r3 = *(u32 *)(r6 +0)
    r4 = r2
    r4 += 8
    if r4 > r3 goto out
    *(u64 *)(r2 +0) = r7
    r8 = *(u64 *)(r2 +0)
    r2 = *(u32 *)(r6 +0)
    r3 = *(u32 *)(r6 +4)
    r4 = r2
    r4 += 20
    if r4 > r3 goto out
    *(u64 *)(r2 +0) = r8
    r1 = map[ports]
    r2 = 1
    r3 = 0
    call bpf_redirect_map
    exit
  out:
    r0 = 0
    exit`;
  const spec = assembleSpec(text, { type: 'xdp' });
  const map = createMap(engine.arena, engine.core, spec.maps[1]) as KeyedMap;
  map.set(1, { ifindex: 2 });
  engine.attach(await engine.load(compileProgram(verify(spec), mapBinding({ 1: map }))), 'a');
  await engine.start();
  const frame = udpFrame();
  nics[0].send(frame);
  engine.run();
  const [out] = nics[1].receive();
  assert.is(out.data.length, frame.length - 10);
  assert.is(new DataView(out.data.buffer, out.data.byteOffset).getBigUint64(0, true), engine.now());
  await engine.stop();
});

test('5: the wheel paces to the ns from 1 Mbit/s to 10 Gbit/s in virtual time: an error of 0 over a second', async () => {
  for (const [rate, packets] of [
    [125_000, 83],
    [12_500_000, 2000],
    [1_250_000_000, 5000],
  ]) {
    const p = await Paced.create({ inline: true, clock: 'virtual', startNs: SECOND, ringSlots: 4096 });
    p.open(0, rate, packets);
    await p.engine.start();
    p.start(0);
    const all = p.run(10n * SECOND);
    assert.is(all.length, packets);
    // The last packet leaves in the 500 ns slot in which the rate has it leave, so the rate is right to one slot.
    const ideal = SECOND + (BigInt(packets - 1) * 1514n * SECOND) / BigInt(rate);
    const late = all[packets - 1].left - ideal;
    assert.ok(late >= 0n && late < 500n, `${rate} B/s: ${late} ns late`);
    await p.engine.stop();
    await p.collection.close();
  }
});

test('6: packets leave in another order than they were made in, and their frames come back in any', async () => {
  const p = await Paced.create({ inline: true, clock: 'virtual', startNs: SECOND });
  // The slow one is asked first; its packets wait while those of the fast one go by.
  p.open(1, 125_000, 20, { ahead: 20 });
  p.open(2, 125_000_000, 200, { ahead: 20 });
  await p.engine.start();
  p.start(1);
  p.start(2);
  const all = p.run(20n * SECOND);
  const fast = all.findIndex(d => d.stream === 2 && d.number === 199);
  const slow = all.findIndex(d => d.stream === 1 && d.number === 2);
  assert.ok(fast >= 0 && slow > fast, 'made before, sent after');
  const { ledger } = await p.engine.stop();
  assert.is(ledger.free, ledger.total);
});

test('6: whatever numbers a program names, only open streams of its own lane are made to send', async () => {
  const LANES = 3;
  const STREAMS = 64;
  const nic = new HostNic({ name: 'a', queues: LANES });
  const engine = await Engine.create({
    nics: [nic],
    inline: true,
    lanes: LANES,
    frames: 1024,
    mapBytes: 1 << 16,
    streams: { count: 128, bytes: 1 << 20 },
  });
  const next = random(3);
  const todo = new Todo(engine, STREAMS);
  for (let id = 0; id < STREAMS; id++) openStream(engine, id, { lane: next() % LANES });
  for (let id = 0; id < STREAMS; id += 5) streamView(engine, id).flags = 0;
  engine.attach(await engine.load(makesReady()), 'a');
  engine.attach(await engine.load(generator(todo)), 'a');
  await engine.start();
  for (let i = 0; i < 3000; i++) {
    const id = next() % 4 ? next() % STREAMS : next();
    const lane = next() % LANES;
    for (let s = 0; s < STREAMS; s++) todo.give(s, 1);
    assert.ok(nic.send(wakes(id), lane));
    engine.run();
    const own = id < STREAMS && id % 5 !== 0 && streamView(engine, id).lane === lane;
    assert.equal(
      nic.receive().map(p => madeBy(p.data)[0]),
      own ? [id] : [],
    );
  }
  assert.is((await engine.stop()).ledger.free, 1024);
});

test('12: what a program could do harm with is refused before it runs', () => {
  for (const [text, type, rule] of [
    ['r0 = *(u8 *)(r1 +2048)\nexit', 'xdp_gen', /no such field/],
    ['r2 = *(u32 *)(r1 +0)\nr0 = *(u8 *)(r2 +0)\nexit', 'xdp_egress', /packet-bounds/],
    ['r2 = 1\n*(u32 *)(r1 +20) = r2\nr0 = 1\nexit', 'xdp_egress', /read-only/],
  ] as const)
    assert.throws(() => verify(assembleSpec(text, { type })), rule, text);
});

test('12: a packet that was taken out of a queue is sent or dropped on every path, once, and not touched afterwards', () => {
  const take = `.map wheel pkt_queue max=8 extra=4
    r1 = map[wheel]
    r2 = 3
    call kfunc bpf_pkt_queue_dequeue#1
    `;
  const send = `r1 = r6
    r2 = 1
    call kfunc bpf_packet_send#2
    `;
  const end = 'r0 = 1\nexit';
  const program = (text: string, type: ProgramType = 'xdp') => verify(assembleSpec(text, { type }));
  const sound = `${take}if r0 == 0 goto out\nr6 = r0\nr7 = *(u32 *)(r6 +4)\n${send}out:\n${end}`;
  for (const type of ['xdp', 'xdp_egress', 'xdp_gen', 'tc'] as const) assert.ok(program(sound, type), type);
  for (const [what, text, rule] of [
    ['kept', `${take}${end}`, /reference-leak/],
    [
      'kept on one path',
      `${take}if r0 == 0 goto out\nr6 = r0\nr7 = *(u32 *)(r6 +0)\nif r7 > 64 goto out\n${send}out:\n${end}`,
      /reference-leak/,
    ],
    ['not compared with NULL', `${take}r6 = r0\n${send}${end}`, /null-pointer/],
    ['sent twice', `${take}if r0 == 0 goto out\nr6 = r0\n${send}${send}out:\n${end}`, /kfunc-argument/],
    [
      'read after it was sent',
      `${take}if r0 == 0 goto out\nr6 = r0\n${send}r7 = *(u32 *)(r6 +0)\nout:\n${end}`,
      /memory-access/,
    ],
    [
      'written to',
      `${take}if r0 == 0 goto out\nr6 = r0\nr7 = 0\n*(u32 *)(r6 +0) = r7\n${send}out:\n${end}`,
      /read-only/,
    ],
    [
      'read beyond what it shows',
      `${take}if r0 == 0 goto out\nr6 = r0\nr7 = *(u32 *)(r6 +16)\n${send}out:\n${end}`,
      /mem-bounds/,
    ],
    ['no pkt_queue', sound.replace('pkt_queue max=8 extra=4', 'array key=4 value=4 max=8'), /kfunc-argument/],
  ] as const)
    assert.throws(
      () => program(text),
      (e: Error) => e.name === 'VerifierError' && rule.test(e.message),
      what,
    );
});
