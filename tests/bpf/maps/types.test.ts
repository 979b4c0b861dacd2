import { readFileSync } from 'node:fs';
import type { Btf } from '../../../host/bpf/btf/btf.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { type ArrayMap, createMap, type KeyedMap, type RingBufMap } from '../../../host/bpf/maps/index.js';
import type { CollectionSpec } from '../../../host/bpf/spec.js';
import { assert, suite } from '../../support/suite.js';
import { bench, make, outcomeOf } from './support.js';

const test = suite('maps: typed through BTF');

const object = (name: string): CollectionSpec =>
  loadElf(readFileSync(new URL(`../../../bpf-progs/obj/${name}.bpf.o`, import.meta.url)), name);

test('keys and values of a clang object are objects by field name', () => {
  const b = bench({ mapBytes: 64 << 20 });
  const flows = createMap(b.arena, b.core, object('flow_stats').maps.flows) as KeyedMap;
  const key = { src: [1, 2, 3, 4], dst: [5, 6, 7, 8], sport: 99, dport: 80, protocol: 6, family: 4, pad: 0 };
  const value = { packets: 3n, bytes: 2n ** 40n, first_ns: 1n, last_ns: 2n, tcp_flags: 18, pad: 0 };
  flows.set(key, value);
  assert.equal(flows.get(key), value);
  assert.equal([...flows], [[key, value]]);
  flows.set({ src: [1] }, { packets: 1 }, 1);
  assert.is((flows.get({ src: [1, 0, 0, 0] }) as typeof value).packets, 1n, 'what is left out is 0');
  assert.throws(
    () => flows.set({ srk: [1] }, value),
    (e: { code: string }) => e.code === 'ERR_BTF_VALUE',
  );
});

test('counters are added up over lanes, field by field', () => {
  const b = bench();
  const spec = object('flow_stats').maps.totals;
  const totals = make(b, 'percpu_array', 4, spec.valueSize, 1, { btf: spec.btf });
  const one = { packets: 1n, bytes: 64n, not_ip: 0n, malformed: 0n, samples: 2n, samples_lost: 0n };
  totals.set(0, [one, one, { ...one, bytes: 1000n }]);
  assert.equal(totals.sum(0), { ...one, packets: 3n, bytes: 1128n, samples: 6n });
  assert.is((totals.getLane(0, 2) as typeof one).bytes, 1000n);
});

test('tries take text, objects by field name, and give the latter', () => {
  const b = bench();
  const spec = object('firewall').maps.deny4;
  const deny = make(b, 'lpm_trie', 8, 4, 16, { flags: 1, btf: spec.btf });
  deny.set('10.0.0.0/8', 7);
  const [[key, value]] = [...deny] as unknown as [[Record<string, number>, number]];
  assert.is(value, 7);
  assert.is(key.prefixlen, 8);
  assert.is(deny.get(key as never), 7);
});

test('ring buffer records are decoded by the name of their type', async () => {
  const b = bench();
  const collection = object('flow_stats');
  const samples = createMap(b.arena, b.core, collection.maps.samples) as RingBufMap;
  const at = b.core.exports.ringbuf_reserve(samples.addr, 200n, 0n) >>> 0;
  b.arena.dv.setBigUint64(at, 12345n, true);
  b.core.exports.ringbuf_submit(at, 0n);
  const reader = samples.records({ btf: collection.btf!, type: 'stats' });
  const { value } = await reader.next();
  assert.is((value as unknown as { packets: bigint }).packets, 12345n);
  await reader.return(undefined);
  let code = 'none';
  await samples
    .records({ btf: collection.btf!, type: 'nonsense' })
    .next()
    .catch((e: { code: string }) => {
      code = e.code;
    });
  assert.is(code, 'ERR_MAP_ENOENT');
});

/** BTF of .data: { u64 hits; u32 limit; char name[8] } */
const dataSection: Btf = {
  types: [
    { kind: 'void' },
    { kind: 'int', name: 'u64', size: 8, bits: 64, bitOffset: 0, signed: false, char: false, bool: false },
    { kind: 'int', name: 'u32', size: 4, bits: 32, bitOffset: 0, signed: false, char: false, bool: false },
    { kind: 'int', name: 'char', size: 1, bits: 8, bitOffset: 0, signed: true, char: true, bool: false },
    { kind: 'array', type: 3, indexType: 2, count: 8 },
    { kind: 'var', name: 'hits', type: 1, linkage: 'global' },
    { kind: 'var', name: 'limit', type: 2, linkage: 'global' },
    { kind: 'var', name: 'name', type: 4, linkage: 'global' },
    {
      kind: 'datasec',
      name: '.data',
      size: 24,
      vars: [
        { type: 5, offset: 0, size: 8 },
        { type: 6, offset: 8, size: 4 },
        { type: 7, offset: 12, size: 8 },
      ],
    },
  ],
};

test('global variables are read and written by name, in place', () => {
  const b = bench();
  const contents = new Uint8Array(24);
  contents.set([5], 8);
  const btf = { types: dataSection, keyId: 0, valueId: 8 };
  const data = make(b, 'array', 4, 24, 1, { contents, btf }) as ArrayMap;
  assert.equal(data.globals, ['hits', 'limit', 'name']);
  const hits = data.global<bigint>('hits');
  assert.is(hits.get(), 0n);
  b.arena.dv.setBigUint64(hits.addr, 77n, true);
  assert.is(hits.get(), 77n, 'as the program sees it');
  data.global('name').set('eth0');
  data.global('limit').set(9);
  assert.equal(data.get(0), { hits: 77n, limit: 9, name: 'eth0' });
  assert.is(
    outcomeOf(() => data.global('nothing')),
    'ENOENT',
  );
  const rodata = make(b, 'array', 4, 24, 1, { contents, btf, frozen: true }) as ArrayMap;
  assert.is(rodata.global('limit').get(), 5);
  assert.is(
    outcomeOf(() => rodata.global('limit').set(6)),
    'EPERM',
  );
  assert.is(
    outcomeOf(() => rodata.clear()),
    'EPERM',
  );
});
