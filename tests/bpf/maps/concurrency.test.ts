import { Piscina } from 'piscina';
import type { Btf } from '../../../host/bpf/btf/btf.js';
import type { BpfMap } from '../../../host/bpf/maps/index.js';
import type { MapSpec } from '../../../host/bpf/spec.js';
import { LanePhase, MapHeaderView } from '../../../host/layout/layout.gen.js';
import { assert, suite } from '../../support/suite.js';
import type { LaneJob, LaneResult } from './lane.js';
import { type Bench, bench, make, random } from './support.js';

const test = suite('maps: lanes and host together');
const LANES = 3;

const startLanes = (): Piscina =>
  new Piscina({
    filename: new URL('./lane.ts', import.meta.url).href,
    minThreads: LANES,
    maxThreads: LANES,
    concurrentTasksPerWorker: 1,
    atomics: 'disabled',
  });

/**
 * Gives each lane the task; `meanwhile` runs on the host between its messages until all are done.
 * The lanes are new ones unless `given`: threads are slow to start, so who has many rounds keeps them.
 */
async function hammer(
  b: Bench,
  map: BpfMap,
  task: LaneJob['task'],
  ops: number,
  meanwhile: () => void = () => {},
  given?: Piscina,
): Promise<LaneResult[]> {
  const pool = given ?? startLanes();
  let done = false;
  const jobs = Array.from({ length: LANES }, (_, lane) => {
    const scratch = b.arena.scratch.alloc(256);
    const job: LaneJob = { memory: b.arena.memory, lane, task, map: map.addr, scratch, ops };
    return pool.run(job) as Promise<LaneResult>;
  });
  const all = Promise.all(jobs).finally(() => {
    done = true;
  });
  // When `meanwhile` fails, that is the error to show, not that the lanes were ended.
  all.catch(() => {});
  try {
    while (!done) {
      meanwhile();
      await new Promise(setImmediate);
    }
    return await all;
  } finally {
    if (!given) await pool.destroy();
  }
}

const nobodyWrong = (results: LaneResult[]): void =>
  assert.equal(
    results.flatMap(r => r.wrong),
    [],
  );

const total = (results: LaneResult[], what: string): number =>
  results.reduce((n, r) => n + (r.counts[what] ?? 0), 0);

const key = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n).buffer);
const value = (n: number): Uint8Array => new Uint8Array(Uint32Array.of(n, n, n, n).buffer);

/** Elements in the free list, and whether each stands on an element's place once. */
function freeElements(b: Bench, map: BpfMap): number {
  const h = new MapHeaderView(b.arena.dv, map.addr);
  const seen = new Set<number>();
  for (let e = h.free; e !== 0; e = b.arena.dv.getUint32(e + 4, true)) {
    assert.ok(e >= h.dataAt && e < h.dataAt + h.dataBytes && (e - h.dataAt) % h.stride === 0, 'an element');
    assert.not.ok(seen.has(e), 'twice in the free list');
    seen.add(e);
  }
  return seen.size;
}

for (const maxEntries of [1000, 200])
  test(`hash of ${maxEntries}: what stays is always found, nothing is lost or doubled`, async () => {
    const b = bench({ lanes: LANES });
    const m = make(b, 'hash', 4, 16, maxEntries);
    for (let k = 0; k < 64; k++) m.set(key(k), value(k));
    const r = random(99);
    const results = await hammer(b, m, 'churn', 30_000, () => {
      for (let i = 0; i < 50; i++) {
        const k = 64 + r.below(256);
        if (r.below(2)) m.delete(key(k));
        const stable = r.below(64);
        assert.equal(m.get(key(stable)), value(stable));
      }
      const stable = [...m.rawKeys()].filter(k => k[0] < 64 && k[1] === 0);
      assert.is(stable.length, 64, 'an iteration sees what stays exactly once');
    });
    nobodyWrong(results);
    const entries = [...m.rawEntries()];
    assert.is(entries.length, m.size);
    for (const [k, v] of entries) assert.equal(v, value(new DataView(k.buffer).getUint32(0, true)));
    assert.is(new Set(entries.map(([k]) => k.join())).size, m.size);
    assert.is(freeElements(b, m) + m.size, maxEntries + LANES + 1);
  });

