/**
 * The machine: registers, program counter and frames of one run of one program.
 * What lies outside the instruction set (helpers, maps, packet loads) is asked of its Environment.
 */
import {
  Alu,
  Atomic,
  CallKind,
  Class,
  classOf,
  type Insn,
  Jmp,
  Mode,
  OP_LDDW,
  Pseudo,
  R10,
  SRC_X,
  sizeBytes,
} from '../insn.js';
import { callxRegister, targetOf } from '../wellformed.js';
import { alu32, alu64, byteOrder, condition, sext } from './alu.js';
import { InterpFault, Regions } from './regions.js';

/** Bytes of one frame, as in the kernel. */
export const FRAME_BYTES = 512;
/** MAX_CALL_FRAMES of the kernel. */
export const MAX_FRAMES = 8;
/** BPF_MAX_LOOPS: what a function's may_goto may be passed in all. */
const MAY_GOTO_BUDGET = 8 * 1024 * 1024;
/** Register value of a callback (LDDW src 4): no address, so that a dereference faults. */
export const FUNC_TAG = 0xf00000000n;

/** A helper's answer: r0, or "the current function is left with this r0" (tail call). */
export type HelperResult = bigint | { leave: bigint };

export interface Environment {
  readonly dv: DataView;
  readonly regions: Regions;
  /** r1–r5 are in `machine.regs`. */
  helper(machine: Machine, id: number, pc: number): HelperResult;
  kfunc(machine: Machine, id: number, pc: number): HelperResult;
  /** Value of LDDW with src 1 or 2. */
  mapAddress(key: number, value: boolean, offset: number, pc: number): bigint;
  /** LD_ABS and LD_IND: `size` bytes of the packet from `offset` on in network order; undefined ends the program with 0. */
  packetLoad(machine: Machine, offset: number, size: number): bigint | undefined;
}

/** Instructions left to run, shared by all the machines of one run (tail calls). */
export interface Budget {
  left: number;
}

/** Called before every instruction: its slot, the registers as they are, and the program it belongs to. */
export type Trace = (pc: number, regs: BigUint64Array, insns: readonly Insn[]) => void;

export class Machine {
  readonly regs = new BigUint64Array(11);
  /** The same registers as 32-bit halves: low half of r is [2 r]. */
  readonly #half = new Uint32Array(this.regs.buffer);
  /** Lowest byte of the current frame: the stack region ends there. */
  readonly #stack: { lo: number };
  depth = 0;

  constructor(
    readonly insns: readonly Insn[],
    readonly env: Environment,
    readonly budget: Budget,
    stack: { lo: number },
    readonly maxFrames: number = MAX_FRAMES,
    readonly trace?: Trace,
  ) {
    this.#stack = stack;
  }

  /** Runs the function at slot `pc` with frame pointer `fp`; r1–r5 are set. Returns r0. */
  call(pc: number, fp: number): bigint {
    if (this.depth >= this.maxFrames)
      throw new InterpFault('depth', pc, `more than ${this.maxFrames} frames`);
    const { regs } = this;
    const saved = regs.slice();
    const low = this.#stack.lo;
    this.depth++;
    this.#stack.lo = fp - FRAME_BYTES;
    regs[0] = 0n;
    regs.fill(0n, 6, 10);
    regs[R10] = BigInt(fp);
    const r0 = this.#run(pc);
    this.depth--;
    this.#stack.lo = low;
    regs.set(saved);
    return (regs[0] = r0);
  }

