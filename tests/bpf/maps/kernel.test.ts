import { bpf, Cmd, errnoName, MAP_ELEM } from '../../../host/bpf/kernel/attr.js';
import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import { KernelMap, possibleCpus } from '../../../host/bpf/kernel/map.js';
import { createMap, type KeyedMap, type QueueMap } from '../../../host/bpf/maps/index.js';
import type { MapSpec, MapTypeName } from '../../../host/bpf/spec.js';
import { assert, suite } from '../../support/suite.js';
import { type Bench, bench, hex, make, outcomeOf, random } from './support.js';

const kernel = kernelAvailable();
const missing = kernel.ok ? undefined : kernel.reason;
const test = suite('maps: against the kernel');

/** errno name of a kernel call, or what it returned. */
function kernelOutcome<T>(body: () => T): T | string {
  try {
    return body();
  } catch (e) {
    const code = (e as { code?: string }).code ?? '';
    if (!code.startsWith('ERR_KERNEL_')) throw e;
    return code.slice('ERR_KERNEL_'.length);
  }
}

const show = (v: unknown): string =>
  v instanceof Uint8Array ? hex(v) : v === undefined ? 'none' : String(v);

interface Case {
  type: MapTypeName;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags?: number;
  /** Makes a key. */
  key?: (r: ReturnType<typeof random>) => Uint8Array;
  /** Makes a value. */
  value?: (r: ReturnType<typeof random>) => Uint8Array;
  /** The order of keys is the same too. */
  ordered?: boolean;
  /** No more keys than this, for maps that evict. */
  keys?: number;
}

const index = (n: number) => (r: ReturnType<typeof random>) =>
  new Uint8Array(Uint32Array.of(r.below(n)).buffer);
const prefix = (bytes: number) => (r: ReturnType<typeof random>) => {
  const key = new Uint8Array(4 + bytes);
  new DataView(key.buffer).setUint32(0, r.below(bytes * 8 + 2), true);
  for (let i = 0; i < bytes; i++) key[4 + i] = [0, 1, 0x80, 0xc0, 0xff][r.below(5)];
  return key;
};

const cases: Case[] = [
  { type: 'array', keySize: 4, valueSize: 13, maxEntries: 5, key: index(7), ordered: true },
  { type: 'percpu_array', keySize: 4, valueSize: 12, maxEntries: 5, key: index(7), ordered: true },
  { type: 'hash', keySize: 4, valueSize: 8, maxEntries: 20, key: index(30) },
  { type: 'hash', keySize: 13, valueSize: 20, maxEntries: 20, flags: 1 },
  { type: 'percpu_hash', keySize: 6, valueSize: 5, maxEntries: 16 },
  { type: 'lru_hash', keySize: 5, valueSize: 8, maxEntries: 2000, keys: 40 },
  { type: 'lru_percpu_hash', keySize: 5, valueSize: 8, maxEntries: 2000, keys: 40 },
  { type: 'lpm_trie', keySize: 8, valueSize: 4, maxEntries: 40, flags: 1, key: prefix(4), ordered: true },
  { type: 'lpm_trie', keySize: 20, valueSize: 4, maxEntries: 60, flags: 1, key: prefix(16), ordered: true },
  { type: 'lpm_trie', keySize: 7, valueSize: 9, maxEntries: 60, flags: 1, key: prefix(3), ordered: true },
];

for (const c of cases)
  test(
    `${c.type}, ${c.keySize}-byte keys: 5,000 random operations give the same results and errnos`,
    () => {
      const b: Bench = bench({ lanes: Math.max(1, possibleCpus() - 1) });
      const spec: MapSpec = { name: 'diff', flags: 0, ...c };
      const ours = createMap(b.arena, b.core, spec) as KeyedMap;
      const theirs = KernelMap.create(spec);
      try {
        const r = random(c.keySize * 7 + c.maxEntries);
        const pool = Array.from({ length: c.keys ?? 64 }, () => (c.key ?? (() => r.bytes(c.keySize)))(r));
        const copies = theirs.valueBytes;
        for (let i = 0; i < 5000; i++) {
          const key = pool[r.below(pool.length)];
          const op = r.below(6);
          let a: unknown;
          let z: unknown;
          let doing: string;
          if (op < 3) {
            const value = r.bytes(copies);
            const perCpu = copies !== c.valueSize;
            if (perCpu)
              for (let at = c.valueSize; at < copies; at++) if (at % 16 >= c.valueSize % 16) value[at] = 0;
            const flags = [0, 0, 1, 2, 3, 8][r.below(6)];
            doing = `update ${hex(key)} flags ${flags}`;
            a = outcomeOf(() => ours.set(key, value, flags));
            z = kernelOutcome(() => {
              theirs.update(key, value, flags);
              return 'ok';
            });
          } else if (op === 3) {
            doing = `delete ${hex(key)}`;
            a = outcomeOf(() => {
              if (!ours.delete(key)) throw Object.assign(new Error(), { code: 'ERR_MAP_ENOENT' });
            });
            z = kernelOutcome(() => (theirs.delete(key) ? 'ok' : 'ENOENT'));
          } else {
            doing = `lookup ${hex(key)}`;
            a = show(stripPadding(ours.getBytes(key), c.valueSize));
            z = kernelOutcome(() => show(stripPadding(theirs.lookup(key), c.valueSize)));
            // A trie's lookup with too long a prefix is "not found" for both.
          }
          assert.is(a, z, `operation ${i}: ${doing}`);
        }
        const ourKeys = [...ours.rawKeys()].map(hex);
        const theirKeys = [...theirs.keys()].map(hex);
        assert.equal(c.ordered ? ourKeys : ourKeys.sort(), c.ordered ? theirKeys : theirKeys.sort());
      } finally {
        theirs.close();
      }
    },
    { missing },
  );

