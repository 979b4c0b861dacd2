/** Maps in the real kernel behind the classes of the arena's maps: the same calls give the same answers. */
import { readFileSync } from 'node:fs';
import { configureKernelMaps } from '../../../host/bpf/config.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { KernelCollection } from '../../../host/bpf/kernel/collection.js';
import { KernelMap, possibleCpus } from '../../../host/bpf/kernel/map.js';
import { typedMap } from '../../../host/bpf/kernel/map_store.js';
import {
  type HashMap,
  type KeyedMap,
  type LpmTrieMap,
  type PerCpuArrayMap,
  type PerCpuHashMap,
  UpdateFlag,
} from '../../../host/bpf/maps/index.js';
import type { MapSpec, MapTypeName } from '../../../host/bpf/spec.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make, outcomeOf } from '../maps/support.js';

const test = suite('kernel: typed maps');
const available = kernelAvailable();
const missing = available.ok ? undefined : available.reason;
const object = (name: string) =>
  loadElf(readFileSync(new URL(`../../../bpf-progs/obj/${name}.bpf.o`, import.meta.url)), name);

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Runs `work` with a map of the arena and with the same in the kernel; both results. */
function onBoth<R>(
  type: MapTypeName,
  [keySize, valueSize, maxEntries]: readonly [number, number, number],
  work: (map: KeyedMap) => R,
  more: Partial<MapSpec> = {},
): [R, R] {
  const here = make(bench(), type, keySize, valueSize, maxEntries, more) as unknown as KeyedMap;
  const there = typedMap(KernelMap.create(here.spec));
  try {
    return [work(here), work(there)];
  } finally {
    there.destroy();
  }
}

const sortedEntries = (map: KeyedMap) =>
  [...map].map(([k, v]) => JSON.stringify([[...(k as Uint8Array)], [...(v as Uint8Array)]])).sort();

/** Every verb of a keyed map, failures included, and what it answered. */
function everyVerb(map: KeyedMap): unknown[] {
  const one = new Uint8Array(map.valueSize).fill(1);
  return [
    map.get(7),
    map.has(7),
    map.set(7, one).has(7),
    map.get(7),
    map.getBytes(7),
    outcomeOf(() => map.set(7, one, UpdateFlag.NOEXIST)),
    outcomeOf(() => map.set(8, one, UpdateFlag.EXIST)),
    outcomeOf(() => map.set(8, one, 99)),
    map.setBatch([1, 2, 3].map(k => [k, new Uint8Array(map.valueSize).fill(k)] as const)),
    map.getBatch([1, 2, 9]),
    outcomeOf(() => map.set(9, one)),
    sortedEntries(map),
    map.size,
    outcomeOf(() => map.take(1)),
    map.has(1),
    map.deleteBatch([1, 2, 9]),
    map.delete(2),
    map.size,
    map.clear(),
    map.size,
    [...map],
  ];
}

for (const type of ['hash', 'lru_hash'] as const)
  test(
    `${type}: every verb answers as in the arena, failures too`,
    () => {
      // An LRU map is never full; its capacity is approximate in the kernel.
      const [here, there] = onBoth(type, [4, 16, type === 'hash' ? 4 : 512], everyVerb);
      assert.equal(there, here);
      assert.ok(here.includes('EEXIST') && here.includes('ENOENT') && here.includes('EINVAL'));
      assert.is(here.includes('E2BIG'), type === 'hash');
    },
    { missing },
  );

