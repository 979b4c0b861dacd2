/** Memory of objects: where it comes from, what gives it back, what is left of programs that died. */

import { readFileSync } from 'node:fs';
import { Collection, HostPrograms } from '../../../host/bpf/collection.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import type { ArrayMap, HashMap } from '../../../host/bpf/maps/index.js';
import { reclaimObjects } from '../../../host/bpf/maps/map.js';
import { shapeOf } from '../../../host/bpf/maps/reuse.js';
import { Engine } from '../../../host/engine/engine.js';
import { testRunSlot } from '../../../host/engine/test_run.js';
import { GraphHeadView, GraphNodeView } from '../../../host/layout/layout.gen.js';
import { ReplayNic } from '../../../host/nic/index.js';
import { loadObject } from '../../support/program_rig.js';
import { assert, suite } from '../../support/suite.js';
import {
  answers,
  asking,
  type Command,
  chainOf,
  HEADS,
  MAX_COMMANDS,
  NO_MEMORY,
  NONE,
  Op,
  random,
  treeOf,
} from './rig.js';

const test = suite('objects: memory');

const corpus = () =>
  loadElf(readFileSync(new URL('../corpus/c/objects.bpf.o', import.meta.url)), 'objects.bpf.o');

async function rig(object = loadObject('objects'), programs = ['change'], objectBytes = 1 << 20) {
  const host = HostPrograms.create({ mapBytes: 8 << 20, objectBytes });
  const collection = await Collection.load(object, host, { programs });
  const { arena, core } = host;
  const run = (name: string, data: Uint8Array) =>
    testRunSlot(arena, core, collection.program(name).placed.run, 'xdp', data);
  const ask = (...commands: Command[]): number[] =>
    answers(run('change', asking(commands)).data, commands.length);
  const live = (): number => core.exports.objects_live();
  return { arena, core, collection, run, ask, live };
}

const heads = ({ collection }: Awaited<ReturnType<typeof rig>>) => {
  const at = collection.map<ArrayMap>('.data.items').dataAt!;
  return { tree: at + HEADS.tree, list: at + HEADS.list };
};

test('when it is used up bpf_obj_new gives NULL, and what is given back is there again', async () => {
  const r = await rig(undefined, undefined, 4096);
  const added: number[] = [];
  for (let i = 0; i < 4; i++)
    added.push(...r.ask(...Array.from({ length: MAX_COMMANDS }, () => [Op.ADD, i] as const)));
  const room = added.indexOf(NO_MEMORY);
  assert.is(room, r.live());
  assert.ok(room > 30 && added.slice(room).every(a => a === NO_MEMORY));
  assert.equal(r.ask([Op.TAKE_FIRST, 0], [Op.ADD, 9], [Op.ADD, 9]), [0, 0, NO_MEMORY]);
});

test('closing the collection frees what its maps held', async () => {
  const r = await rig();
  r.ask([Op.ADD, 1], [Op.BOTH, 2], [Op.PUSH_BACK, 3], [Op.STASH, 4]);
  assert.is(r.live(), 4);
  await r.collection.close();
  assert.is(r.live(), 0);
});

test('an element that is deleted or written over frees what it held; the host reads zeroes', async () => {
  const r = await rig(corpus(), ['a_shelf_under_its_own_lock', 'exchanges_a_kptr']);
  const shelves = r.collection.map<HashMap>('shelves');
  const put = () => r.run('a_shelf_under_its_own_lock', new Uint8Array(64)).retval;
  const frame = new Uint8Array(64);
  assert.is(put(), 2, 'there is no such shelf');
  assert.is(r.live(), 0);
  const empty = new Uint8Array(shelves.valueSize);
  const key = new Uint8Array([1, 0, 0, 0]);
  shelves.set(key as never, empty as never);
  assert.equal([put(), put(), r.live()], [0, 0, 2]);
  const value = [...shelves.rawEntries()][0][1];
  assert.equal([...value.subarray(0, 40)], Array(40).fill(0));
  assert.is(value[40], 2, 'what is no list or tree is shown');
  shelves.set(key as never, empty as never);
  assert.is(r.live(), 0, 'written over');
  assert.equal([put(), r.live()], [0, 1]);
  shelves.delete(key as never);
  assert.is(r.live(), 0, 'deleted');
  assert.equal(
    [r.run('exchanges_a_kptr', frame).retval, r.run('exchanges_a_kptr', frame).retval, r.live()],
    [0, 11, 1],
  );
  r.collection.map<ArrayMap>('slots').clear();
  assert.is(r.live(), 0, 'cleared');
});

