/**
 * Facts for the compiler, joined over every walked path.
 *
 * What kind of pointer a register holds, its fixed stack offset and its map are compared exactly when paths are
 * pruned, so what holds on the walked paths holds on all. Values of scalars are not: a pruned path may bring others.
 * Those come from scalar_facts.ts, which looks at the program without paths.
 */
import type { Insn } from '../insn.js';
import type { Cfg } from './cfg.js';
import { Point } from './cfg.js';
import { usesOf } from './liveness.js';
import { constVar, isNullable, Kind, minOff, type Reg } from './regs.js';
import type { Fact, FactKind, JitFacts } from './verified.js';

const KINDS: readonly FactKind[] = [
  'none',
  'scalar',
  'ctx',
  'map_ptr',
  'map_value',
  'stack',
  'packet',
  'packet',
  'packet_end',
  'mem',
  'scalar',
  'mem',
  'mem',
  'mem',
  'mem',
];

const NONE: Fact = { kind: 'none' };
const SCALAR: Fact = { kind: 'scalar' };

/** What one path says of a register. */
function factOf(r: Reg, depth: number): Fact {
  if (isNullable(r)) return { kind: 'null_or_ptr' };
  switch (r.kind) {
    case Kind.NONE:
      return NONE;
    case Kind.STACK: {
      if (minOff(r) < -512n) return SCALAR;
      const fixed = constVar(r);
      const fact: Fact = { kind: 'stack', frameUp: depth - r.size };
      if (fixed !== undefined) fact.stackOff = r.off + fixed;
      return fact;
    }
    case Kind.MAP_PTR:
    case Kind.MAP_VALUE: {
      if (r.kind === Kind.MAP_VALUE && minOff(r) < 0n) return SCALAR;
      const fact: Fact = { kind: KINDS[r.kind] };
      if (r.map && r.map.key >= 0 && r.uid === 0) fact.map = r.map.key;
      return fact;
    }
    default:
      // An address below its region may wrap: only the number is sure.
      if (r.kind !== Kind.SCALAR && r.kind !== Kind.PACKET_END && minOff(r) < 0n) return SCALAR;
      return { kind: KINDS[r.kind] };
  }
}

function join(a: Fact, b: Fact): Fact {
  if (a.kind !== b.kind) return NONE;
  const same: Fact = { kind: a.kind };
  if (a.kind === 'stack') {
    if (a.frameUp === b.frameUp) {
      same.frameUp = a.frameUp;
      if (a.stackOff !== undefined && a.stackOff === b.stackOff) same.stackOff = a.stackOff;
    }
  } else if (a.map !== undefined && a.map === b.map) same.map = a.map;
  return same;
}

/** Collected while walking. */
export class FactTable implements JitFacts {
  readonly #facts: (Fact | undefined)[];
  readonly #last: (Reg | undefined)[];
  readonly #reached: Uint8Array;
  readonly #ways: Uint8Array;
  readonly #reads: Uint16Array;
  /** null: paths differ. */
  readonly #loads = new Map<number, bigint | null>();
  readonly #made = new Map<number, number>();

  constructor(insns: readonly Insn[], cfg: Cfg) {
    this.#facts = new Array(insns.length * 11);
    this.#last = new Array(insns.length * 11);
    this.#reached = new Uint8Array(insns.length);
    this.#ways = new Uint8Array(insns.length);
    this.#reads = Uint16Array.from(insns, (insn, at) =>
      cfg.points[at] & Point.SECOND ? 0 : usesOf(insn) & 0xffff,
    );
  }

  /** A path came to `at` with these registers in frame `depth`. */
  record(at: number, regs: readonly Reg[], depth: number): void {
    this.#reached[at] = 1;
    let reads = this.#reads[at];
    for (let i = 0; reads !== 0; i++, reads >>>= 1) {
      if (!(reads & 1)) continue;
      const r = regs[i];
      const key = at * 11 + i;
      if (this.#last[key] === r && r.kind !== Kind.STACK) continue;
      this.#last[key] = r;
      const before = this.#facts[key];
      if (before === SCALAR && r.kind === Kind.SCALAR) continue;
      const now = r.kind === Kind.SCALAR ? SCALAR : factOf(r, depth);
      this.#facts[key] = before ? join(before, now) : now;
    }
  }

  branch(at: number): { taken: boolean; fallthrough: boolean };
  branch(at: number, taken: boolean, fallthrough: boolean): void;
  branch(
    at: number,
    taken?: boolean,
    fallthrough?: boolean,
  ): { taken: boolean; fallthrough: boolean } | undefined {
    if (taken === undefined)
      return { taken: (this.#ways[at] & 1) !== 0, fallthrough: (this.#ways[at] & 2) !== 0 };
    this.#ways[at] |= (taken ? 1 : 0) | (fallthrough ? 2 : 0);
    return undefined;
  }

  /** The load at `at` gives this constant, on the path walked now. */
  noteLoad(at: number, value: bigint | undefined): void {
    const before = this.#loads.get(at);
    if (before === undefined) this.#loads.set(at, value ?? null);
    else if (before !== value) this.#loads.set(at, null);
  }

  /** Constant that the load at `at` gives on every path, read from memory that never changes. */
  loaded(at: number): bigint | undefined {
    return this.#loads.get(at) ?? undefined;
  }

  reached(at: number): boolean {
    return this.#reached[at] === 1;
  }

  fact(at: number, reg: number): Fact | undefined {
    return this.#facts[at * 11 + reg];
  }

  /** The call at `at` makes objects of structure `id`. False: on another path it makes others. */
  noteMade(at: number, id: number): boolean {
    if (!this.#made.has(at)) this.#made.set(at, id);
    return this.#made.get(at) === id;
  }

  made(at: number): number | undefined {
    return this.#made.get(at);
  }

  /** Replaces a scalar's fact by a better one. */
  refine(at: number, reg: number, fact: Fact): void {
    this.#facts[at * 11 + reg] = fact;
  }

  /** Frees what only the walk needed. */
  finish(): void {
    this.#last.length = 0;
  }
}
