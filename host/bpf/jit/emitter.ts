/**
 * Writes one function: keeps track of what every variable holds while it walks a block, pushes operands in the
 * representation at hand, and brings variables into the form that the next block expects.
 * Instructions by family: emit_alu.ts, emit_memory.ts, emit_calls.ts.
 */
import { Class, classOf, type Insn, Jmp, OP_EXIT } from '../insn.js';
import { isConditional } from '../wellformed.js';
import type { FunctionAnalysis } from './analysis.js';
import type { Block } from './cfg.js';
import { emitAlu } from './emit_alu.js';
import { emitCall } from './emit_calls.js';
import { emitMemory } from './emit_memory.js';
import { FIRST_SLOT } from './liveness.js';
import type { BodyEmitter } from './structure.js';
import type { State } from './transfer.js';
import { FRAME_BYTES, type Unit } from './unit.js';
import { bitsOf, type Value } from './values.js';
import type { FunctionBuilder } from './wasm/encoder.js';
import { I32, I64, Op, type ValueType } from './wasm/opcodes.js';

const R10 = 10;
/** BPF_MAX_LOOPS: how often a function's may_goto instructions are passed, all together. */
const MAY_GOTO_BUDGET = 8 * 1024 * 1024;

/** Comparison operators by jump code: [i32, i64, i32 when negated, i64 when negated]. */
const COMPARE: Record<number, readonly [number, number, number, number]> = {
  [Jmp.JEQ]: [Op.i32_eq, Op.i64_eq, Op.i32_ne, Op.i64_ne],
  [Jmp.JNE]: [Op.i32_ne, Op.i64_ne, Op.i32_eq, Op.i64_eq],
  [Jmp.JGT]: [Op.i32_gt_u, Op.i64_gt_u, Op.i32_le_u, Op.i64_le_u],
  [Jmp.JGE]: [Op.i32_ge_u, Op.i64_ge_u, Op.i32_lt_u, Op.i64_lt_u],
  [Jmp.JLT]: [Op.i32_lt_u, Op.i64_lt_u, Op.i32_ge_u, Op.i64_ge_u],
  [Jmp.JLE]: [Op.i32_le_u, Op.i64_le_u, Op.i32_gt_u, Op.i64_gt_u],
  [Jmp.JSGT]: [Op.i32_gt_s, Op.i64_gt_s, Op.i32_le_s, Op.i64_le_s],
  [Jmp.JSGE]: [Op.i32_ge_s, Op.i64_ge_s, Op.i32_lt_s, Op.i64_lt_s],
  [Jmp.JSLT]: [Op.i32_lt_s, Op.i64_lt_s, Op.i32_ge_s, Op.i64_ge_s],
  [Jmp.JSLE]: [Op.i32_le_s, Op.i64_le_s, Op.i32_gt_s, Op.i64_gt_s],
};
/** A signed 64-bit comparison of two values below 2^32 is an unsigned 32-bit one. */
const UNSIGNED: Record<number, number> = {
  [Jmp.JSGT]: Jmp.JGT,
  [Jmp.JSGE]: Jmp.JGE,
  [Jmp.JSLT]: Jmp.JLT,
  [Jmp.JSLE]: Jmp.JLE,
};

export class FunctionEmitter implements BodyEmitter {
  state: State = [];
  readonly #narrow: number[] = [];
  readonly #wide: number[] = [];
  readonly #temps = new Map<string, number>();
  /** Local that holds r10 on entry, -1 when the frame pointer is not needed. */
  fp = -1;
  /** Local that holds r10 - 512. */
  frame = -1;
  #mayGoto = -1;

  constructor(
    readonly unit: Unit,
    readonly analysis: FunctionAnalysis,
    readonly f: FunctionBuilder,
  ) {}

  get transfer() {
    return this.analysis.transfer;
  }

  // ── variables ──

