/**
 * One instruction → text, in the kernel's notation (disasm.c) or clang's (llvm-objdump).
 * Where the two lose information the spelling is ours, and the assembler reads it back:
 *   64-bit constants end in `ll`; maps are `map[name]`, `map[id:3]`, `map[name][0]+8`; callbacks `subprog[+7]`;
 *   calls of subprograms are `call pc+7` (kernel) and `call +0x7` (clang); kfuncs `call kfunc name#9`.
 */
import { helperById } from '../helpers.js';
import {
  Alu,
  Atomic,
  CallKind,
  Class,
  classOf,
  type Insn,
  Jmp,
  Mode,
  OP_CALLX,
  OP_EXIT,
  OP_JA32,
  OP_LDDW,
  Pseudo,
  R10,
  Size,
  SRC_X,
} from '../insn.js';

export type Notation = 'kernel' | 'clang';

/** Names for what instructions refer to; without them numbers are printed. */
export interface Names {
  map?: (key: number) => string | undefined;
  kfunc?: (id: number) => string | undefined;
  /** Label or function at a slot. */
  target?: (slot: number) => string | undefined;
}

const ALU_NAMES: Record<number, string> = {
  [Alu.ADD]: '+=',
  [Alu.SUB]: '-=',
  [Alu.MUL]: '*=',
  [Alu.DIV]: '/=',
  [Alu.OR]: '|=',
  [Alu.AND]: '&=',
  [Alu.LSH]: '<<=',
  [Alu.RSH]: '>>=',
  [Alu.MOD]: '%=',
  [Alu.XOR]: '^=',
  [Alu.MOV]: '=',
  [Alu.ARSH]: 's>>=',
};
const JMP_NAMES: Record<number, string> = {
  [Jmp.JEQ]: '==',
  [Jmp.JGT]: '>',
  [Jmp.JGE]: '>=',
  [Jmp.JSET]: '&',
  [Jmp.JNE]: '!=',
  [Jmp.JSGT]: 's>',
  [Jmp.JSGE]: 's>=',
  [Jmp.JLT]: '<',
  [Jmp.JLE]: '<=',
  [Jmp.JSLT]: 's<',
  [Jmp.JSLE]: 's<=',
};
const SIZE_BITS: Record<number, number> = { [Size.B]: 8, [Size.H]: 16, [Size.W]: 32, [Size.DW]: 64 };
const ATOMIC_NAMES: Record<number, [string, string]> = {
  [Atomic.ADD]: ['+=', 'add'],
  [Atomic.OR]: ['|=', 'or'],
  [Atomic.AND]: ['&=', 'and'],
  [Atomic.XOR]: ['^=', 'xor'],
};

/** Slot as a raw number: what is printed for anything that is no instruction. */
export function rawText(insn: Insn): string {
  const value =
    BigInt(insn.op & 0xff) |
    (BigInt((insn.src << 4) | (insn.dst & 15)) << 8n) |
    (BigInt(insn.off & 0xffff) << 16n) |
    (BigInt(insn.imm >>> 0) << 32n);
  return `.8byte 0x${value.toString(16)}`;
}

/** Slots that the instruction at `at` takes: 2 for a 64-bit constant, else 1. */
export const slotsAt = (insns: readonly Insn[], at: number): 1 | 2 =>
  insns[at].op === OP_LDDW && at + 1 < insns.length && isSecondSlot(insns[at + 1]) ? 2 : 1;

const isSecondSlot = (next: Insn): boolean => !next.op && !next.dst && !next.src && !next.off;

/** Text of the instruction at slot `at`, without number or opcode column. */
export function printInsn(
  insns: readonly Insn[],
  at: number,
  notation: Notation = 'kernel',
  names: Names = {},
): string {
  return new Printer(insns, at, notation, names).text() ?? rawText(insns[at]);
}

/** Prints one instruction; undefined when a field that must be zero is not, or no such instruction exists. */
class Printer {
  private readonly insn: Insn;
  private readonly kernel: boolean;

  constructor(
    private readonly insns: readonly Insn[],
    private readonly at: number,
    notation: Notation,
    private readonly names: Names,
  ) {
    this.insn = insns[at];
    this.kernel = notation === 'kernel';
  }

  text(): string | undefined {
    const { op, dst, src } = this.insn;
    if (dst > R10 || (src > R10 && op !== OP_LDDW)) return undefined;
    switch (classOf(op)) {
      case Class.LD:
        return op === OP_LDDW ? this.wideConstant() : this.packet();
      case Class.LDX:
        return this.loadText();
      case Class.ST:
        return (op & 0xe0) === Mode.MEM && src === 0 ? `${this.memory(dst)} = ${this.imm()}` : undefined;
      case Class.STX:
        return this.storeText();
      case Class.JMP:
      case Class.JMP32:
        return this.jump();
      default:
        return this.alu();
    }
  }

  // ── spelling ──────────────────────────────────────────────────────────────

