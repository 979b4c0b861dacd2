/** Timers in an engine: virtual time, lanes that take them from one another, and the lives of programs and maps. */
import { Collection } from '../../../host/bpf/collection.js';
import { compileProgram } from '../../../host/bpf/jit/compile.js';
import { createMap, type KeyedMap } from '../../../host/bpf/maps/index.js';
import { mapBinding } from '../../../host/bpf/maps/map.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { Engine, type EngineOptions } from '../../../host/engine/engine.js';
import { testRun } from '../../../host/engine/test_collection.js';
import { HostNic } from '../../../host/nic/index.js';
import { handMade } from '../../support/programs.js';
import { assert, suite } from '../../support/suite.js';
import { IMMEDIATE, MONOTONIC, MS, Op, order, ordersCollection, ordersSpec, PACER } from './rig.js';

const test = suite('timers: engine');

/** Key's fired and extra. */
function entryOf(map: KeyedMap, key: number): { fired: bigint; extra: bigint } {
  const bytes = map.getBytes(new Uint8Array(Uint32Array.of(key).buffer))!;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  return { fired: view.getBigUint64(16, true), extra: view.getBigUint64(24, true) };
}

interface Rig {
  engine: Engine;
  nic: HostNic;
  collection: Collection;
  map: KeyedMap;
  /** Orders for a lane; done in its next step. */
  tell(lane: number, ...orders: Parameters<typeof order>[]): void;
}

async function open(more: Partial<EngineOptions> = {}, word?: string): Promise<Rig> {
  const nic = new HostNic();
  const engine = await Engine.create({
    nics: [nic],
    lanes: 2,
    inline: true,
    clock: 'virtual',
    frames: 1024,
    mapBytes: 2 << 20,
    ...more,
  });
  const collection = await Collection.load(ordersCollection(word), engine);
  engine.attach(collection.program(), 1);
  await engine.start();
  const tell: Rig['tell'] = (lane, ...orders) => {
    for (const o of orders) assert.ok(nic.send(order(...o), lane));
    if (engine.inline) engine.step();
  };
  return { engine, nic, collection, map: collection.map('m'), tell };
}

const set = (key: number, callback: number): Parameters<typeof order>[] => [
  [Op.INIT, key, MONOTONIC],
  [Op.CALLBACK, key, callback],
];
const code = async (work: () => unknown): Promise<string> => {
  try {
    await work();
    return 'none';
  } catch (e) {
    return `${(e as { code: string }).code}: ${(e as Error).message}`;
  }
};

test('virtual time goes to each timer exactly, and not beyond the end of the run', async () => {
  const { engine, map, tell } = await open();
  tell(0, ...set(0, 4), ...set(1, 4));
  const from = engine.now();
  tell(0, [Op.START, 0, 777_777n], [Op.START, 1, 3n * MS + 1n]);
  assert.is(engine.nextDueNs(), from + 777_777n);
  engine.run({ untilNs: from + 3n * MS });
  assert.is(entryOf(map, 0).fired, from + 777_777n);
  assert.is(entryOf(map, 1).fired, 0n);
  assert.is(engine.now(), from + 3n * MS);
  engine.run({ untilNs: from + 10n * MS });
  assert.is(entryOf(map, 1).fired, from + 3n * MS + 1n);
  assert.is(engine.nextDueNs(), undefined);
  await engine.stop();
});

test('a run without an end does not wait for timers', async () => {
  const { engine, tell } = await open();
  tell(0, ...set(0, 1), [Op.SET_EXTRA, 0, 1000], [Op.START, 0, 1000]);
  const from = engine.now();
  engine.run();
  assert.is(engine.now(), from);
  await engine.stop();
});

test('a periodic timer keeps its beat in virtual time', async () => {
  const { engine, map, tell } = await open();
  tell(1, ...set(3, 1), [Op.SET_EXTRA, 3, 12_345], [Op.START, 3, 12_345]);
  engine.run({ untilNs: engine.now() + 12_345n * 1000n });
  assert.is(entryOf(map, 3).fired, 1000n);
  await engine.stop();
});

test('a timer runs in the lane that started it last; the other one lets go', async () => {
  const { engine, map, tell } = await open();
  tell(0, ...set(0, 5), ...set(1, 5), ...set(2, 5), [Op.START, 0, 1000], [Op.START, 1, 1000]);
  tell(1, [Op.START, 1, 2000], [Op.START, 2, 1000]);
  // There and back, before the lanes have passed the node on.
  tell(0, [Op.START, 2, 3000]);
  engine.run({ untilNs: engine.now() + MS });
  assert.equal(
    [0, 1, 2].map(key => entryOf(map, key).extra),
    [0n, 1n, 0n],
  );
  assert.is(engine.core.exports.timers_linked(map.addr), 0);
  await engine.stop();
});