for (const type of ['lru_hash', 'lru_percpu_hash'] as const)
  test(`${type}: evicting from all sides keeps count`, async () => {
    const b = bench({ lanes: LANES });
    const m = make(b, type, 4, 16, 100);
    const r = random(7);
    const results = await hammer(b, m, 'evict', 30_000, () => {
      for (let i = 0; i < 50; i++) m.delete(key(r.below(500)));
    });
    nobodyWrong(results);
    const keys = [...m.rawKeys()].map(k => k.join());
    assert.is(keys.length, m.size);
    assert.is(new Set(keys).size, m.size);
    assert.ok(m.size <= 100);
    assert.ok(m.evictions > 0);
    assert.is(freeElements(b, m) + m.size, 100 + LANES + 1);
  });

/** BTF of struct { struct bpf_spin_lock lock; u32 a, b, c; } */
const lockedValue: MapSpec['btf'] = {
  types: {
    types: [
      { kind: 'void' },
      {
        kind: 'int',
        name: 'unsigned int',
        size: 4,
        bits: 32,
        bitOffset: 0,
        signed: false,
        char: false,
        bool: false,
      },
      {
        kind: 'struct',
        name: 'bpf_spin_lock',
        size: 4,
        members: [{ name: 'val', type: 1, bitOffset: 0, bitSize: 0 }],
      },
      {
        kind: 'struct',
        name: 'value',
        size: 16,
        members: ['lock', 'a', 'b', 'c'].map((name, i) => ({
          name,
          type: i ? 1 : 2,
          bitOffset: i * 32,
          bitSize: 0,
        })),
      },
    ],
  } as Btf,
  keyId: 1,
  valueId: 3,
};

for (const type of ['hash', 'array'] as const)
  test(`${type}: values changed under BPF_F_LOCK are never torn`, async () => {
    const b = bench({ lanes: LANES });
    const m = make(b, type, 4, 16, 8, { btf: lockedValue });
    for (let k = 0; k < 8; k++) m.set((type === 'array' ? k : key(k)) as never, new Uint8Array(16));
    nobodyWrong(await hammer(b, m, 'locked', 30_000));
  });

test('bpf_spin_lock excludes', async () => {
  const b = bench({ lanes: LANES });
  const m = make(b, 'array', 4, 16, 1, { btf: lockedValue });
  await hammer(b, m, 'counter', 50_000);
  const at = new MapHeaderView(b.arena.dv, m.addr).dataAt;
  assert.is(b.arena.dv.getUint32(at + 4, true), LANES * 50_000);
});

test('ringbuf: every record arrives once, whole and in order of its lane, or is counted', async () => {
  const b = bench({ lanes: LANES });
  const m = make(b, 'ringbuf', 0, 0, 16384);
  const last = new Map<number, number>();
  let read = 0;
  const drain = () => {
    for (const record of m.poll() as Uint8Array[]) {
      read++;
      const dv = new DataView(record.buffer, record.byteOffset);
      const lane = dv.getUint32(0, true);
      const number = dv.getUint32(4, true);
      assert.ok(number > (last.get(lane) ?? -1), 'in order');
      last.set(lane, number);
      assert.ok(
        record.subarray(8).every(x => x === lane + 1),
        'whole',
      );
    }
  };
  const results = await hammer(b, m, 'records', 30_000, drain);
  drain();
  assert.is(read, total(results, 'submitted'));
  assert.is(m.dropped, total(results, 'dropped'));
  assert.is(m.pendingBytes, 0);
});

test('queue: nothing is lost, doubled or torn', async () => {
  const b = bench({ lanes: LANES });
  const m = make(b, 'queue', 0, 8, 100);
  let popped = 0;
  const pop = () => {
    const v = m.pop() as Uint8Array | undefined;
    if (v) popped += new DataView(v.buffer).getUint32(0, true);
    return v;
  };
  const results = await hammer(b, m, 'queue', 30_000, pop);
  nobodyWrong(results);
  while (pop());
  assert.is(popped + total(results, 'popped'), total(results, 'pushed'));
});