  #variableName(v: number): string {
    return v < FIRST_SLOT ? `${v}` : `_${-this.analysis.slots[v - FIRST_SLOT].off}`;
  }

  /** i32 local of a register or slot. */
  narrow(v: number): number {
    return (this.#narrow[v] ??= this.f.local(I32, `w${this.#variableName(v)}`));
  }

  /** i64 local of a register or slot. */
  wide(v: number): number {
    return (this.#wide[v] ??= this.f.local(I64, `r${this.#variableName(v)}`));
  }

  /** A scratch local; the same name gives the same local. */
  temp(type: ValueType, name: string): number {
    const key = `${name}${type}`;
    let local = this.#temps.get(key);
    if (local === undefined) {
      local = this.f.local(type, `t_${name}`);
      this.#temps.set(key, local);
    }
    return local;
  }

  /** Parameter `index` holds register `reg` on entry. */
  bindParameter(reg: number, type: ValueType, index: number): void {
    if (type === I32) this.#narrow[reg] = index;
    else this.#wide[reg] = index;
    this.f.nameLocal(index, `${type === I32 ? 'w' : 'r'}${reg}`);
  }

  // ── operands ──

  /** Value of `reg` as the instruction at `pc` sees it. */
  view(pc: number, reg: number): Value {
    return this.transfer.view(this.state, pc, reg);
  }

  /** Pushes the low half of a value that variable `v` holds. */
  pushLow(value: Value, v: number): void {
    const { f } = this;
    switch (value.k) {
      case 'const':
        f.i32(Number(BigInt.asIntN(32, value.v)));
        return;
      case 'fp':
        f.get(this.frame)
          .i32(FRAME_BYTES + value.off)
          .op(Op.i32_add);
        return;
      case 'func':
        f.op1(Op.global_get, this.unit.globals.slots).i32(this.unit.callbackSlot(value.pc)).op(Op.i32_add);
        return;
      case 'w32':
        f.get(this.narrow(v));
        return;
      default:
        f.get(this.wide(v)).op(Op.i32_wrap_i64);
    }
  }

  /** Pushes all 64 bits of a value that variable `v` holds. */
  push(value: Value, v: number): void {
    if (value.k === 'const') this.f.i64(value.v);
    else if (value.k === 'w64') this.f.get(this.wide(v));
    else {
      this.pushLow(value, v);
      this.f.op(Op.i64_extend_i32_u);
    }
  }

  /** Second operand of the instruction at `pc`: its value and the variable that holds it. */
  operand(pc: number, insn: Insn): [Value, number] {
    return [this.transfer.operand(this.state, pc, insn), insn.src];
  }

  /** Stores what is on the Wasm stack (i32 when `value` is w32, else i64) as variable `v`. */
  assign(v: number, value: Value): void {
    this.f.set(value.k === 'w32' ? this.narrow(v) : this.wide(v));
  }

  /** Is variable `v` needed after `pc`? */
  lives(pc: number, v: number): boolean {
    return (this.analysis.live.liveAfter[pc] & (1 << v)) !== 0;
  }

  // ── blocks ──

  /** Locals that the whole function needs, once the parameters are bound. `fp` is r10's local. */
  prologue(fp: number): void {
    const { f, analysis, unit } = this;
    this.fp = fp;
    if (analysis.usesFrame) {
      this.frame = f.local(I32, 'frame');
      f.get(fp).i32(FRAME_BYTES).op(Op.i32_sub).set(this.frame);
    }
    if (unit.guard) unit.guard.enterFunction(this);
    const usesMayGoto = analysis.graph.blocks.some(b => (unit.program.insns[b.last].op & 0xf7) === 0xe5);
    if (usesMayGoto) {
      this.#mayGoto = f.local(I32, 'may_goto');
      f.i32(MAY_GOTO_BUDGET).set(this.#mayGoto);
    }
    // The entry block may also be a loop head whose variables are joined with the arguments.
    const first = analysis.states.get(analysis.graph.blocks[0].start)!;
    this.state = [...first];
    analysis.entryArgs.forEach((v, i) => {
      this.state[i + 1] = v;
    });
    for (let v = 0; v < first.length; v++)
      if (v !== R10 && (v < 1 || v > 5)) this.state[v] = { k: 'const', v: 0n };
    this.#convert(first, analysis.live.liveIn[0]);
  }

  body(block: Block): void {
    const { insns } = this.unit.program;
    const entry = this.analysis.states.get(block.start);
    if (!entry) {
      this.f.op(Op.unreachable);
      return;
    }
    this.state = entry.slice();
    this.unit.guard?.enterBlock(this, block);
    for (let pc = block.start; pc <= block.last; pc++) {
      const insn = insns[pc];
      if (insn.op === 0) continue;
      if (insn.op === OP_EXIT) {
        this.push(this.view(pc, 0), 0);
        this.f.op(Op.return);
        return;
      }
      if (pc === block.last && (isConditional(insn) || (insn.op & 0xf7) === 0x05 || insn.op === 0x06)) break;
      this.#instruction(pc, insn);
    }
    for (const to of [block.taken, block.next]) {
      if (to < 0) continue;
      const target = this.analysis.states.get(this.analysis.graph.blocks[to].start);
      if (target) this.#convert(target, this.analysis.live.liveIn[to]);
    }
  }

  #instruction(pc: number, insn: Insn): void {
    const before = this.state;
    const after = before.slice();
    this.transfer.step(after, pc);
    switch (classOf(insn.op)) {
      case Class.ALU:
      case Class.ALU64:
        emitAlu(this, pc, insn, after[insn.dst]);
        break;
      case Class.JMP:
        emitCall(this, pc, insn, after[0]);
        break;
      default:
        emitMemory(this, pc, insn, after);
    }
    this.state = after;
  }

  /** Writes locals so that every live variable is where `target` says. Never changes a local in use. */
  #convert(target: State, live: number): void {
    for (let v = 0; v < target.length; v++) {
      if (!(live & (1 << v)) || v === R10) continue;
      const from = this.state[v];
      const to = target[v];
      if (to.k === 'w32' && from.k !== 'w32') {
        this.pushLow(from, v);
        this.f.set(this.narrow(v));
      } else if (to.k === 'w64' && from.k !== 'w64') {
        this.push(from, v);
        this.f.set(this.wide(v));
      }
    }
  }

  condition(block: Block, negate: boolean): void {
    const pc = block.last;
    const insn = this.unit.program.insns[pc];
    const { f } = this;
    const code = insn.op & 0xf0;
    if (code === Jmp.JCOND) {
      // Jumps when the budget is spent.
      f.get(this.#mayGoto).i32(1).op(Op.i32_sub).tee(this.#mayGoto).i32(0);
      f.op(negate ? Op.i32_ge_s : Op.i32_lt_s);
      return;
    }
    const a = this.view(pc, insn.dst);
    const [b, bVar] = this.operand(pc, insn);
    const narrow = classOf(insn.op) === Class.JMP32;
    const fits = bitsOf(a) <= 32 && bitsOf(b) <= 32;
    const is32 = narrow || fits;
    const put = (value: Value, v: number): void => (is32 ? this.pushLow(value, v) : this.push(value, v));
    const zero = b.k === 'const' && (is32 ? BigInt.asUintN(32, b.v) : b.v) === 0n;
    put(a, insn.dst);
    if (code === Jmp.JSET) {
      put(b, bVar);
      f.op(is32 ? Op.i32_and : Op.i64_and);
      if (negate) f.op(is32 ? Op.i32_eqz : Op.i64_eqz);
      else if (!is32) f.i64(0n).op(Op.i64_ne);
      return;
    }
    if (zero && (code === Jmp.JEQ || code === Jmp.JNE)) {
      if ((code === Jmp.JEQ) !== negate) f.op(is32 ? Op.i32_eqz : Op.i64_eqz);
      else if (!is32) f.i64(0n).op(Op.i64_ne);
      return;
    }
    put(b, bVar);
    const compare = COMPARE[!narrow && fits ? (UNSIGNED[code] ?? code) : code];
    f.op(compare[(is32 ? 0 : 1) + (negate ? 2 : 0)]);
  }
}