test('a map may stand for another only if it holds objects of the same types', () => {
  const [a, b] = [loadObject('objects').maps['.data.items'], loadObject('objects').maps['.data.items']];
  assert.is(shapeOf(a), shapeOf(b));
  const types = b.btf!.types.types.map(t =>
    t.kind === 'struct' && t.name === 'item' ? { ...t, size: t.size + 8 } : t,
  );
  assert.is.not(shapeOf(a), shapeOf({ ...b, btf: { ...b.btf!, types: { types } } }));
});

test('a tree that its changer left half done is whole for whoever comes next', async () => {
  const r = await rig();
  const { tree } = heads(r);
  const next = random(5);
  for (const count of [0, 1, 2, 3, 7, 8, 20, 31]) {
    r.ask(...Array.from({ length: count }, () => [Op.ADD, next(1000)] as const));
    const { nodes, keys } = chainOf(r.arena, tree);
    // Everything but the chain is wrong, as rotations that were cut off may leave it.
    const head = new GraphHeadView(r.arena.dv, tree);
    Object.assign(head, { busy: 1, root: nodes[nodes.length >> 1] ?? 0, last: nodes[0] ?? 0 });
    for (const at of nodes)
      Object.assign(new GraphNodeView(r.arena.dv, at), {
        left: at,
        right: nodes[0],
        parent: at,
        prev: at,
        owner: 1,
      });
    assert.equal(r.ask([Op.FIRST, 0]), [keys[0] ?? NONE]);
    assert.equal(treeOf(r.arena, tree), keys);
    r.ask(...keys.map(() => [Op.TAKE_FIRST, 0] as const).slice(0, MAX_COMMANDS));
  }
  assert.is(r.live(), 0);
});

test('objects that no map refers to are freed, and counts are what is left', async () => {
  const r = await rig();
  const { tree, list } = heads(r);
  r.ask([Op.ADD, 1], [Op.BOTH, 2], [Op.ADD, 3], [Op.PUSH_BACK, 4]);
  assert.is(reclaimObjects(r.arena), 0, 'nothing is lost');
  // A program took the first out of the tree, and the pair, and died with them in its registers.
  const head = new GraphHeadView(r.arena.dv, tree);
  const { nodes } = chainOf(r.arena, tree);
  Object.assign(head, { first: nodes[2], busy: 1 });
  assert.is(reclaimObjects(r.arena), 1);
  assert.equal(treeOf(r.arena, tree), [3]);
  assert.equal(chainOf(r.arena, list).keys, [2, 4]);
  assert.equal(r.ask([Op.POP_FRONT, 0], [Op.POP_FRONT, 0], [Op.TAKE_FIRST, 0]), [2, 4, 3]);
  assert.is(r.live(), 0, 'the pair was referred to once');
});

test(
  'lanes that are killed in the middle of it, again and again, leave whole trees and lose nothing',
  async () => {
    const next = random(11);
    // As many are taken as added, by keys that the tree has when it is large: it neither empties nor fills the memory.
    const ops = [Op.ADD, Op.TAKE_FIRST, Op.TAKE, Op.BOTH, Op.PUSH_BACK, Op.PUSH_FRONT, Op.STASH, Op.UNSTASH];
    const mixed = [...ops, Op.POP_FRONT, Op.POP_BACK, Op.POP_FRONT, Op.FIND];
    const commands = (): Command[] =>
      Array.from({ length: MAX_COMMANDS }, () => [mixed[next(mixed.length)], next(64)] as const);
    const nic = new ReplayNic({
      packets: Array.from({ length: 64 }, () => asking(commands())),
      count: 1e12,
      sink: true,
    });
    const engine = await Engine.create({ lanes: 2, frames: 1024, mapBytes: 8 << 20, nics: [nic] });
    const collection = await Collection.load(loadObject('objects'), engine, { programs: ['change'] });
    const { arena, core } = engine;
    engine.attach(collection.program('change').placed, 1);
    await engine.start();
    for (let i = 0; i < 10; i++) {
      await new Promise(r => setTimeout(r, 10 + i));
      const before = engine.crashes.length;
      engine.killLane(i % 2);
      for (let k = 0; k < 5000 && engine.crashes.length === before; k++)
        await new Promise(r => setTimeout(r, 1));
      await engine.settled();
    }
    await engine.stop();
    assert.is(engine.crashes.length, 10);
    // What the last runs left: whole, or to be made whole by whoever looks.
    reclaimObjects(arena);
    const at = collection.map<ArrayMap>('.data.items').dataAt!;
    treeOf(arena, at + HEADS.tree);
    chainOf(arena, at + HEADS.list);
    const made = collection.map<ArrayMap>('.bss').global<number>('born').get();
    assert.ok(made > 10_000, `${made} objects were made`);
    await collection.close();
    assert.is(core.exports.objects_live(), 0, 'nothing is left behind');
  },
  { timeoutMs: 60_000 },
);
