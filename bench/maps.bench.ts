/**
 * Map operations as programs see them: the same eBPF program, compiled by our JIT and loaded into the kernel, one
 * operation a run on keys in random order. Both figures are net of the same program without the operation, in the
 * same run. Values are 16 bytes.
 */
import { assembleSpec } from '../host/bpf/asm/spec.js';
import { compileProgram } from '../host/bpf/jit/compile.js';
import { instantiateProgram } from '../host/bpf/jit/instantiate.js';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { KernelMap } from '../host/bpf/kernel/map.js';
import { KernelProgram } from '../host/bpf/kernel/program.js';
import { type BpfMap, createMap, KeyedMap, type RingBufMap } from '../host/bpf/maps/index.js';
import type { MapSpec, MapTypeName, ProgramSpec } from '../host/bpf/spec.js';
import { testPacket } from '../host/engine/test_run.js';
import { Arena } from '../host/mem/arena.js';
import { type Core, instantiateCore } from '../host/mem/core.js';
import { claimVerified } from '../tests/support/engines.js';
import type { Bench } from './harness/bench.js';

const VALUE = 16;
/**
 * Runs a round; the least mean of some rounds is taken, on both sides. Time is CPU time: the kernel's timer stops while
 * it is off the CPU (bpf_test_timer_continue), so ours must, too, or a busy machine would count against us alone.
 */
const RUNS = 200_000;
const PACKET = new Uint8Array(64);

interface Case {
  type: MapTypeName;
  keySize: number;
  entries: number;
  operations: readonly Operation[];
  flags?: number;
  /** Distinct random keys; default random bytes. */
  keys?: (count: number, keySize: number) => Uint8Array[];
}

type Operation = 'lookup' | 'update' | 'delete and insert' | 'push and pop' | 'reserve and submit 64 B';

const MAP_CALLS: Record<Operation, string> = {
  lookup: `
    r1 = map[m]
    call 1
    if r0 == 0 goto miss
    r0 = *(u64 *)(r0 +0)`,
  update: `
    r1 = map[m]
    r3 = r10
    r3 += -16
    r4 = 0
    call 2`,
  'delete and insert': `
    r8 = r2
    r1 = map[m]
    call 3
    r1 = map[m]
    r2 = r8
    r3 = r10
    r3 += -16
    r4 = 0
    call 2`,
  'push and pop': `
    r1 = map[m]
    r2 = r10
    r2 += -16
    r3 = 0
    call 87
    r1 = map[m]
    r2 = r10
    r2 += -16
    call 88`,
  'reserve and submit 64 B': `
    r1 = map[m]
    r2 = 64
    r3 = 0
    call 131
    if r0 == 0 goto miss
    *(u64 *)(r0 +0) = r7
    *(u64 *)(r0 +56) = r7
    r1 = r0
    r2 = 0
    call 132`,
};

/** Walks through the keys, one a run; `operation` undefined is the base that both sides subtract. */
function program(c: Case, operation: Operation | undefined, maps: Record<string, MapSpec>): ProgramSpec {
  const text = `
    r6 = map[state][0]+0
    r7 = *(u32 *)(r6 +0)
    r7 += 1
    if r7 < ${c.entries} goto next
    r7 = 0
  next:
    *(u32 *)(r6 +0) = r7
    *(u64 *)(r10 -16) = r7
    *(u64 *)(r10 -8) = r7
    r7 *= ${Math.max(4, c.keySize)}
    r2 = map[${operation === undefined || operation === 'lookup' ? 'asked' : 'known'}][0]+0
    r2 += r7
    ${operation ? MAP_CALLS[operation] : 'r0 = *(u32 *)(r2 +0)'}
  done:
    r0 = 1
    exit
  ${operation && MAP_CALLS[operation].includes('miss') ? 'miss:\n    r0 = 0\n    exit' : ''}`;
  const spec = assembleSpec(text, { type: 'xdp', name: 'map_bench', mapSpecs: maps });
  // The assembler copies: programs of one case share their maps by identity.
  for (const [k, m] of Object.entries(spec.maps)) spec.maps[Number(k)] = maps[m.name];
  return spec;
}

