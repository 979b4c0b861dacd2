/**
 * A cursor over the tokens of one instruction, with the parts that every instruction is made of:
 * registers, numbers in a range, memory operands, jump targets. Base of the statement parsers.
 */
import type { EtherloomError } from '../../errors.js';
import { type Insn, Size } from '../insn.js';
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

export interface Reg {
  number: number;
  /** `w1`: the 32-bit view. */
  narrow: boolean;
  column: number;
}

export interface Place {
  base: number;
  off: number;
}

const SIZES: Record<string, number> = { 8: Size.B, 16: Size.H, 32: Size.W, 64: Size.DW };

/** Ranges of constants. */
export const I32 = [-(2n ** 31n), 2n ** 31n - 1n] as const;
export const U32 = [-(2n ** 31n), 2n ** 32n - 1n] as const;
export const U64 = [-(2n ** 63n), 2n ** 64n - 1n] as const;

export const insn = (op: number, dst = 0, src = 0, off = 0, imm = 0): Insn => ({ op, dst, src, off, imm });

export class Cursor {
  private at = 0;

  constructor(
    protected readonly tokens: readonly Token[],
    protected readonly place: LinePlace,
  ) {}

  // ── tokens ────────────────────────────────────────────────────────────────

  protected peek(ahead = 0): Token {
    return this.tokens[Math.min(this.at + ahead, this.tokens.length - 1)];
  }

  protected next(): Token {
    const token = this.peek();
    if (this.at < this.tokens.length - 1) this.at++;
    return token;
  }

  protected is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.text === text && token.kind !== 'string' && token.kind !== 'end';
  }

  protected accept(text: string): boolean {
    if (!this.is(text)) return false;
    this.next();
    return true;
  }

  protected expect(...texts: string[]): void {
    for (const text of texts) if (!this.accept(text)) throw this.unexpected(`"${text}"`);
  }

  protected unexpected(expected: string, token = this.peek()): EtherloomError {
    const found = token.kind === 'end' ? 'end of line' : `"${token.text}"`;
    return syntaxError(this.place, token.column, found, expected);
  }

  // ── parts ─────────────────────────────────────────────────────────────────

  protected isReg(ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === 'name' && /^[rw](10|[0-9])$/.test(token.text);
  }

  protected reg(expected = 'a register (r0–r10, w0–w10)'): Reg {
    if (!this.isReg()) throw this.unexpected(expected);
    const { text, column } = this.next();
    return { number: Number(text.slice(1)), narrow: text[0] === 'w', column };
  }

  protected wide(what: string): number {
    const reg = this.reg();
    if (reg.narrow) throw syntaxError(this.place, reg.column, `w${reg.number} as ${what}`, 'r0–r10');
    return reg.number;
  }

  /** Signed number with blanks allowed after the sign. */
  protected number(range: readonly [bigint, bigint], expected: string): bigint {
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

  protected int(range: readonly [bigint, bigint], expected: string): number {
    return Number(BigInt.asIntN(32, this.number(range, expected)));
  }

  protected offset16(): number {
    return Number(this.number([-32768n, 32767n], 'an offset of −32768–32767'));
  }

  /** `(u32 *)`: the size bits and whether the load sign-extends. */
  protected cast(): { size: number; signed: boolean; column: number } {
    this.expect('(');
    const token = this.next();
    const match = /^([us])(8|16|32|64)$/.exec(token.text);
    if (!match) throw this.unexpected('u8, u16, u32, u64, s8, s16 or s32', token);
    this.expect('*', ')');
    return { size: SIZES[match[2]], signed: match[1] === 's', column: token.column };
  }

  /** `r1 + 4`, `r1 +4`, `r1 - 0x8`, `r1`. */
  protected base(): Place {
    const base = this.wide('a base address');
    const off = this.is('+') || this.is('-') ? this.offset16() : 0;
    return { base, off };
  }

  protected memory(): Place {
    this.expect('(');
    const place = this.base();
    this.expect(')');
    return place;
  }

  protected atomicSize(size: number, column: number): void {
    if (size !== Size.W && size !== Size.DW)
      throw syntaxError(this.place, column, 'an atomic of this size', 'u32 or u64');
  }

  /** `pc+3`, `+3`, `-1` or a label. */
  protected target(range: readonly [bigint, bigint]): number | Reference {
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

  protected sameWidth(a: Reg, b: Reg): void {
    if (a.narrow !== b.narrow)
      throw syntaxError(
        this.place,
        b.column,
        'registers of different width',
        a.narrow ? `w${b.number}` : `r${b.number}`,
      );
  }
}