  /** Signed number: decimal in the kernel's notation, hexadecimal in clang's. */
  private number(value: number): string {
    if (this.kernel) return String(value);
    return value < 0 ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
  }

  /** 64-bit constant, always hexadecimal; llvm-objdump shows it signed. */
  private wide(value: bigint): string {
    if (this.kernel) return `0x${BigInt.asUintN(64, value).toString(16)}`;
    return value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`;
  }

  private imm(): string {
    return this.number(this.insn.imm);
  }

  private signed(value: number): string {
    return `${value < 0 ? '' : '+'}${this.number(value)}`;
  }

  /** `r1 +4` or `r1 + 0x4`. */
  private place(base: number): string {
    const { off } = this.insn;
    if (this.kernel) return `r${base} ${this.signed(off)}`;
    return `r${base} ${off < 0 ? '-' : '+'} 0x${Math.abs(off).toString(16)}`;
  }

  private memory(base: number, sign = 'u'): string {
    return `*${this.pointer(base, sign)}`;
  }

  private pointer(base: number, sign = 'u'): string {
    return `(${sign}${SIZE_BITS[this.insn.op & 0x18]} *)(${this.place(base)})`;
  }

  private target(distance: number): string {
    const name = this.names.target?.(this.at + 1 + distance);
    return name ?? `${this.kernel ? 'pc' : ''}${this.signed(distance)}`;
  }

  // ── classes ───────────────────────────────────────────────────────────────

  private wideConstant(): string | undefined {
    const { dst, src, off, imm } = this.insn;
    const next = this.insns[this.at + 1];
    if (!next || off !== 0 || !isSecondSlot(next)) return undefined;
    const left = `r${dst} = `;
    const map = (): string => {
      const name = this.names.map?.(imm);
      return name === undefined
        ? `map[id:${imm}]`
        : `map[${/^[A-Za-z_.$][\w.$]*$/.test(name) ? name : `"${name}"`}]`;
    };
    const value = (base: string): string => `${left}${base}[0]${this.offset(next.imm)}`;
    switch (src) {
      case Pseudo.IMM64:
        return `${left}${this.wide((BigInt(next.imm) << 32n) | BigInt(imm >>> 0))} ll`;
      case Pseudo.MAP_FD:
        return next.imm === 0 ? `${left}${map()}` : undefined;
      case Pseudo.MAP_VALUE:
        return value(map());
      case Pseudo.BTF_ID:
        return `${left}btf_id[${imm}]${next.imm ? this.offset(next.imm) : ''}`;
      case Pseudo.FUNC: {
        if (next.imm !== 0) return undefined;
        const name = this.names.target?.(this.at + 1 + imm);
        return `${left}subprog[${name ?? `${imm < 0 ? '' : '+'}${imm}`}]`;
      }
      case Pseudo.MAP_IDX:
        return next.imm === 0 ? `${left}map[idx:${imm}]` : undefined;
      case Pseudo.MAP_IDX_VALUE:
        return value(`map[idx:${imm}]`);
      default:
        return undefined;
    }
  }

  private offset(value: number): string {
    return `+${value >>> 0}`;
  }

  private packet(): string | undefined {
    const { op, dst, src, off } = this.insn;
    const mode = op & 0xe0;
    if (dst !== 0 || off !== 0 || (op & 0x18) === Size.DW) return undefined;
    const bits = SIZE_BITS[op & 0x18];
    if (mode === Mode.ABS && src === 0) return `r0 = *(u${bits} *)skb[${this.imm()}]`;
    if (mode !== Mode.IND) return undefined;
    const plus = this.kernel ? ` + ${this.imm()}` : this.insn.imm === 0 ? '' : ` + ${this.imm()}`;
    return `r0 = *(u${bits} *)skb[r${src}${plus.replace('+ -', '- ')}]`;
  }

  private loadText(): string | undefined {
    const { op, dst, src, imm } = this.insn;
    const mode = op & 0xe0;
    if (imm !== 0) return undefined;
    if (mode === Mode.MEM) return `r${dst} = ${this.memory(src)}`;
    if (mode === Mode.MEMSX && (op & 0x18) !== Size.DW) return `r${dst} = ${this.memory(src, 's')}`;
    return undefined;
  }

  private storeText(): string | undefined {
    const { op, dst, src, imm } = this.insn;
    const mode = op & 0xe0;
    if (mode === Mode.MEM) return imm === 0 ? `${this.memory(dst)} = r${src}` : undefined;
    if (mode !== Mode.ATOMIC) return undefined;
    if (imm === Atomic.LOAD_ACQ) return `r${dst} = load_acquire(${this.pointer(src)})`;
    if (imm === Atomic.STORE_REL) return `store_release(${this.pointer(dst)}, r${src})`;
    const size = op & 0x18;
    if (size !== Size.W && size !== Size.DW) return undefined;
    const plain = ATOMIC_NAMES[imm];
    const wide = size === Size.DW;
    // LLVM's 32-bit and, or, xor came with the w registers; its older add did not.
    if (plain)
      return `lock ${this.memory(dst)} ${plain[0]} ${wide || this.kernel || imm === Atomic.ADD ? 'r' : 'w'}${src}`;
    if (imm === Atomic.XCHG || imm === Atomic.CMPXCHG) {
      const what = imm === Atomic.XCHG ? 'xchg' : 'cmpxchg';
      // clang names the width and writes w registers for 32 bits.
      const r = wide || this.kernel ? 'r' : 'w';
      const call = this.kernel
        ? `atomic${wide ? '64' : ''}_${what}(${this.pointer(dst)}`
        : `${what}${wide ? '_64' : '32_32'}(${this.place(dst)}`;
      return imm === Atomic.XCHG
        ? `${r}${src} = ${call}, ${r}${src})`
        : `${r}0 = ${call}, ${r}0, ${r}${src})`;
    }
    const fetch = (imm & Atomic.FETCH) !== 0 ? ATOMIC_NAMES[imm & ~Atomic.FETCH] : undefined;
    if (!fetch) return undefined;
    const prefix = this.kernel && wide ? 'atomic64' : 'atomic';
    const r = wide || this.kernel ? 'r' : 'w';
    return `${r}${src} = ${prefix}_fetch_${fetch[1]}(${this.pointer(dst)}, ${r}${src})`;
  }

  private jump(): string | undefined {
    const { op, dst, src, off, imm } = this.insn;
    if (op === OP_EXIT) return dst || src || off || imm ? undefined : 'exit';
    if (op === OP_CALLX) return src || off || imm ? undefined : `callx r${dst}`;
    if (op === OP_JA32) return dst || src || off ? undefined : `gotol ${this.target(imm)}`;
    const narrow = classOf(op) === Class.JMP32;
    const operation = op & 0xf0;
    if (operation === Jmp.CALL) return narrow || op & SRC_X || dst || off ? undefined : this.call();
    if (operation === Jmp.JA || operation === Jmp.JCOND) {
      if (narrow || op & SRC_X || dst || src || imm) return undefined;
      return `${operation === Jmp.JA ? 'goto' : 'may_goto'} ${this.target(off)}`;
    }
    const name = JMP_NAMES[operation];
    if (!name) return undefined;
    const r = narrow ? 'w' : 'r';
    if (op & SRC_X) return imm ? undefined : `if ${r}${dst} ${name} ${r}${src} goto ${this.target(off)}`;
    const value = this.kernel ? `0x${(imm >>> 0).toString(16)}` : this.imm();
    return src ? undefined : `if ${r}${dst} ${name} ${value} goto ${this.target(off)}`;
  }

  private call(): string | undefined {
    const { src, imm } = this.insn;
    if (src === CallKind.LOCAL) return `call ${this.target(imm)}`;
    if (src === CallKind.KFUNC) {
      const name = this.names.kfunc?.(imm);
      return `call kfunc${name ? ` ${name}` : ''}#${imm}`;
    }
    if (src !== CallKind.HELPER) return undefined;
    if (!this.kernel) return imm < 0 ? `call unknown#${imm}` : `call ${this.imm()}`;
    const helper = helperById.get(imm);
    return `call ${helper ? `bpf_${helper.name}` : 'unknown'}#${imm}`;
  }

  private alu(): string | undefined {
    const { op, dst, src, off, imm } = this.insn;
    const operation = op & 0xf0;
    const narrow = classOf(op) === Class.ALU;
    const r = narrow ? 'w' : 'r';
    if (operation === Alu.END) {
      if (src || off || ![16, 32, 64].includes(imm) || (!narrow && op & SRC_X)) return undefined;
      const order = narrow ? (op & SRC_X ? 'be' : 'le') : 'bswap';
      return `r${dst} = ${order}${imm} r${dst}`;
    }
    if (operation === Alu.NEG)
      return op & SRC_X || src || off || imm ? undefined : `${r}${dst} = -${r}${dst}`;
    let name = ALU_NAMES[operation];
    if (!name) return undefined;
    if (off === 1 && (operation === Alu.DIV || operation === Alu.MOD)) name = `s${name}`;
    else if (off !== 0) return operation === Alu.MOV && op & SRC_X ? this.movForm(r, narrow) : undefined;
    if (op & SRC_X) return imm ? undefined : `${r}${dst} ${name} ${r}${src}`;
    return src ? undefined : `${r}${dst} ${name} ${this.imm()}`;
  }

  /** MOV with an offset: sign extension, or a cast between address spaces. */
  private movForm(r: string, narrow: boolean): string | undefined {
    const { dst, src, off, imm } = this.insn;
    if (off === 1 && !narrow)
      return `r${dst} = addr_space_cast(r${src}, ${this.number(imm >>> 16)}, ${this.number(imm & 0xffff)})`;
    const fits = off === 8 || off === 16 || (off === 32 && !narrow);
    return fits && imm === 0 ? `${r}${dst} = (s${off})${r}${src}` : undefined;
  }
}