for (const [type, keySize] of [
  ['hash', 4],
  ['lru_hash', 4],
  ['percpu_hash', 4],
  ['lpm_trie', 8],
  ['array', 4],
] as const)
  test(
    `${type}: many elements at once are those that were put one by one, whatever the size of a batch`,
    () => {
      const n = 3000;
      // An LRU map of the kernel evicts before it is full.
      const room = type === 'lru_hash' ? 4 * n : n;
      const spec = make(bench(), type, keySize, 2000, room, { flags: type === 'lpm_trie' ? 1 : 0 }).spec;
      const [one, many] = [typedMap(KernelMap.create(spec)), typedMap(KernelMap.create(spec))];
      const key = (i: number): unknown =>
        type === 'lpm_trie' ? `10.${i >> 8}.${i & 255}.0/24` : type === 'array' ? i : i * 7;
      const value = (i: number): unknown => {
        const bytes = new Uint8Array(2000).fill(i + 1);
        return one.copies > 1 ? new Array(one.copies).fill(bytes) : bytes;
      };
      const entries = Array.from({ length: n }, (_, i) => [key(i), value(i)] as const);
      try {
        for (const [k, v] of entries) one.set(k, v);
        assert.is(many.setBatch(entries), n);
        assert.is(many.size, n);
        const all = (map: KeyedMap) => [...map.rawEntries()].map(e => e.map(hex).join(' ')).sort();
        assert.is(new Set(all(many)).size, n, 'each once');
        assert.equal(all(many), all(one));
        if (type === 'array') return;
        const gone = Array.from({ length: n / 2 }, (_, i) => key(2 * i));
        assert.is(many.deleteBatch([...gone, ...gone]), n / 2, 'those that are gone count once');
        assert.equal([many.size, many.has(key(0)), many.has(key(1))], [n / 2, false, true]);
        many.clear();
        assert.is(many.size, 0);
      } finally {
        one.destroy();
        many.destroy();
      }
    },
    { missing },
  );

test(
  'a batch that fails tells how many were put before: no room, a key that does not fit, flags, a map that is frozen',
  () => {
    const one = (i: number) => [i, Uint8Array.of(i, 0, 0, 0)] as const;
    const failure = (work: () => unknown): unknown => {
      try {
        return work();
      } catch (error) {
        return [(error as { code: string }).code, (error as { offset?: number }).offset];
      }
    };
    const [here, there] = onBoth('hash', [4, 4, 8], map => [
      failure(() => map.setBatch(Array.from({ length: 12 }, (_, i) => one(i)))),
      map.size,
      map.deleteBatch([0, 1, 99, 2]),
      failure(() => map.setBatch([one(20), [new Uint8Array(3), new Uint8Array(4)], one(21)])),
      [20, 21].map(k => map.has(k)),
      failure(() => map.setBatch([one(22), one(20), one(23)], UpdateFlag.NOEXIST)),
      map.setBatch([]),
      map.freeze(),
      failure(() => map.setBatch([one(1)])),
      failure(() => map.deleteBatch([1])),
    ]);
    assert.equal(there, here);
    assert.equal(here[0], ['ERR_MAP_E2BIG', 8]);
  },
  { missing },
);

test(
  'array: all indices are there, clear() is zero, and none can be taken away',
  () => {
    const [here, there] = onBoth('array', [4, 8, 5], map => [
      map.size,
      [...map.keys()],
      map.set(2, 77).get(2),
      outcomeOf(() => map.set(5, 1)),
      outcomeOf(() => map.delete(2)),
      map.clear(),
      map.get(2),
    ]);
    assert.equal(there, here);
  },
  { missing },
);

test(
  'lpm_trie: text as keys, the longest prefix wins, longer ones come first',
  () => {
    const [here, there] = onBoth(
      'lpm_trie',
      [8, 4, 16],
      map => {
        const trie = map as unknown as LpmTrieMap<string, Uint8Array>;
        trie.set('10.0.0.0/8', Uint8Array.of(8, 0, 0, 0)).set('10.1.0.0/16', Uint8Array.of(16, 0, 0, 0));
        return [trie.get('10.1.2.3/32'), trie.get('10.2.0.0/32'), trie.get('11.0.0.1/32'), [...map.keys()]];
      },
      { flags: 1 },
    );
    assert.equal(there, here);
  },
  { missing },
);