  #run(start: number): bigint {
    const { regs, insns, env } = this;
    const half = this.#half;
    let pc = start;
    let mayGoto = MAY_GOTO_BUDGET;
    for (;;) {
      const insn = insns[pc];
      if (!insn) throw new InterpFault('pc', pc, `no instruction (the program has ${insns.length} slots)`);
      if (--this.budget.left < 0) throw new InterpFault('budget', pc, 'instruction budget spent');
      this.trace?.(pc, regs, insns);
      const { op, dst, src, off, imm } = insn;
      switch (classOf(op)) {
        case Class.ALU64: {
          const code = op & 0xf0;
          const operand = op & SRC_X ? regs[src] : BigInt.asUintN(64, BigInt(imm));
          const result =
            code === Alu.END
              ? byteOrder(regs[dst], true, (op & SRC_X) !== 0, imm)
              : alu64(code, regs[dst], operand, off);
          if (result === undefined) throw this.#badOpcode(pc);
          regs[dst] = result;
          break;
        }
        case Class.ALU: {
          const code = op & 0xf0;
          if (code === Alu.END) {
            const result = byteOrder(regs[dst], false, (op & SRC_X) !== 0, imm);
            if (result === undefined) throw this.#badOpcode(pc);
            regs[dst] = result;
            break;
          }
          const result = alu32(code, half[dst * 2], op & SRC_X ? half[src * 2] : imm >>> 0, off);
          if (result === undefined) throw this.#badOpcode(pc);
          half[dst * 2] = result;
          half[dst * 2 + 1] = 0;
          break;
        }
        case Class.LDX: {
          const bytes = sizeBytes(op);
          const at = this.#access(pc, src, off, bytes, false);
          const v = this.#read(at, bytes);
          regs[dst] = (op & 0xe0) === Mode.MEMSX ? sext(v, bytes * 8) : v;
          break;
        }
        case Class.ST: {
          const bytes = sizeBytes(op);
          this.#write(this.#access(pc, dst, off, bytes, true), bytes, BigInt.asUintN(64, BigInt(imm)));
          break;
        }
        case Class.STX:
          if ((op & 0xe0) === Mode.ATOMIC) this.#atomic(insn, pc);
          else {
            const bytes = sizeBytes(op);
            this.#write(this.#access(pc, dst, off, bytes, true), bytes, regs[src]);
          }
          break;
        case Class.LD: {
          if (op === OP_LDDW) {
            regs[dst] = this.#wideImmediate(insn, insns[pc + 1].imm, pc);
            pc++;
            break;
          }
          const base = (op & 0xe0) === Mode.IND ? half[src * 2] | 0 : 0;
          const v = env.packetLoad(this, (base + imm) | 0, sizeBytes(op));
          if (v === undefined) return 0n;
          regs[0] = v;
          break;
        }
        default: {
          const code = op & 0xf0;
          if (code === Jmp.EXIT) return regs[0];
          if (code === Jmp.CALL) {
            const result = this.#callInsn(insn, pc);
            if (typeof result !== 'bigint') return result.leave;
            regs[0] = result;
            break;
          }
          if (code === Jmp.JA) {
            pc = targetOf(insn, pc);
            continue;
          }
          if (code === Jmp.JCOND) {
            if (mayGoto-- > 0) break;
            pc = targetOf(insn, pc);
            continue;
          }
          const wide = classOf(op) === Class.JMP;
          const x = (op & SRC_X) !== 0;
          const met = wide
            ? condition(code, regs[dst], x ? regs[src] : BigInt.asUintN(64, BigInt(imm)), 64)
            : condition(code, BigInt(half[dst * 2]), BigInt(x ? half[src * 2] : imm >>> 0), 32);
          if (met === undefined) throw this.#badOpcode(pc);
          if (met) {
            pc = targetOf(insn, pc);
            continue;
          }
        }
      }
      pc++;
    }
  }

  #badOpcode(pc: number): InterpFault {
    return new InterpFault('opcode', pc, `opcode 0x${this.insns[pc].op.toString(16)} does not exist`);
  }

  #wideImmediate({ src, imm }: Insn, hi: number, pc: number): bigint {
    switch (src) {
      case Pseudo.IMM64:
        return (BigInt(hi >>> 0) << 32n) | BigInt(imm >>> 0);
      case Pseudo.MAP_FD:
      case Pseudo.MAP_IDX:
        return this.env.mapAddress(imm, false, 0, pc);
      case Pseudo.MAP_VALUE:
      case Pseudo.MAP_IDX_VALUE:
        return this.env.mapAddress(imm, true, hi, pc);
      case Pseudo.FUNC:
        return FUNC_TAG | BigInt(pc + 1 + imm);
      default:
        throw new InterpFault('opcode', pc, `LDDW of kind ${src} is not supported`);
    }
  }

  #callInsn(insn: Insn, pc: number): HelperResult {
    const { regs, env } = this;
    if (insn.op & SRC_X) return env.helper(this, Number(BigInt.asIntN(32, regs[callxRegister(insn)])), pc);
    if (insn.src === CallKind.HELPER) return env.helper(this, insn.imm, pc);
    if (insn.src === CallKind.KFUNC) return env.kfunc(this, insn.imm, pc);
    return this.call(targetOf(insn, pc), Number(regs[R10]) - FRAME_BYTES);
  }

  /** Address of register + off after the check that `size` bytes there may be accessed. */
  #access(pc: number, reg: number, off: number, size: number, write: boolean): number {
    const at = this.#half[reg * 2 + 1] * 0x1_0000_0000 + this.#half[reg * 2] + off;
    const broken = this.env.regions.check(at, size, write);
    if (broken) throw Regions.fault(pc, at, size, write, broken);
    return at;
  }

  #read(at: number, size: number): bigint {
    const { dv } = this.env;
    switch (size) {
      case 1:
        return BigInt(dv.getUint8(at));
      case 2:
        return BigInt(dv.getUint16(at, true));
      case 4:
        return BigInt(dv.getUint32(at, true));
      default:
        return dv.getBigUint64(at, true);
    }
  }

  #write(at: number, size: number, v: bigint): void {
    const { dv } = this.env;
    switch (size) {
      case 1:
        dv.setUint8(at, Number(v & 0xffn));
        break;
      case 2:
        dv.setUint16(at, Number(v & 0xffffn), true);
        break;
      case 4:
        dv.setUint32(at, Number(v & 0xffffffffn), true);
        break;
      default:
        dv.setBigUint64(at, v, true);
    }
  }

  /** Read-modify-write; the oracle runs alone, so plain accesses do. */
  #atomic({ op, dst, src, off, imm }: Insn, pc: number): void {
    const { regs } = this;
    const size = sizeBytes(op);
    const load = imm === Atomic.LOAD_ACQ;
    const at = this.#access(pc, load ? src : dst, off, size, !load);
    if (at % size !== 0)
      throw new InterpFault('align', pc, `atomic access of ${size} bytes at 0x${at.toString(16)}`, {
        addr: at,
        size,
        region: undefined,
      });
    if (imm === Atomic.STORE_REL) {
      this.#write(at, size, regs[src]);
      return;
    }
    const old = this.#read(at, size);
    if (load) {
      regs[dst] = old;
      return;
    }
    const operand = BigInt.asUintN(size * 8, regs[src]);
    if (imm === Atomic.CMPXCHG) {
      if (old === BigInt.asUintN(size * 8, regs[0])) this.#write(at, size, operand);
      regs[0] = old;
      return;
    }
    this.#write(at, size, atomicResult(imm, old, operand));
    if (imm & Atomic.FETCH) regs[src] = old;
  }
}

function atomicResult(imm: number, old: bigint, operand: bigint): bigint {
  switch (imm & ~Atomic.FETCH) {
    case Atomic.ADD:
      return BigInt.asUintN(64, old + operand);
    case Atomic.OR:
      return old | operand;
    case Atomic.AND:
      return old & operand;
    case Atomic.XOR:
      return old ^ operand;
    default:
      return operand;
  }
}