test('a timer is taken from lane to lane, and back before it has arrived, and fires once at its last time', async () => {
  const { engine, nic, map, tell } = await open({ lanes: 3 });
  tell(0, ...set(0, 4), [Op.START, 0, 50n * MS]);
  let due = 0n;
  for (let i = 0; i < 60; i++) {
    const lane = [1, 2, 0, 2, 1, 0, 0, 2][i % 8];
    // Two lanes in one step: the later lane is the last to start it.
    nic.send(order(Op.START, 0, BigInt(1000 + i)), lane);
    due = engine.now() + BigInt(1000 + i);
    if (i % 3) engine.step();
    else engine.step(3);
  }
  engine.run({ untilNs: engine.now() + 100n * MS });
  assert.equal(entryOf(map, 0), { fired: due, extra: 1n });
  assert.is(engine.core.exports.timers_linked(map.addr), 0);
  await engine.stop();
});

test('another lane cancels, and deletes, what one lane started', async () => {
  const { engine, collection, tell } = await open({}, 'm=hash/4/timer+16/8');
  const map = collection.map<KeyedMap>('m');
  const fresh = new Uint8Array(32);
  for (const key of [0, 1]) map.set(new Uint8Array(Uint32Array.of(key).buffer), fresh);
  tell(0, ...set(0, 0), ...set(1, 0), [Op.START, 0, 1000], [Op.START, 1, 1000]);
  tell(1, [Op.CANCEL, 0], [Op.DELETE, 1]);
  map.set(new Uint8Array(Uint32Array.of(1).buffer), fresh);
  engine.run({ untilNs: engine.now() + MS });
  assert.is(entryOf(map, 0).fired, 0n);
  assert.is(entryOf(map, 1).fired, 0n);
  assert.is(engine.core.exports.timers_linked(map.addr), 0);
  await engine.stop();
});

test('the host cancels what lanes started: by writing, by cancelTimers', async () => {
  const { engine, collection, map, tell } = await open();
  tell(0, ...set(0, 0), ...set(1, 0), ...set(2, 0));
  tell(0, [Op.START, 0, 1000], [Op.START, 1, 1000], [Op.START, 2, 1000]);
  map.set(new Uint8Array(4), new Uint8Array(32));
  assert.is(collection.map('m').cancelTimers(), 2);
  engine.run({ untilNs: engine.now() + MS });
  assert.equal(
    [0, 1, 2].map(key => entryOf(map, key).fired),
    [0n, 0n, 0n],
  );
  await engine.stop();
});

test('an immediate timer runs at the end of the round in which it was started', async () => {
  const { engine, map, tell } = await open();
  tell(1, ...set(0, 5));
  tell(1, [Op.START, 0, 0, IMMEDIATE]);
  assert.equal(entryOf(map, 0), { fired: engine.now(), extra: 1n });
  await engine.stop();
});

test('while a pacer is about to fall due a lane makes one round per clock reading', async () => {
  const { engine, nic, tell } = await open({ lanes: 1, burst: 8 });
  tell(0, ...set(0, 4), [Op.START, 0, 50_000n, PACER]);
  const rounds = (): number => {
    for (let i = 0; i < 24; i++) nic.send(order(99));
    return engine.step(8);
  };
  assert.is(rounds(), 24);
  engine.advance(40_000n);
  assert.is(rounds(), 8);
  assert.is(engine.step(8) + engine.step(8), 16);
  engine.advance(10_000n);
  assert.is(rounds(), 25);
  await engine.stop();
});

test('a lane that crashes loses no timer, and none fires twice', async () => {
  const { engine, nic, map, tell } = await open();
  const orders = Array.from({ length: 8 }, (_, key) => key);
  for (const key of orders) tell(key % 2, ...set(key, 0), [Op.START, key, BigInt(1000 * (key + 1))]);
  // In flight from lane 1 to lane 0, when that dies.
  nic.send(order(Op.START, 7, 9000), 0);
  nic.send(order(Op.START, 0, 10_000), 1);
  engine.step();
  const trap = await engine.load(handMade('unreachable', { name: 'trap' }));
  const at = engine.attach(trap, 1);
  nic.send(order(99), 0);
  engine.step();
  assert.is(engine.crashes.length, 1);
  await engine.detach(at);
  engine.run({ untilNs: engine.now() + MS });
  assert.equal(
    orders.map(key => entryOf(map, key).fired),
    orders.map(() => 1n),
  );
  await engine.stop();
});

