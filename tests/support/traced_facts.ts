/**
 * Facts from a run instead of a proof: what the interpreter saw over given inputs. They are true for exactly those
 * inputs, so that a JIT which uses them must still give the interpreter's results there.
 */

import type { Insn } from '../../host/bpf/insn.js';
import type { Trace } from '../../host/bpf/interp/interpret.js';
import type { Fact, JitFacts } from '../../host/bpf/verify/verified.js';
import { isConditional, targetOf } from '../../host/bpf/wellformed.js';

export class TracedFacts implements JitFacts {
  readonly #facts = new Map<number, Fact>();
  readonly #ways = new Map<number, { taken: boolean; fallthrough: boolean }>();
  #last = -1;

  constructor(
    readonly insns: readonly Insn[],
    /** Address ranges whose members count as pointers. */
    readonly pointers: readonly { lo: number; hi: number }[],
    /** Registers of which nothing is told (mask): the JIT must do with half of the truth, too. */
    readonly hidden = 0,
  ) {}

  readonly trace: Trace = (pc, regs) => {
    const from = this.#last;
    if (from >= 0 && isConditional(this.insns[from])) {
      const way = this.#ways.get(from) ?? { taken: false, fallthrough: false };
      if (pc === targetOf(this.insns[from], from)) way.taken = true;
      if (pc === from + 1) way.fallthrough = true;
      this.#ways.set(from, way);
    }
    this.#last = pc;
    for (let reg = 0; reg < 11; reg++) {
      const key = pc * 16 + reg;
      const seen = this.#seen(regs[reg]);
      const known = this.#facts.get(key);
      this.#facts.set(key, known ? meet(known, seen) : seen);
    }
  };

  /** Call before each run. */
  restart(): void {
    this.#last = -1;
  }

  #seen(v: bigint): Fact {
    if (this.pointers.some(p => v >= BigInt(p.lo) && v <= BigInt(p.hi))) return { kind: 'mem', u32: true };
    return { kind: 'const', value: v, u32: v < 1n << 32n };
  }

  reached(pc: number): boolean {
    return this.#facts.has(pc * 16);
  }

  fact(pc: number, reg: number): Fact | undefined {
    return this.hidden & (1 << reg) ? undefined : this.#facts.get(pc * 16 + reg);
  }

  made(): undefined {}

  branch(pc: number): { taken: boolean; fallthrough: boolean } {
    return this.#ways.get(pc) ?? { taken: true, fallthrough: true };
  }
}

function meet(a: Fact, b: Fact): Fact {
  const u32 = a.u32 === true && b.u32 === true;
  if (a.kind === 'const' && b.kind === 'const' && a.value === b.value) return a;
  if (a.kind === 'mem' && b.kind === 'mem') return a;
  // An address on one path and a number on another is neither.
  if (a.kind === 'mem' || b.kind === 'mem') return { kind: 'none', u32 };
  return { kind: 'scalar', u32 };
}
