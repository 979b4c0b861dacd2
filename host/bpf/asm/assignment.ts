/**
 * Parser of assignments: everything that begins with a register. Moves, arithmetic, loads, constants, addresses,
 * atomics that return the old value.
 */
import { Alu, Atomic, Class, type Insn, Mode, OP_LDDW, Pseudo, Size, SRC_X } from '../insn.js';
import { Cursor, I32, insn, type Reference, type Reg, type Statement, U32, U64 } from './cursor.js';
import { type LinePlace, syntaxError, type Token } from './tokens.js';

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

const FETCH: Record<string, number> = { add: Atomic.ADD, or: Atomic.OR, and: Atomic.AND, xor: Atomic.XOR };

export class AssignmentParser extends Cursor {
  /** @param hint opcode that a kernel log prints before the instruction; tells a 64-bit constant from a short one */
  constructor(
    tokens: readonly Token[],
    place: LinePlace,
    protected readonly hint: number | undefined,
  ) {
    super(tokens, place);
  }

  protected assignment(): Statement {
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