/** Bytes of each copy without the padding to 8, whose contents are nobody's business. */
function stripPadding(bytes: Uint8Array | undefined, size: number): Uint8Array | undefined {
  if (!bytes || bytes.length === size) return bytes;
  const stride = Math.ceil(size / 8) * 8;
  const out: number[] = [];
  for (let at = 0; at < bytes.length; at += stride) out.push(...bytes.subarray(at, at + size));
  return Uint8Array.from(out);
}

for (const type of ['queue', 'stack'] as const)
  test(
    `${type}: pushes, pops and peeks give the same results and errnos`,
    () => {
      const b = bench();
      const ours = make(b, type, 0, 8, 5) as QueueMap;
      const theirs = KernelMap.create(ours.spec);
      try {
        const r = random(11);
        for (let i = 0; i < 3000; i++) {
          const op = r.below(5);
          if (op < 2) {
            const value = r.bytes(8);
            const flags = [0, 0, 2, 1, 3][r.below(5)];
            assert.is(
              outcomeOf(() => ours.push(value, flags)),
              kernelOutcome(() => {
                theirs.update(new Uint8Array(0), value, flags);
                return 'ok';
              }),
              `push ${i} flags ${flags}`,
            );
          } else if (op < 4) {
            const value = new Uint8Array(8);
            const { rc } = bpf(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, MAP_ELEM, { fd: theirs.fd, value });
            assert.is(
              show(ours.pop()),
              rc < 0 && errnoName(-rc) === 'ENOENT' ? 'none' : hex(value),
              `pop ${i}`,
            );
          } else {
            assert.is(show(ours.peek()), show(theirs.lookup(new Uint8Array(0))), `peek ${i}`);
          }
        }
      } finally {
        theirs.close();
      }
    },
    { missing },
  );

test(
  '3,000 random map specifications are accepted or refused with the same errno',
  () => {
    const r = random(17);
    const b = bench({ mapBytes: 512 << 20 });
    const types: MapTypeName[] = [
      'array',
      'percpu_array',
      'hash',
      'percpu_hash',
      'lru_hash',
      'lru_percpu_hash',
      'lpm_trie',
      'queue',
      'stack',
      'ringbuf',
      'bloom_filter',
      'prog_array',
      'perf_event_array',
      'devmap',
      'devmap_hash',
      'cpumap',
      'xskmap',
    ];
    const pick = <T>(list: readonly T[]): T => list[r.below(list.length)];
    const differences: string[] = [];
    for (let i = 0; i < 3000; i++) {
      const type = pick(types);
      const spec: MapSpec = {
        name: 'spec',
        type,
        keySize: pick([0, 4, 4, 4, 4, 8, 5, 16, 20, 260, 261]),
        valueSize: pick([0, 4, 4, 4, 8, 8, 5, 64, 32768, 32769]),
        maxEntries: pick([0, 1, 2, 3, 16, 64, 4096, 4096, 8192, 12288]),
        flags: pick([
          0,
          0,
          0,
          0,
          1,
          1,
          1,
          2,
          8,
          16,
          24,
          64,
          128,
          256,
          384,
          1024,
          2048,
          4096,
          1 << 9,
          1 << 15,
        ]),
        extra: pick([0, 0, 0, 0, 3, 16]),
      };
      // libbpf's convenience, not the kernel's rule.
      if (type === 'perf_event_array' && spec.maxEntries === 0) continue;
      // The limit of a cpumap is the kernel's CONFIG_NR_CPUS.
      if (type === 'cpumap' && spec.maxEntries > 64) continue;
      // 16 MiB or more a map are not worth the time.
      if (spec.maxEntries * (spec.keySize + spec.valueSize) > 16 << 20) continue;
      const ours = outcomeOf(() => createMap(b.arena, b.core, spec).destroy());
      const theirs = kernelOutcome(() => {
        KernelMap.create(spec).close();
        return 'ok';
      });
      const same = ours === theirs || (ours === 'ENOTSUPP' && theirs === '524');
      if (!same) differences.push(`${JSON.stringify(spec)}: ours ${ours}, kernel ${theirs}`);
    }
    assert.equal(differences.slice(0, 10), []);
  },
  { missing, timeoutMs: 60_000 },
);