test(
  'per-CPU maps have a value for each possible CPU: typed through BTF, summed field by field',
  () => {
    const collection = KernelCollection.load(object('flow_stats'), { log: 'none' });
    try {
      const totals = collection.map<PerCpuArrayMap<Record<string, bigint>>>('totals');
      assert.is(totals.copies, possibleCpus());
      const none = { packets: 0n, bytes: 0n, not_ip: 0n, malformed: 0n, samples: 0n, samples_lost: 0n };
      const each = Array.from({ length: totals.copies }, (_, cpu) => ({ ...none, packets: BigInt(cpu + 1) }));
      totals.set(0, each);
      assert.equal(totals.get(0), each);
      assert.equal(totals.getLane(0, totals.copies - 1), each.at(-1));
      const n = BigInt(totals.copies);
      assert.equal(totals.sum(0), { ...none, packets: (n * (n + 1n)) / 2n });
      assert.is(
        outcomeOf(() => totals.set(0, each.slice(1))),
        'EINVAL',
        'one value is missing',
      );
    } finally {
      collection.close();
    }
    const spec = make(bench(), 'percpu_hash', 4, 12, 8).spec;
    const hash = typedMap<PerCpuHashMap<unknown, Uint8Array>>(KernelMap.create(spec));
    const values = Array.from({ length: possibleCpus() }, (_, cpu) => new Uint8Array(12).fill(cpu + 1));
    assert.equal(hash.set(5, values).get(5), values, '12 bytes in 16 each');
    assert.equal([hash.delete(5), hash.get(5)], [true, undefined]);
    hash.destroy();
  },
  { missing },
);

test(
  'a map that a kernel program counts in is read by field name',
  () => {
    const collection = KernelCollection.load(object('parse_drop'), { log: 'none' });
    try {
      collection.program('parse_drop').testRun({ data: new Uint8Array(64), repeat: 10 });
      const outcomes = collection.map<PerCpuArrayMap<bigint>>('outcomes');
      const total = [...outcomes.keys()].reduce((n, k) => n + (outcomes.sum(k) as bigint), 0n);
      assert.is(total, 10n);
    } finally {
      collection.close();
    }
  },
  { missing },
);

test(
  'one configuration fills the kernel’s maps as it fills the arena’s',
  () => {
    const collection = KernelCollection.load(object('firewall'), { log: 'none' });
    try {
      configureKernelMaps(collection, { deny4: [{ key: '10.9.0.0/16', value: 13 }] });
      assert.is(collection.map<LpmTrieMap<string, number>>('deny4').get('10.9.1.2/32'), 13);
      let code = '';
      try {
        configureKernelMaps(collection, { deny4: [{ key: '10.9.0.0/99', value: 13 }] });
      } catch (error) {
        code = (error as { code: string }).code;
      }
      assert.is(code, 'ERR_CONFIG_ENTRY');
    } finally {
      collection.close();
    }
  },
  { missing },
);

test(
  'what only a map of the arena has says so: addresses, entries that are programs; a closed map is no map',
  () => {
    const b = bench();
    const map = typedMap<HashMap>(KernelMap.create(make(b, 'hash', 4, 4, 4).spec));
    assert.is(
      outcomeOf(() => map.addr),
      'EOPNOTSUPP',
    );
    assert.is(
      outcomeOf(() => map.evictions),
      'EOPNOTSUPP',
    );
    map.freeze();
    assert.is(
      outcomeOf(() => map.set(1, 1)),
      'EPERM',
    );
    map.destroy();
    assert.is(
      outcomeOf(() => map.get(1)),
      'EINVAL',
    );
    const programs = KernelMap.create(make(b, 'prog_array', 4, 4, 4).spec);
    assert.is(
      outcomeOf(() => typedMap(programs)),
      'EOPNOTSUPP',
    );
    programs.close();
  },
  { missing },
);