const randomKeys = (count: number, keySize: number): Uint8Array[] => {
  const seen = new Map<string, Uint8Array>();
  while (seen.size < count) {
    const key = crypto.getRandomValues(new Uint8Array(keySize));
    seen.set(key.join(), key);
  }
  return [...seen.values()];
};

/** Prefixes of 8 to 24 (IPv4) or 16 to 64 bits (IPv6), and full addresses as keys to ask. */
const prefixes =
  (from: number, to: number) =>
  (count: number, keySize: number): Uint8Array[] =>
    randomKeys(count, keySize).map(key => {
      new DataView(key.buffer).setUint32(0, from + (key[0] % (to - from + 1)), true);
      return key;
    });

/** An address under a prefix, as a lookup key. */
function fullAddress(prefix: Uint8Array): Uint8Array {
  const key = prefix.slice();
  new DataView(key.buffer).setUint32(0, (key.length - 4) * 8, true);
  return key;
}

function shuffled<T>(list: readonly T[]): T[] {
  const out = [...list];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [out[i], out[j]] = [out[j], out[i]];
  }
  return out;
}

class Ours {
  readonly #maps = new Map<MapSpec, BpfMap>();
  #slot = 1;
  constructor(
    readonly arena: Arena,
    readonly core: Core,
  ) {}
  map(spec: MapSpec): BpfMap {
    let m = this.#maps.get(spec);
    if (!m) this.#maps.set(spec, (m = createMap(this.arena, this.core, spec)));
    return m;
  }
  /** A function that runs the program `runs` times. */
  load(spec: ProgramSpec): (runs: number) => void {
    const binding = Object.fromEntries(Object.entries(spec.maps).map(([k, m]) => [k, this.map(m)]));
    const compiled = compileProgram(claimVerified(spec), binding);
    const slot = this.#slot;
    this.#slot += compiled.slotCount;
    instantiateProgram(compiled, this.core, this.arena, slot);
    const packet = testPacket(this.arena, 'xdp', PACKET);
    packet.reset();
    return runs => {
      if (this.core.exports.test_run_xdp(slot, packet.ctx, runs) !== 1n)
        throw new Error(`${spec.name}: the last run found no element`);
    };
  }
}

/** ns a run, the kernel's loop included. */
function kernelNs(spec: ProgramSpec, maps: ReadonlyMap<MapSpec, KernelMap>, rounds: number): number {
  const load = KernelProgram.load(spec, { maps, log: 'none' });
  if (!load.accepted) throw new Error(`the kernel refuses the bench program: ${load.reason}`);
  try {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < rounds; i++) {
      const run = load.program.testRun({ data: PACKET, repeat: RUNS });
      if (run.retval !== 1) throw new Error('the kernel found no element');
      best = Math.min(best, run.durationNs);
    }
    return best;
  } finally {
    load.program.close();
  }
}

