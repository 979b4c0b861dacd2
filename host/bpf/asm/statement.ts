/**
 * Parser of one instruction, in the kernel's notation or clang's; the two differ in spelling, not in grammar.
 *   kernel   r1 = *(u32 *)(r2 +4)     if r1 > 0x5 goto pc+3      r0 = atomic64_fetch_add((u64 *)(r1 +0), r2)
 *   clang    r1 = *(u32 *)(r2 + 0x4)  if r1 > 5 goto LBB0_2      w0 = cmpxchg32_32(r1 + 0, w0, w2)
 */
import type { EtherloomError } from '../../errors.js';
import {
  Alu,
  Atomic,
  CallKind,
  Class,
  type Insn,
  Jmp,
  Mode,
  OP_CALL,
  OP_CALLX,
  OP_EXIT,
  OP_JA,
  OP_JA32,
  OP_LDDW,
  Pseudo,
  Size,
  SRC_X,
} from '../insn.js';
import { type LinePlace, syntaxError, type Token } from './tokens.js';

/** A name in an instruction that only the whole program can resolve. */
export interface Reference {
  kind: 'jump' | 'jump32' | 'call' | 'kfunc' | 'map' | 'map_value' | 'func' | 'symbol';
  name: string;
  /** Number given with a helper or kfunc: `name#number`. */
  number?: number;
  column: number;
}

export interface Statement {
  /** One slot, or two for a 64-bit constant. */
  insns: Insn[];
  ref?: Reference;
}

interface Reg {
  number: number;
  /** `w1`: the 32-bit view. */
  narrow: boolean;
  column: number;
}

interface Place {
  base: number;
  off: number;
}

const ALU_OPS: Record<string, number> = {
  '+=': Alu.ADD,
  '-=': Alu.SUB,
  '*=': Alu.MUL,
  '/=': Alu.DIV,
  '|=': Alu.OR,
  '&=': Alu.AND,
  '<<=': Alu.LSH,
  '>>=': Alu.RSH,
  '%=': Alu.MOD,
  '^=': Alu.XOR,
  's>>=': Alu.ARSH,
  's/=': Alu.DIV,
  's%=': Alu.MOD,
};

const JMP_OPS: Record<string, number> = {
  '==': Jmp.JEQ,
  '>': Jmp.JGT,
  '>=': Jmp.JGE,
  '&': Jmp.JSET,
  '!=': Jmp.JNE,
  's>': Jmp.JSGT,
  's>=': Jmp.JSGE,
  '<': Jmp.JLT,
  '<=': Jmp.JLE,
  's<': Jmp.JSLT,
  's<=': Jmp.JSLE,
};

const SIZES: Record<string, number> = { 8: Size.B, 16: Size.H, 32: Size.W, 64: Size.DW };
const ATOMIC_ALU: Record<string, number> = {
  '+=': Atomic.ADD,
  '|=': Atomic.OR,
  '&=': Atomic.AND,
  '^=': Atomic.XOR,
};
const FETCH: Record<string, number> = { add: Atomic.ADD, or: Atomic.OR, and: Atomic.AND, xor: Atomic.XOR };

const I32 = [-(2n ** 31n), 2n ** 31n - 1n] as const;
const U32 = [-(2n ** 31n), 2n ** 32n - 1n] as const;
const U64 = [-(2n ** 63n), 2n ** 64n - 1n] as const;

const insn = (op: number, dst = 0, src = 0, off = 0, imm = 0): Insn => ({ op, dst, src, off, imm });

export class StatementParser {
  private at = 0;

  /** @param hint opcode that a kernel log prints before the instruction; tells a 64-bit constant from a short one */
  constructor(
    private readonly tokens: readonly Token[],
    private readonly place: LinePlace,
    private readonly hint: number | undefined,
  ) {}

  /** @throws EtherloomError ERR_ASM_SYNTAX */
  parse(): Statement {
    const statement = this.statement();
    this.trailer();
    if (this.hint !== undefined && statement.insns[0].op !== this.hint)
      throw syntaxError(
        this.place,
        this.tokens[0].column,
        `the text is opcode ${hex(statement.insns[0].op)}, the line says (${hex(this.hint)})`,
        'equal opcodes',
      );
    return statement;
  }