test('lpm_trie: what stays is found while nodes beside it come and go', async () => {
  const b = bench({ lanes: LANES });
  const m = make(b, 'lpm_trie', 8, 4, 300, { flags: 1 });
  for (let n = 0; n < 32; n++) m.set({ prefixlen: 8, data: Uint8Array.of(n, 0, 0, 0) }, n);
  const r = random(5);
  const results = await hammer(b, m, 'prefixes', 30_000, () => {
    for (let i = 0; i < 20; i++) {
      const n = r.below(32);
      assert.is(m.getBytes({ prefixlen: 32, data: Uint8Array.of(n, 1, 2, 3) })?.[0], n);
    }
  });
  nobodyWrong(results);
  assert.is([...m.rawKeys()].length, m.size);
  for (const k of [...m.rawKeys()]) assert.ok(m.delete(k));
  const h = new MapHeaderView(b.arena.dv, m.addr);
  let nodes = 0;
  for (let n = h.state1; n; n = b.arena.dv.getUint32(n + 132, true)) nodes++;
  assert.is(nodes, h.state3, 'every node is free again');
});

/** What lane `lane` writes into the locks that it holds (assembly/bpf/maps/lock.ts). */
const holder = (b: Bench, lane: number): number => (b.arena.lane(lane).lives << 8) | (lane + 1);

/** Lets `lane` hold every bucket of a hash. */
function lockBuckets(b: Bench, map: BpfMap, lane: number): void {
  const { aux0, aux1 } = new MapHeaderView(b.arena.dv, map.addr);
  for (let bucket = 0; bucket <= aux1; bucket++) b.arena.u32[(aux0 >>> 2) + 2 * bucket + 1] = holder(b, lane);
}

for (const [how, die] of [
  ['crashed', (b: Bench) => Object.assign(b.arena.lane(0), { phase: LanePhase.CRASHED })],
  ['was replaced', (b: Bench) => Object.assign(b.arena.lane(0), { lives: 1 })],
] as const)
  test(`a lock whose holder ${how} is taken over`, () => {
    const b = bench({ lanes: 1 });
    const m = make(b, 'hash', 4, 16, 1);
    lockBuckets(b, m, 0);
    die(b);
    m.set(key(1), value(1));
    assert.equal(m.get(key(1)), value(1));
    assert.is(m.size, 1);
  });

test('a lock that a run of the same instance left held is taken again', () => {
  const b = bench({ lanes: 1 });
  const m = make(b, 'hash', 4, 16, 1);
  lockBuckets(b, m, 1);
  m.set(key(1), value(1));
  assert.is(m.size, 1);
});

test('however long a live lane holds a lock, nobody takes it', async () => {
  const b = bench({ lanes: LANES + 1 });
  const m = make(b, 'hash', 4, 16, 1000);
  lockBuckets(b, m, LANES);
  b.arena.lane(LANES).phase = LanePhase.RUNNING;
  const from = Date.now();
  let held = true;
  const results = await hammer(b, m, 'churn', 1000, () => {
    if (held) assert.is(m.size, 0, 'nobody got in');
    if (Date.now() - from < 3000) return;
    held = false;
    b.arena.lane(LANES).phase = LanePhase.CRASHED;
  });
  assert.ok(Date.now() - from >= 3000);
  assert.ok(m.size > 0);
  // The stable keys were never inserted: that is all that may be wrong.
  assert.equal(
    results.flatMap(r => r.wrong).filter(w => !/stable/.test(w)),
    [],
  );
});

test('of several that wait for a dead lane one takes the lock', async () => {
  const lanes = startLanes();
  try {
    for (let i = 0; i < 5; i++) {
      const b = bench({ lanes: LANES + 1 });
      const m = make(b, 'array', 4, 16, 1, { btf: lockedValue });
      const at = new MapHeaderView(b.arena.dv, m.addr).dataAt;
      b.arena.u32[at >>> 2] = holder(b, LANES);
      b.arena.lane(LANES).phase = LanePhase.CRASHED;
      await hammer(b, m, 'counter', 2000, undefined, lanes);
      assert.is(b.arena.dv.getUint32(at + 4, true), LANES * 2000);
    }
  } finally {
    await lanes.destroy();
  }
});
