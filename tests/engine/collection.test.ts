import { Collection, HostPrograms } from '../../host/bpf/collection.js';
import { createMap } from '../../host/bpf/maps/index.js';
import { collectionOf } from '../../host/bpf/open.js';
import type { CollectionSpec, MapSpec } from '../../host/bpf/spec.js';
import { Engine } from '../../host/engine/engine.js';
import { HostNic } from '../../host/nic/index.js';
import { exit, lddwMap, movImm, spec } from '../support/insns.js';
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
