/**
 * Random programs over the whole instruction set (RFC 9669, cpu v1–v4), for comparing engines: no memory but 64
 * initialised bytes of stack, branches forwards, counted loops, subprograms. Every program ends with a digest of all
 * registers and the stack in r0, its upper half folded into the lower, since the kernel's test run gives 32 bits.
 *
 * Inputs are constants, or (most often) loaded from the first 80 bytes of the packet, so that an engine that folds
 * constants cannot do all the work beforehand.
 */
import { Alu, Atomic, type Insn, Jmp } from '../../../host/bpf/insn.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import type { Rng } from '../fuzz.js';
import { ALU_OPS, CONDITIONS } from '../insns.js';
import { Code, type Operand } from './code.js';

/** Bytes of packet that the prologue reads; shorter packets give 0. */
export const INPUT_BYTES = 80;
/** Bytes of each frame that programs use. */
export const STACK_BYTES = 64;
/** The counter of loops: not touched by what stands inside. */
const COUNTER = 9;

/** Values at which arithmetic breaks. */
const EDGES = [
  0n,
  1n,
  2n,
  -1n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_0000_0000n,
];
const SHIFTS: readonly number[] = [Alu.LSH, Alu.RSH, Alu.ARSH];
const DIVISIONS: readonly number[] = [Alu.DIV, Alu.MOD];
const ATOMICS = [
  Atomic.ADD,
  Atomic.OR,
  Atomic.AND,
  Atomic.XOR,
  Atomic.ADD | Atomic.FETCH,
  Atomic.OR | Atomic.FETCH,
  Atomic.AND | Atomic.FETCH,
  Atomic.XOR | Atomic.FETCH,
  Atomic.XCHG,
  Atomic.CMPXCHG,
];

/** A random 64-bit value, often at an edge. */
export function interesting(rng: Rng): bigint {
  if (rng.chance(0.4)) return rng.u64();
  const edge = rng.pick(EDGES);
  return BigInt.asUintN(64, rng.chance(0.3) ? edge + BigInt(rng.between(-2, 2)) : edge);
}

class IsaGenerator {
  private readonly code = new Code();
  private readonly functions: { label: number; depth: number }[] = [];
  private inLoop = false;

  constructor(private readonly rng: Rng) {}

  /** Slots of the part that sets registers and stack. */
  inputs = 0;

  program(size: number, fromPacket: boolean): Insn[] {
    if (fromPacket) this.packetInputs();
    else this.constantInputs();
    this.inputs = this.code.length;
    this.block(size, 0);
    this.digest();
    // Functions ask for further functions while they are made.
    for (let i = 0; i < this.functions.length; i++) this.subprogram(this.functions[i]);
    return this.code.insns();
  }

  private imm(): number {
    return Number(BigInt.asIntN(32, interesting(this.rng)));
  }

  /** A register to write: any but the loop counter inside loops. */
  private target(): number {
    return this.rng.below(this.inLoop ? COUNTER : 10);
  }

  private source(): number {
    return this.rng.below(10);
  }

  private operand(): Operand {
    return this.rng.chance(0.5) ? { reg: this.source() } : { imm: this.imm() };
  }

  private constantInputs(): void {
    for (let reg = 0; reg < 10; reg++) this.code.lddw(reg, interesting(this.rng));
    this.fillStack();
  }

  private packetInputs(): void {
    const { code } = this;
    const enough = code.label();
    code.load(4, 2, 1, 0);
    code.load(4, 3, 1, 4);
    code.mov(4, 2);
    code.alu(Alu.ADD, 4, { imm: INPUT_BYTES });
    code.branch(Jmp.JLE, 4, { reg: 3 }, enough);
    code.movImm(0, 0);
    code.exit();
    code.place(enough);
    for (const reg of [0, 1, 3, 4, 5, 6, 7, 8, 9, 2]) code.load(8, reg, 2, 8 * reg);
    this.fillStack();
  }

  private fillStack(): void {
    for (let off = 8; off <= STACK_BYTES; off += 8) {
      if (this.rng.chance(0.5)) this.code.store(8, 10, -off, this.source());
      else this.code.storeImm(8, 10, -off, this.imm());
    }
  }

  private block(size: number, depth: number): void {
    for (const end = this.code.length + size; this.code.length < end; )
      this.statement(end - this.code.length, depth);
  }

  private statement(room: number, depth: number): void {
    const { rng } = this;
    const dice = rng.below(100);
    if (dice < 50) this.arithmetic();
    else if (dice < 58) this.unary();
    else if (dice < 62) this.code.lddw(this.target(), interesting(rng));
    else if (dice < 72) this.memory();
    else if (dice < 78) this.atomic();
    else if (dice < 92) this.conditional(room, depth);
    else if (dice < 94) this.skip(room, depth);
    else if (dice < 97) this.loop(room, depth);
    else this.call();
  }

  private arithmetic(): void {
    const { rng, code } = this;
    const op = rng.pick(ALU_OPS);
    const wide = rng.chance(0.55);
    const dst = this.target();
    const by = this.operand();
    if ('imm' in by) {
      if (SHIFTS.includes(op)) by.imm = rng.below(wide ? 64 : 32);
      if (DIVISIONS.includes(op) && by.imm === 0) by.imm = -1;
    }
    let off = 0;
    if (DIVISIONS.includes(op) && rng.chance(0.5)) off = 1;
    if (op === Alu.MOV && 'reg' in by && rng.chance(0.5)) off = rng.pick(wide ? [8, 16, 32] : [8, 16]);
    code.alu(op, dst, by, wide, off);
  }