test('a program stays while a timer may call it: refused by name of the map, let go after cancelTimers', async () => {
  const nic = new HostNic();
  const engine = await Engine.create({
    nics: [nic],
    inline: true,
    clock: 'virtual',
    frames: 256,
    mapBytes: 1 << 20,
  });
  const spec = ordersSpec();
  const maps = Object.fromEntries(
    Object.entries(spec.maps).map(([key, m]) => [key, createMap(engine.arena, engine.core, m)]),
  );
  const compiled = () => compileProgram(verify(spec), mapBinding(maps));
  const first = await engine.load(compiled());
  let attachment = engine.attach(first, 1);
  await engine.start();
  const send = (...orders: Parameters<typeof order>[]): void => {
    for (const o of orders) nic.send(order(...o));
    engine.step();
  };
  send(...set(0, 0), [Op.START, 0, 1000]);
  const map = Object.values(maps).find(m => m.name === 'm') as KeyedMap;
  // The swap keeps the old program: its timer goes on, until the new program sets its own callback.
  ({ attachment } = await engine.swap(attachment, compiled()));
  assert.match(await code(() => engine.unload(first)), /^ERR_PROGRAM_BUSY: .*timers of map "m" \(array\)/);
  engine.run({ untilNs: engine.now() + MS });
  assert.is(entryOf(map, 0).fired, 1n);
  send([Op.CALLBACK, 0, 0], [Op.START, 0, 1000]);
  assert.is(await code(() => engine.unload(first)), 'none');
  engine.run({ untilNs: engine.now() + MS });
  assert.is(entryOf(map, 0).fired, 2n);
  await engine.detach(attachment);
  assert.match(await code(() => engine.unload(attachment.program)), /timers of map "m"/);
  assert.is(map.cancelTimers(), 1);
  assert.is(await code(() => engine.unload(attachment.program)), 'none');
  await engine.stop();
});

test('a collection that is closed ends its timers, and its memory comes back', async () => {
  const { engine, collection, tell } = await open();
  const at = engine.arena.maps.usedBytes;
  tell(0, ...set(0, 1), [Op.SET_EXTRA, 0, 100], [Op.START, 0, 100]);
  tell(1, ...set(1, 0), [Op.START, 1, 10n ** 9n]);
  const attachment = engine.attach(await engine.load(handMade('i64.const 1', { name: 'drop' })), 1);
  await collection.close();
  const made = createMap(engine.arena, engine.core, ordersSpec().maps[1]);
  engine.step();
  engine.run({ untilNs: engine.now() + 2n * 10n ** 9n });
  made.destroy();
  assert.is(engine.arena.maps.usedBytes, 0);
  assert.ok(at > 0);
  await engine.detach(attachment);
  await engine.stop();
});

test('a stopped engine has no armed timer; programs and maps can go', async () => {
  const { engine, collection, tell, map } = await open();
  tell(0, ...set(0, 0), [Op.START, 0, 10n ** 9n]);
  assert.is(engine.core.exports.timers_linked(map.addr), 1);
  await engine.stop();
  assert.is(engine.core.exports.timers_linked(map.addr), 0);
  await collection.close();
  assert.is(engine.arena.maps.usedBytes, 0);
});

test('a test run’s timers fire in the engine’s time, on the host', async () => {
  const { engine, collection, map } = await open();
  const nowNs = engine.now();
  for (const o of set(0, 5)) testRun(collection, order(...o), { nowNs });
  testRun(collection, order(Op.START, 0, 5000), { nowNs });
  assert.is(engine.nextDueNs(), nowNs + 5000n);
  engine.run({ untilNs: nowNs + MS });
  assert.equal(entryOf(map, 0), { fired: nowNs + 5000n, extra: 2n });
  await engine.stop();
});

test('a lane takes over what a test run started, and the host what a lane did', async () => {
  const { engine, collection, map, tell } = await open();
  tell(0, ...set(0, 5), ...set(1, 5), [Op.START, 1, 1000]);
  testRun(collection, order(Op.START, 0, 1000), { nowNs: engine.now() });
  tell(1, [Op.START, 0, 2000]);
  testRun(collection, order(Op.START, 1, 2000), { nowNs: engine.now() });
  engine.run({ untilNs: engine.now() + MS });
  assert.is(entryOf(map, 0).extra, 1n);
  assert.is(entryOf(map, 1).extra, 2n);
  await engine.stop();
});

test('contents of an object cannot forge a timer', async () => {
  const { engine } = await open();
  const spec = { ...ordersSpec('m=array/4/timer+16/1').maps[1], contents: new Uint8Array(32).fill(0x40) };
  const map = createMap(engine.arena, engine.core, spec) as KeyedMap;
  const raw = engine.arena.u8.subarray(map.dataAt!, map.dataAt! + 32);
  assert.ok(raw.subarray(0, 16).every(b => b === 0) && raw.subarray(16).every(b => b === 0x40));
  map.destroy();
  await engine.stop();
});
