/**
 * Parser of one instruction, in the kernel's notation or clang's; the two differ in spelling, not in grammar.
 *   kernel   r1 = *(u32 *)(r2 +4)     if r1 > 0x5 goto pc+3      r0 = atomic64_fetch_add((u64 *)(r1 +0), r2)
 *   clang    r1 = *(u32 *)(r2 + 0x4)  if r1 > 5 goto LBB0_2      w0 = cmpxchg32_32(r1 + 0, w0, w2)
 */
import {
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
  Size,
  SRC_X,
} from '../insn.js';
import { AssignmentParser } from './assignment.js';
import { I32, insn, type Reference, type Statement, U32 } from './cursor.js';
import { syntaxError } from './tokens.js';

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

const ATOMIC_ALU: Record<string, number> = {
  '+=': Atomic.ADD,
  '|=': Atomic.OR,
  '&=': Atomic.AND,
  '^=': Atomic.XOR,
};

export class StatementParser extends AssignmentParser {
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

  /** `<LBB0_2>` or `<f+0x18>` after a jump, as llvm-objdump adds it; then the end. */
  private trailer(): void {
    if (this.is('<')) while (this.peek().kind !== 'end' && !this.accept('>')) this.next();
    if (this.peek().kind !== 'end') throw this.unexpected('end of line');
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

  // ── jumps ─────────────────────────────────────────────────────────────────

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
}

const hex = (n: number): string => n.toString(16).padStart(2, '0');