  private unary(): void {
    const { rng, code } = this;
    const bits = { imm: rng.pick([16, 32, 64]) };
    const kind = rng.below(4);
    if (kind === 0) code.op((rng.chance(0.5) ? 0x07 : 0x04) | Alu.NEG, this.target());
    else if (kind === 1) code.op(0x04 | Alu.END, this.target(), 0, 0, bits.imm);
    else if (kind === 2) code.op(0x0c | Alu.END, this.target(), 0, 0, bits.imm);
    else code.op(0x07 | Alu.END, this.target(), 0, 0, bits.imm);
  }

  /** Offset of an aligned place of `bytes` in the stack bytes that are initialised. */
  private place(bytes: number): number {
    return -STACK_BYTES + bytes * this.rng.below(STACK_BYTES / bytes);
  }

  private memory(): void {
    const { rng, code } = this;
    const bytes = rng.pick([1, 2, 4, 8]);
    const off = this.place(bytes);
    const kind = rng.below(3);
    if (kind === 0) code.load(bytes, this.target(), 10, off, bytes < 8 && rng.chance(0.4));
    else if (kind === 1) code.store(bytes, 10, off, this.source());
    else code.storeImm(bytes, 10, off, this.imm());
  }

  private atomic(): void {
    const { rng } = this;
    const bytes = rng.pick([4, 8] as const);
    // The operand receives the old value when it is fetched.
    this.code.atomic(bytes, rng.pick(ATOMICS), 10, this.place(bytes), this.target());
  }

  private condition(to: number): void {
    this.code.branch(this.rng.pick(CONDITIONS), this.source(), this.operand(), to, this.rng.chance(0.55));
  }

  private conditional(room: number, depth: number): void {
    if (depth > 4 || room < 4) {
      this.arithmetic();
      return;
    }
    const { code, rng } = this;
    const otherwise = code.label();
    this.condition(otherwise);
    this.block(1 + rng.below(Math.min(room, 10)), depth + 1);
    if (rng.chance(0.5)) {
      const end = code.label();
      if (rng.chance(0.8)) code.jump(end);
      else code.jumpLong(end);
      code.place(otherwise);
      this.block(1 + rng.below(Math.min(room, 8)), depth + 1);
      code.place(end);
    } else code.place(otherwise);
  }

  /** Two branches into one another's ranges: forward, but no diamond. */
  private skip(room: number, depth: number): void {
    if (depth > 4 || room < 6) {
      this.unary();
      return;
    }
    const { code, rng } = this;
    const [near, far] = [code.label(), code.label()];
    this.condition(near);
    this.block(1 + rng.below(3), depth + 1);
    this.condition(far);
    this.block(1 + rng.below(3), depth + 1);
    code.place(near);
    this.block(1 + rng.below(3), depth + 1);
    code.place(far);
  }

  private loop(room: number, depth: number): void {
    if (this.inLoop || room < 6) {
      this.memory();
      return;
    }
    const { code, rng } = this;
    const top = code.label();
    code.movImm(COUNTER, 0);
    code.place(top);
    this.inLoop = true;
    this.block(1 + rng.below(Math.min(room, 8)), depth + 3);
    this.inLoop = false;
    code.alu(Alu.ADD, COUNTER, { imm: 1 });
    code.branch(Jmp.JLT, COUNTER, { imm: rng.between(2, 5) }, top);
  }

  private call(): void {
    const { code, rng } = this;
    const level = this.level + 1;
    if (level > 3 || this.functions.length >= 6) {
      this.arithmetic();
      return;
    }
    let callee = this.functions.find(f => f.depth === level && rng.chance(0.5));
    if (!callee) {
      callee = { label: code.label(), depth: level };
      this.functions.push(callee);
    }
    code.callLocal(callee.label);
    // r1–r5 are gone.
    for (let reg = 1; reg <= 5; reg++) {
      if (rng.chance(0.5)) code.mov(reg, rng.pick([0, 6, 7, 8]));
      else code.movImm(reg, this.imm());
    }
  }

  /** Calls that lead to where instructions are being made now. */
  private level = 0;

  private subprogram({ label, depth }: { label: number; depth: number }): void {
    this.code.place(label);
    this.level = depth;
    for (const reg of [0, 6, 7, 8, 9]) this.code.mov(reg, this.rng.between(1, 5));
    this.fillStackOfCallee();
    this.block(4 + this.rng.below(12), 2);
    this.code.exit();
  }

  private fillStackOfCallee(): void {
    for (let off = 8; off <= STACK_BYTES; off += 8) this.code.store(8, 10, -off, this.rng.between(1, 5));
  }

  private digest(): void {
    const { code } = this;
    const mix = (reg: number) => {
      code.alu(Alu.MUL, 0, { imm: 31 });
      code.alu(Alu.XOR, 0, { reg });
    };
    for (let reg = 1; reg < 10; reg++) mix(reg);
    for (let off = 8; off <= STACK_BYTES; off += 8) {
      code.load(8, 1, 10, -off);
      mix(1);
    }
    code.mov(1, 0);
    code.alu(Alu.RSH, 1, { imm: 32 });
    code.alu(Alu.XOR, 0, { reg: 1 });
    code.exit();
  }
}

/** One random program, and how many slots set its registers. Its packet should have INPUT_BYTES bytes. */
export function isaProgram(rng: Rng): { spec: ProgramSpec; inputs: number } {
  const size = rng.chance(0.7) ? rng.between(5, 40) : rng.between(40, 120);
  const generator = new IsaGenerator(rng);
  const insns = generator.program(size, rng.chance(0.7));
  return { spec: { name: 'isa', type: 'xdp', license: 'GPL', insns, maps: {} }, inputs: generator.inputs };
}
