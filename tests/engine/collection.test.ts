import { Collection, HostPrograms } from '../../host/bpf/collection.js';
import { createMap, type DevmapValue, type ProgArrayMap } from '../../host/bpf/maps/index.js';
import { collectionOf } from '../../host/bpf/open.js';
import type { CollectionSpec, MapSpec } from '../../host/bpf/spec.js';
import { Engine } from '../../host/engine/engine.js';
import { HostNic } from '../../host/nic/index.js';
import { call, exit, lddwMap, mov, movImm, spec } from '../support/insns.js';
import { handMade, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: collections');

const make = () =>
  Engine.create({ nics: [new HostNic({ name: 'a' })], inline: true, frames: 256, mapBytes: 1 << 20 });

const array = (more: Partial<MapSpec> = {}): MapSpec => ({
  name: 'counts',
  type: 'array',
  keySize: 4,
  valueSize: 16,
  maxEntries: 8,
  flags: 0,
  ...more,
});

/** A program that names one map and passes. */
const over = (map: MapSpec): CollectionSpec =>
  collectionOf(spec([...lddwMap(1, 1), movImm(0, 2), exit()], 'xdp', { maps: { 1: map } }), 'over.o');

const codeOf = async (work: () => unknown): Promise<string> => {
  try {
    await work();
  } catch (e) {
    return (e as { code: string }).code;
  }
  return 'none';
};

for (const [what, wanted, given] of [
  ['smaller values', array(), array({ valueSize: 8 })],
  ['fewer entries', array(), array({ maxEntries: 4 })],
  ['another type', array(), array({ type: 'hash' })],
  ['other flags', array({ flags: 128 }), array()],
  [
    'other constants',
    array({ maxEntries: 1, flags: 128, frozen: true, contents: new Uint8Array(16).fill(1) }),
    array({ maxEntries: 1, flags: 128, frozen: true, contents: new Uint8Array(16).fill(2) }),
  ],
] as const)
  test(`a given map with ${what} than the object's is refused`, async () => {
    const engine = await make();
    const counts = createMap(engine.arena, engine.core, given as MapSpec);
    const load = () => Collection.load(over(wanted as MapSpec), engine, { maps: { counts } });
    assert.is(await codeOf(load), 'ERR_COLLECTION_MAP_SHAPE');
    await engine.stop();
  });

test('a given map of another arena, or a destroyed one, is refused; one of the same shape is used', async () => {
  const engine = await make();
  const other = await make();
  const far = createMap(other.arena, other.core, array());
  const gone = createMap(engine.arena, engine.core, array());
  gone.destroy();
  for (const counts of [far, gone])
    assert.is(
      await codeOf(() => Collection.load(over(array()), engine, { maps: { counts } })),
      'ERR_COLLECTION_MAP_SHAPE',
    );
  const counts = createMap(engine.arena, engine.core, array());
  const collection = await Collection.load(over(array()), engine, { maps: { counts } });
  assert.is(collection.maps.counts, counts);
  await engine.stop();
  await other.stop();
});

/** Two programs over one map; the second is refused by the verifier. */
function secondRefused(): CollectionSpec {
  const map = array();
  const good = spec([...lddwMap(1, 1), movImm(0, 2), exit()], 'xdp', { name: 'good', maps: { 1: map } });
  const bad = spec([exit()], 'xdp', { name: 'bad', maps: { 1: map } });
  return { file: 'two.o', license: 'GPL', programs: { good, bad }, maps: { counts: map } };
}

test('a refused collection leaves neither maps nor programs', async () => {
  const engine = await make();
  for (const host of [engine, new HostPrograms(engine.arena, engine.core)]) {
    const first = await Collection.load(over(array()), host);
    const { run } = first.program().placed;
    const { addr } = first.maps.counts;
    await first.close();
    assert.is(engine.core.table.get(run), null);
    assert.is(await codeOf(() => Collection.load(secondRefused(), host)), 'ERR_VERIFIER_UNINIT_REGISTER');
    const again = await Collection.load(over(array()), host);
    assert.equal([again.program().placed.run, again.maps.counts.addr], [run, addr]);
    await again.close();
  }
  await engine.stop();
});

test('close() refuses while a program is attached, then takes programs and maps', async () => {
  const engine = await make();
  const collection = await Collection.load(over(array()), engine);
  const attachment = engine.attach(collection.program(), 'a');
  await engine.start();
  let message = '';
  await collection.close().catch((e: Error) => (message = e.message));
  assert.match(message, /port a \(xdp\)/);
  assert.throws(() => collection.maps.counts.destroy(), /held/);
  assert.not.ok(collection.maps.counts.destroyed);
  await engine.detach(attachment);
  await collection.close();
  assert.ok(collection.maps.counts.destroyed);
  assert.is(engine.core.table.get(attachment.program.run), null);
  await collection.close();
  await engine.stop();
});

test('a given map outlives the collection, and not the other way round', async () => {
  const engine = await make();
  const counts = createMap(engine.arena, engine.core, array());
  const collection = await Collection.load(over(array()), engine, { maps: { counts } });
  assert.throws(() => counts.destroy(), /held/);
  await collection.close();
  assert.not.ok(counts.destroyed);
  counts.destroy();
  await engine.stop();
});

test('a frozen prog_array of its own is no hindrance to close()', async () => {
  const engine = await make();
  const progs: MapSpec = {
    ...{ name: 'progs', type: 'prog_array', keySize: 4, valueSize: 4, maxEntries: 2, flags: 0 },
    values: [{ key: 1, name: 'program' }],
  };
  const code = [mov(2, 1), ...lddwMap(2, 1), movImm(3, 1), call(12), movImm(0, 2), exit()];
  const before = engine.arena.maps.usedBytes;
  const collection = await Collection.load(
    collectionOf(spec(code, 'xdp', { name: 'program', maps: { 1: progs } }), 'tail.o'),
    engine,
  );
  assert.is(collection.map<ProgArrayMap>('progs').get(1), collection.program().placed);
  collection.maps.progs.freeze();
  await collection.close();
  assert.is(engine.core.table.get(collection.program().placed.run), null);
  assert.is(engine.arena.maps.usedBytes, before);
  await engine.stop();
});

test('a load that cannot fill a given prog_array leaves that map as it was, and no program', async () => {
  const engine = await make();
  const shape: MapSpec = {
    name: 'progs',
    type: 'prog_array',
    keySize: 4,
    valueSize: 4,
    maxEntries: 2,
    flags: 0,
  };
  const progs = createMap(engine.arena, engine.core, shape as MapSpec & { type: 'prog_array' });
  const values = [
    { key: 0, name: 'program' },
    { key: 2, name: 'program' },
  ];
  const code = [mov(2, 1), ...lddwMap(2, 1), movImm(3, 1), call(12), movImm(0, 2), exit()];
  const object = collectionOf(
    spec(code, 'xdp', { name: 'program', maps: { 1: { ...shape, values } } }),
    'tail.o',
  );
  const mine = await engine.load(verdict(1));
  const { run } = mine;
  for (const before of [undefined, mine]) {
    if (before) progs.set(0, before);
    assert.is(await codeOf(() => Collection.load(object, engine, { maps: { progs } })), 'ERR_MAP_E2BIG');
    assert.is(progs.get(0), before);
  }
  assert.is((await engine.load(verdict(1))).run, run + 2, 'its slots are free again');
  progs.destroy();
  await engine.stop();
});

test('a program that is an entry of a devmap or cpumap stays until the entry goes', async () => {
  const engine = await make();
  for (const type of ['devmap', 'devmap_hash', 'cpumap'] as const) {
    const section = type === 'cpumap' ? 'xdp/cpumap' : 'xdp/devmap';
    const program = await engine.load(handMade('i64.const 2', { name: 'target', section }));
    const shape = { name: 'targets', type, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 };
    const map = createMap(engine.arena, engine.core, shape as MapSpec & { type: 'devmap' });
    map.set(0, { ifindex: 1, qsize: 1, program } as DevmapValue);
    assert.equal(engine.holders(program), [`map "targets" (${type})`]);
    assert.is(await codeOf(() => engine.unload(program)), 'ERR_PROGRAM_BUSY');
    assert.is(await codeOf(() => engine.attach(program, 'a')), 'ERR_ATTACH_TYPE');
    map.set(0, 1);
    await engine.unload(program);
    assert.is(engine.core.table.get(program.run), null);
    map.destroy();
  }
  await engine.stop();
});