/** One map type and size: a row for each operation. */
function measure(bench: Bench, c: Case): void {
  const arena = Arena.create({ lanes: 1, frames: 16, mapBytes: 256 << 20 });
  const ours = new Ours(arena, instantiateCore(arena, 1));
  const keyed = c.keySize > 0;
  const stored = keyed ? (c.keys ?? randomKeys)(c.entries, c.keySize) : [];
  const known = shuffled(stored);
  const asked = c.type === 'lpm_trie' ? known.map(fullAddress) : known;
  const array = (name: string, valueSize: number, more: Partial<MapSpec> = {}): MapSpec => ({
    name,
    type: 'array',
    keySize: 4,
    valueSize,
    maxEntries: 1,
    flags: 0,
    ...more,
  });
  /** Keys side by side in one value. */
  const list = (name: string, keys: readonly Uint8Array[]): MapSpec => {
    const width = Math.max(4, c.keySize);
    const contents = new Uint8Array(c.entries * width);
    keys.forEach((k, i) => {
      contents.set(k, i * width);
    });
    return array(name, contents.length, { contents });
  };
  const maps: Record<string, MapSpec> = {
    state: array('state', 8),
    asked: list('asked', asked),
    known: list('known', known),
    m: {
      name: 'm',
      type: c.type,
      keySize: c.keySize,
      valueSize: c.type === 'ringbuf' ? 0 : VALUE,
      maxEntries: c.type === 'ringbuf' ? 1 << 24 : c.entries,
      flags: c.flags ?? 0,
    },
  };
  const kernel = kernelAvailable().ok && c.type !== 'ringbuf';
  const kernelMaps = new Map(kernel ? Object.values(maps).map(s => [s, KernelMap.create(s)]) : []);
  const kernelMap = kernelMaps.get(maps.m);
  const map = ours.map(maps.m);
  for (const [i, key] of stored.entries()) {
    const value = new Uint8Array(VALUE).fill(i);
    const copies = (n: number) => (n === VALUE ? value : new Uint8Array(n));
    if (map instanceof KeyedMap) map.set(key, c.type.includes('percpu') ? new Array(2).fill(value) : value);
    kernelMap?.update(key, copies(kernelMap.valueBytes));
  }

  const condition = keyed
    ? `${c.keySize}-byte keys, ${c.entries.toLocaleString('en')} entries`
    : `${VALUE}-byte values`;
  const rounds = bench.quick ? 2 : 7;
  const sample = (operation: Operation | undefined): number => {
    const run = ours.load(program(c, operation, maps));
    const ring = c.type === 'ringbuf' ? (map as RingBufMap) : undefined;
    let best = Number.POSITIVE_INFINITY;
    // The first round makes the code hot.
    for (let i = 0; i <= rounds; i++) {
      const from = process.cpuUsage();
      run(RUNS);
      const { user, system } = process.cpuUsage(from);
      ring?.discardAll();
      if (i > 0) best = Math.min(best, ((user + system) * 1000) / RUNS);
    }
    return best;
  };
  try {
    const base = sample(undefined);
    const kernelBase = kernel ? kernelNs(program(c, undefined, maps), kernelMaps, rounds) : 0;
    for (const operation of c.operations) {
      const ns = sample(operation) - base;
      const peer = kernel
        ? { name: 'kernel', value: kernelNs(program(c, operation, maps), kernelMaps, rounds) - kernelBase }
        : undefined;
      bench.row({
        group: 'maps',
        name: `${c.type}: ${operation}`,
        conditions: c.type === 'ringbuf' ? '16 MiB ring' : condition,
        unit: 'ns',
        value: ns,
        ...(peer ? { peer, target: '≤ 1.0 × kernel', met: ns <= peer.value } : {}),
      });
    }
  } finally {
    for (const m of kernelMaps.values()) m.close();
  }
}

const CHANGE: readonly Operation[] = ['lookup', 'update', 'delete and insert'];

export const cases: readonly Case[] = [
  ...[4, 8, 16, 40].flatMap(keySize =>
    [10_000, 100_000].map((entries): Case => ({ type: 'hash', keySize, entries, operations: CHANGE })),
  ),
  { type: 'percpu_hash', keySize: 16, entries: 10_000, operations: CHANGE },
  { type: 'lru_hash', keySize: 16, entries: 10_000, operations: CHANGE },
  { type: 'lru_hash', keySize: 40, entries: 65_536, operations: CHANGE },
  {
    type: 'lpm_trie',
    keySize: 8,
    entries: 10_000,
    flags: 1,
    keys: prefixes(8, 32),
    operations: CHANGE,
  },
  {
    type: 'lpm_trie',
    keySize: 20,
    entries: 10_000,
    flags: 1,
    keys: prefixes(16, 64),
    operations: CHANGE,
  },
  { type: 'queue', keySize: 0, entries: 1000, operations: ['push and pop'] },
  { type: 'stack', keySize: 0, entries: 1000, operations: ['push and pop'] },
  { type: 'ringbuf', keySize: 0, entries: 1000, operations: ['reserve and submit 64 B'] },
];

export default function maps(bench: Bench): void {
  for (const c of cases) measure(bench, c);
}