  private statement(): Statement {
    const token = this.peek();
    if (token.kind === 'operator' && token.text === '*') return this.store();
    if (token.kind !== 'name') throw this.unexpected('an instruction');
    switch (token.text) {
      case 'exit':
        this.next();
        return { insns: [insn(OP_EXIT)] };
      case 'goto':
      case 'gotol':
      case 'may_goto':
        return this.jump();
      case 'if':
        return this.branch();
      case 'call':
        return this.call();
      case 'callx':
        this.next();
        return { insns: [insn(OP_CALLX, this.reg().number)] };
      case 'lock':
        return this.lock();
      case 'store_release':
        return this.storeRelease();
      default:
        return this.assignment();
    }
  }

  // ── tokens ────────────────────────────────────────────────────────────────

  private peek(ahead = 0): Token {
    return this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)];
  }

  private next(): Token {
    const token = this.peek();
    if (this.at < this.tokens.length - 1) this.at++;
    return token;
  }

  private is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.text === text && token.kind !== 'string' && token.kind !== 'end';
  }

  private accept(text: string): boolean {
    if (!this.is(text)) return false;
    this.next();
    return true;
  }

  private expect(...texts: string[]): void {
    for (const text of texts) if (!this.accept(text)) throw this.unexpected(`"${text}"`);
  }

  private unexpected(expected: string, token = this.peek()): EtherloomError {
    const found = token.kind === 'end' ? 'end of line' : `"${token.text}"`;
    return syntaxError(this.place, token.column, found, expected);
  }

  /** `<LBB0_2>` or `<f+0x18>` after a jump, as llvm-objdump adds it; then the end. */
  private trailer(): void {
    if (this.is('<')) while (this.peek().kind !== 'end' && !this.accept('>')) this.next();
    if (this.peek().kind !== 'end') throw this.unexpected('end of line');
  }

  // ── parts ─────────────────────────────────────────────────────────────────

  private isReg(ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === 'name' && /^[rw](10|[0-9])$/.test(token.text);
  }

  private reg(expected = 'a register (r0–r10, w0–w10)'): Reg {
    if (!this.isReg()) throw this.unexpected(expected);
    const { text, column } = this.next();
    return { number: Number(text.slice(1)), narrow: text[0] === 'w', column };
  }

  private wide(what: string): number {
    const reg = this.reg();
    if (reg.narrow) throw syntaxError(this.place, reg.column, `w${reg.number} as ${what}`, 'r0–r10');
    return reg.number;
  }

  /** Signed number with blanks allowed after the sign. */
  private number(range: readonly [bigint, bigint], expected: string): bigint {
    const start = this.peek();
    const negative = this.accept('-');
    if (!negative) this.accept('+');
    const token = this.peek();
    if (token.kind !== 'number') throw this.unexpected(expected);
    this.next();
    const value = negative ? -BigInt(token.text) : BigInt(token.text);
    if (value < range[0] || value > range[1])
      throw syntaxError(this.place, start.column, `${value} is out of range`, expected);
    return value;
  }

  private int(range: readonly [bigint, bigint], expected: string): number {
    return Number(BigInt.asIntN(32, this.number(range, expected)));
  }

  private offset16(): number {
    return Number(this.number([-32768n, 32767n], 'an offset of −32768–32767'));
  }

  /** `(u32 *)`: the size bits and whether the load sign-extends. */
  private cast(): { size: number; signed: boolean; column: number } {
    this.expect('(');
    const token = this.next();
    const match = /^([us])(8|16|32|64)$/.exec(token.text);
    if (!match) throw this.unexpected('u8, u16, u32, u64, s8, s16 or s32', token);
    this.expect('*', ')');
    return { size: SIZES[match[2]], signed: match[1] === 's', column: token.column };
  }

  /** `r1 + 4`, `r1 +4`, `r1 - 0x8`, `r1`. */
  private base(): Place {
    const base = this.wide('a base address');
    const off = this.is('+') || this.is('-') ? this.offset16() : 0;
    return { base, off };
  }

  private memory(): Place {
    this.expect('(');
    const place = this.base();
    this.expect(')');
    return place;
  }

  // ── stores ────────────────────────────────────────────────────────────────

  private store(): Statement {
    this.expect('*');
    const { size, signed, column } = this.cast();
    if (signed) throw syntaxError(this.place, column, 'a store with a signed size', 'u8, u16, u32 or u64');
    const { base, off } = this.memory();
    this.expect('=');
    if (this.isReg()) return { insns: [insn(Class.STX | Mode.MEM | size, base, this.reg().number, off)] };
    const imm = this.int(size === Size.DW ? I32 : U32, 'a register or a 32-bit constant');
    return { insns: [insn(Class.ST | Mode.MEM | size, base, 0, off, imm)] };
  }

  private lock(): Statement {
    this.expect('lock', '*');
    const { size, column } = this.cast();
    this.atomicSize(size, column);
    const { base, off } = this.memory();
    const token = this.next();
    const op = Object.hasOwn(ATOMIC_ALU, token.text) ? ATOMIC_ALU[token.text] : undefined;
    if (op === undefined) throw this.unexpected('+=, |=, &= or ^=', token);
    return { insns: [insn(Class.STX | Mode.ATOMIC | size, base, this.reg().number, off, op)] };
  }

  private storeRelease(): Statement {
    this.expect('store_release', '(');
    const { size } = this.cast();
    const { base, off } = this.memory();
    this.expect(',');
    const src = this.reg().number;
    this.expect(')');
    return { insns: [insn(Class.STX | Mode.ATOMIC | size, base, src, off, Atomic.STORE_REL)] };
  }

  private atomicSize(size: number, column: number): void {
    if (size !== Size.W && size !== Size.DW)
      throw syntaxError(this.place, column, 'an atomic of this size', 'u32 or u64');
  }

  // ── jumps ─────────────────────────────────────────────────────────────────

  /** `pc+3`, `+3`, `-1` or a label. */
  private target(range: readonly [bigint, bigint]): number | Reference {
    const token = this.peek();
    if (token.kind === 'name' && token.text === 'pc') {
      this.next();
      if (!this.is('+') && !this.is('-')) throw this.unexpected('pc+N or pc-N');
      return Number(this.number(range, 'an offset'));
    }
    if (token.kind === 'name') {
      this.next();
      return { kind: 'jump', name: token.text, column: token.column };
    }
    return Number(this.number(range, 'a label, pc+N or +N'));
  }

  private jump(): Statement {
    const word = this.next().text;
    const long = word === 'gotol';
    const target = this.target(long ? I32 : [-32768n, 32767n]);
    const op = long ? OP_JA32 : word === 'goto' ? OP_JA : Class.JMP | Jmp.JCOND;
    if (typeof target !== 'number')
      return { insns: [insn(op)], ref: { ...target, kind: long ? 'jump32' : 'jump' } };
    return { insns: [long ? insn(op, 0, 0, 0, target) : insn(op, 0, 0, target)] };
  }

  private branch(): Statement {
    this.expect('if');
    const left = this.reg();
    const token = this.next();
    const op = Object.hasOwn(JMP_OPS, token.text) ? JMP_OPS[token.text] : undefined;
    if (op === undefined || token.kind !== 'operator')
      throw this.unexpected('==, !=, >, >=, <, <=, s>, s>=, s<, s<= or &', token);
    const cls = left.narrow ? Class.JMP32 : Class.JMP;
    let made: Insn;
    if (this.isReg()) {
      const right = this.reg();
      this.sameWidth(left, right);
      made = insn(cls | op | SRC_X, left.number, right.number);
    } else made = insn(cls | op, left.number, 0, 0, this.int(U32, 'a register or a 32-bit constant'));
    this.expect('goto');
    const target = this.target([-32768n, 32767n]);
    if (typeof target !== 'number') return { insns: [made], ref: target };
    made.off = target;
    return { insns: [made] };
  }

  private sameWidth(a: Reg, b: Reg): void {
    if (a.narrow !== b.narrow)
      throw syntaxError(
        this.place,
        b.column,
        'registers of different width',
        a.narrow ? `w${b.number}` : `r${b.number}`,
      );
  }

  private call(): Statement {
    this.expect('call');
    const token = this.peek();
    if (this.isReg()) return { insns: [insn(OP_CALLX, this.wide('a function'))] };
    if (this.is('pc')) {
      this.next();
      if (!this.is('+') && !this.is('-')) throw this.unexpected('pc+N or pc-N');
      return { insns: [insn(OP_CALL, 0, CallKind.LOCAL, 0, this.int(I32, 'a distance'))] };
    }
    // A sign makes it a distance: helpers have no negative number, and nobody writes "+" before one.
    if (this.is('+') || this.is('-'))
      return { insns: [insn(OP_CALL, 0, CallKind.LOCAL, 0, this.int(I32, 'a distance'))] };
    if (token.kind === 'number') return { insns: [insn(OP_CALL, 0, 0, 0, this.int(I32, 'a helper number'))] };
    if (token.kind !== 'name') throw this.unexpected('a function, helper or number');
    this.next();
    let kind: Reference['kind'] = 'call';
    let name = token.text;
    if (name === 'kfunc') {
      kind = 'kfunc';
      name = this.peek().kind === 'name' ? this.next().text : '';
    }
    const ref: Reference = { kind, name, column: token.column };
    if (this.accept('#')) ref.number = this.int(I32, 'a number');
    if (kind === 'kfunc' && name === '' && ref.number === undefined)
      throw this.unexpected('a name or #number');
    return { insns: [insn(OP_CALL, 0, kind === 'kfunc' ? CallKind.KFUNC : CallKind.HELPER)], ref };
  }

  // ── assignments ───────────────────────────────────────────────────────────

  private assignment(): Statement {
    const dst = this.reg('an instruction');
    const token = this.next();
    if (token.text === '=' && token.kind === 'operator') return this.value(dst);
    const op = Object.hasOwn(ALU_OPS, token.text) ? ALU_OPS[token.text] : undefined;
    if (op === undefined || token.kind !== 'operator')
      throw this.unexpected('=, +=, -=, *=, /=, %=, s/=, s%=, |=, &=, ^=, <<=, >>= or s>>=', token);
    const off = token.text === 's/=' || token.text === 's%=' ? 1 : 0;
    const cls = dst.narrow ? Class.ALU : Class.ALU64;
    if (this.isReg()) {
      const src = this.reg();
      this.sameWidth(dst, src);
      return { insns: [insn(cls | op | SRC_X, dst.number, src.number, off)] };
    }
    const imm = this.int(dst.narrow ? U32 : I32, 'a register or a 32-bit constant');
    return { insns: [insn(cls | op, dst.number, 0, off, imm)] };
  }

  private value(dst: Reg): Statement {
    const cls = dst.narrow ? Class.ALU : Class.ALU64;
    if (this.is('-') && this.isReg(1)) {
      this.next();
      const src = this.reg();
      if (src.number !== dst.number || src.narrow !== dst.narrow)
        throw syntaxError(
          this.place,
          src.column,
          'negation of another register',
          `-${dst.narrow ? 'w' : 'r'}${dst.number}`,
        );
      return { insns: [insn(cls | Alu.NEG, dst.number)] };
    }
    if (this.is('*')) return this.load(dst);
    if (this.is('(')) return this.signExtend(dst);
    if (this.isReg()) {
      const src = this.reg();
      // clang's `r1 = w2` is the 32-bit move: it clears the upper half.
      if (src.narrow) return { insns: [insn(Class.ALU | Alu.MOV | SRC_X, dst.number, src.number)] };
      this.sameWidth(dst, src);
      return { insns: [insn(cls | Alu.MOV | SRC_X, dst.number, src.number)] };
    }
    const token = this.peek();
    if (token.kind === 'name') return this.named(dst, token);
    if (token.kind === 'string') return this.symbol(dst);
    return this.constant(dst);
  }

  private constant(dst: Reg): Statement {
    const start = this.peek();
    const value = this.number(U64, 'a register, memory, constant or function');
    if (this.accept('ll') || this.hint === OP_LDDW) return this.wideConstant(dst, Pseudo.IMM64, value);
    const range = dst.narrow ? U32 : I32;
    if (value < range[0] || value > range[1])
      throw syntaxError(
        this.place,
        start.column,
        `${value} is out of range`,
        `a 32-bit constant, or "${start.text} ll"`,
      );
    const cls = dst.narrow ? Class.ALU : Class.ALU64;
    return { insns: [insn(cls | Alu.MOV, dst.number, 0, 0, Number(BigInt.asIntN(32, value)))] };
  }

  private wideConstant(dst: Reg, src: number, value: bigint): Statement {
    if (dst.narrow)
      throw syntaxError(this.place, dst.column, 'a 64-bit constant in a w register', `r${dst.number}`);
    const low = Number(BigInt.asIntN(32, value));
    const high = Number(BigInt.asIntN(32, value >> 32n));
    return { insns: [insn(OP_LDDW, dst.number, src, 0, low), insn(0, 0, 0, 0, high)] };
  }

  private load(dst: Reg): Statement {
    this.expect('*');
    const { size, signed, column } = this.cast();
    if (this.accept('skb')) {
      if (dst.number !== 0 || signed || size === Size.DW)
        throw syntaxError(this.place, column, 'a packet load of another form', 'r0 = *(u8|u16|u32 *)skb[…]');
      this.expect('[');
      let made: Insn;
      if (this.isReg()) {
        const src = this.wide('an index');
        const imm = this.is('+') || this.is('-') ? this.int(I32, 'an offset') : 0;
        made = insn(Class.LD | Mode.IND | size, 0, src, 0, imm);
      } else made = insn(Class.LD | Mode.ABS | size, 0, 0, 0, this.int(I32, 'an offset or register'));
      this.expect(']');
      return { insns: [made] };
    }
    const { base, off } = this.memory();
    if (signed && size === Size.DW) throw syntaxError(this.place, column, 's64', 's8, s16, s32 or u64');
    return { insns: [insn(Class.LDX | (signed ? Mode.MEMSX : Mode.MEM) | size, dst.number, base, off)] };
  }

  /** `r1 = (s8)r2`. */
  private signExtend(dst: Reg): Statement {
    this.expect('(');
    const token = this.next();
    const bits = /^s(8|16|32)$/.exec(token.text)?.[1];
    if (!bits || (dst.narrow && bits === '32'))
      throw this.unexpected(dst.narrow ? 's8 or s16' : 's8, s16 or s32', token);
    this.expect(')');
    const src = this.reg();
    this.sameWidth(dst, src);
    const cls = dst.narrow ? Class.ALU : Class.ALU64;
    return { insns: [insn(cls | Alu.MOV | SRC_X, dst.number, src.number, Number(bits))] };
  }

  private named(dst: Reg, token: Token): Statement {
    const { text } = token;
    const swap = /^(be|le|bswap)(16|32|64)$/.exec(text);
    if (swap) {
      this.next();
      const src = this.reg();
      if (src.number !== dst.number)
        throw syntaxError(this.place, src.column, 'a byte swap between registers', `r${dst.number}`);
      const op = swap[1] === 'bswap' ? Class.ALU64 : swap[1] === 'be' ? Class.ALU | SRC_X : Class.ALU;
      return { insns: [insn(op | Alu.END, dst.number, 0, 0, Number(swap[2]))] };
    }
    const fetch = /^atomic(64)?_(fetch_(?:add|or|and|xor)|xchg|cmpxchg)$/.exec(text);
    if (fetch) return this.atomic(dst, fetch[2], fetch[1] === '64');
    const exchange = /^(xchg|cmpxchg)(_64|32_32)$/.exec(text);
    if (exchange) return this.exchange(dst, exchange[1], exchange[2] === '_64' ? Size.DW : Size.W);
    if (text === 'load_acquire') {
      this.next();
      this.expect('(');
      const { size } = this.cast();
      const { base, off } = this.memory();
      this.expect(')');
      return { insns: [insn(Class.STX | Mode.ATOMIC | size, dst.number, base, off, Atomic.LOAD_ACQ)] };
    }
    if (text === 'addr_space_cast') return this.spaceCast(dst);
    if (this.is('[', 1) && ['map', 'subprog', 'btf_id'].includes(text)) return this.bracketed(dst, text);
    return this.symbol(dst);
  }

  /** `atomic64_fetch_add((u64 *)(r1 +0), r2)`; clang leaves the 64 out. */
  private atomic(dst: Reg, what: string, wide: boolean): Statement {
    this.next();
    this.expect('(');
    const { size, column } = this.cast();
    this.atomicSize(size, column);
    if (wide && size !== Size.DW) throw syntaxError(this.place, column, 'atomic64 of 32 bits', 'u64');
    const { base, off } = this.memory();
    this.expect(',');
    return this.exchangeTail(dst, what, size, base, off);
  }

  /** `xchg_64(r1 + 0, r2)`. */
  private exchange(dst: Reg, what: string, size: number): Statement {
    this.next();
    this.expect('(');
    const { base, off } = this.base();
    this.expect(',');
    return this.exchangeTail(dst, what, size, base, off);
  }

  private exchangeTail(dst: Reg, what: string, size: number, base: number, off: number): Statement {
    const compares = what === 'cmpxchg';
    if (compares) {
      if (dst.number !== 0)
        throw syntaxError(this.place, dst.column, 'cmpxchg into another register', 'r0 or w0');
      const old = this.reg();
      if (old.number !== 0)
        throw syntaxError(this.place, old.column, 'cmpxchg of another register', 'r0 or w0');
      this.expect(',');
    }
    const src = this.reg();
    if (!compares && src.number !== dst.number)
      throw syntaxError(
        this.place,
        src.column,
        'old value into another register',
        `the register on the left (r${dst.number})`,
      );
    this.expect(')');
    const op = compares
      ? Atomic.CMPXCHG
      : what === 'xchg'
        ? Atomic.XCHG
        : FETCH[what.slice(6)] | Atomic.FETCH;
    return { insns: [insn(Class.STX | Mode.ATOMIC | size, base, src.number, off, op)] };
  }

  /** `r1 = addr_space_cast(r2, 1, 0)`: into space 1 from space 0. */
  private spaceCast(dst: Reg): Statement {
    this.next();
    this.expect('(');
    const src = this.wide('an address');
    this.expect(',');
    const to = this.int([0n, 0xffffn], 'an address space');
    this.expect(',');
    const from = this.int([0n, 0xffffn], 'an address space');
    this.expect(')');
    return { insns: [insn(Class.ALU64 | Alu.MOV | SRC_X, dst.number, src, 1, (to << 16) | from)] };
  }

  /** `map[name]`, `map[id:3]`, `map[name][0]+8`, `map[idx:2]`, `subprog[+7]`, `subprog[name]`, `btf_id[5]`. */
  private bracketed(dst: Reg, word: string): Statement {
    const { column } = this.next();
    this.expect('[');
    if (word === 'subprog') {
      const target = this.target(I32);
      this.expect(']');
      const made = this.wideConstant(dst, Pseudo.FUNC, 0n);
      if (typeof target === 'number') made.insns[0].imm = target;
      else made.ref = { ...target, kind: 'func' };
      return made;
    }
    if (word === 'btf_id') {
      const made = this.wideConstant(dst, Pseudo.BTF_ID, 0n);
      made.insns[0].imm = this.int(I32, 'a type id');
      this.expect(']');
      if (this.is('+')) made.insns[1].imm = this.int(U32, 'a BTF object');
      return made;
    }
    const token = this.next();
    let ref: Reference | undefined;
    let key = 0;
    let indexed = false;
    if ((token.text === 'id' || token.text === 'idx') && this.accept(':')) {
      indexed = token.text === 'idx';
      key = this.int(I32, 'a map number');
    } else if (token.kind === 'name' || token.kind === 'string')
      ref = { kind: 'map', name: token.text, column };
    else throw this.unexpected('a map name or id:N', token);
    this.expect(']');
    let isValue = false;
    let offset = 0;
    if (this.accept('[')) {
      this.expect('0', ']');
      isValue = true;
    }
    if (this.is('+') || this.is('-')) {
      offset = this.int(U32, 'an offset');
      isValue = true;
    }
    const kind = indexed
      ? isValue
        ? Pseudo.MAP_IDX_VALUE
        : Pseudo.MAP_IDX
      : isValue
        ? Pseudo.MAP_VALUE
        : Pseudo.MAP_FD;
    const made = this.wideConstant(dst, kind, 0n);
    made.insns[0].imm = key;
    made.insns[1].imm = offset;
    if (ref) made.ref = { ...ref, kind: isValue ? 'map_value' : 'map' };
    return made;
  }

  /** `r1 = flows ll`: a map, a variable or a function by name. */
  private symbol(dst: Reg): Statement {
    const token = this.next();
    if (!this.accept('ll')) throw this.unexpected('a register, memory, constant, or "name ll"', token);
    return {
      ...this.wideConstant(dst, Pseudo.IMM64, 0n),
      ref: { kind: 'symbol', name: token.text, column: token.column },
    };
  }
}

const hex = (n: number): string => n.toString(16).padStart(2, '0');
