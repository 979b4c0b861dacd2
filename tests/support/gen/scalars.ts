/** Scalars: where they come from, arithmetic, bounds in their many forms, and addresses made of them. */
import { Alu, Class, Jmp, SRC_X } from '../../../host/bpf/insn.js';
import { COUNTER, CTX, type Draft, H, INIT_BYTES, SCALAR } from './draft.js';

/** Something unknown into `dst`. Destroys r0–r5 at times. */
export function source(g: Draft, dst: number): void {
  const { code, rng } = g;
  const kind = rng.below(5);
  if (kind === 0) {
    code.call(H.prandom);
    code.mov(dst, 0);
    if (rng.chance(0.5)) code.alu(Alu.AND, dst, { imm: 127 });
  } else if (kind === 1) code.load(4, dst, CTX, rng.pick(g.ctx.fields));
  else if (kind === 2) {
    const size = g.size();
    code.load(size, dst, 10, -size * rng.between(1, INIT_BYTES / size), size < 8 && rng.chance(0.3));
  } else if (kind === 3) {
    code.call(H.ktime);
    code.mov(dst, 0);
  } else code.load(4, dst, CTX, rng.pick(g.ctx.fields));
}

/** Arithmetic on the scalars, never on pointers. */
export function noise(g: Draft): void {
  const { code, rng } = g;
  const wide = rng.chance(0.6);
  for (let i = rng.between(1, 4); i > 0; i--) {
    const kind = rng.below(10);
    const op = rng.pick([Alu.ADD, Alu.SUB, Alu.MUL, Alu.OR, Alu.AND, Alu.XOR, Alu.MOV]);
    if (kind < 4) code.alu(op, SCALAR, { imm: constant(g) }, wide);
    else if (kind < 5) code.alu(op, SCALAR, { reg: COUNTER }, wide);
    else if (kind < 7)
      code.alu(rng.pick([Alu.LSH, Alu.RSH, Alu.ARSH]), SCALAR, { imm: rng.below(wide ? 64 : 32) }, wide);
    else if (kind < 8)
      code.alu(rng.pick([Alu.DIV, Alu.MOD]), SCALAR, { imm: rng.between(1, 100) }, wide, rng.below(2));
    else if (kind < 9)
      code.alu(Alu.MOV, SCALAR, { reg: SCALAR }, wide, rng.pick(wide ? [0, 8, 16, 32] : [0, 8, 16]));
    else if (rng.chance(0.5)) code.op((wide ? Class.ALU64 : Class.ALU) | Alu.NEG, SCALAR);
    else code.op(Class.ALU | rng.pick([0, SRC_X]) | Alu.END, SCALAR, 0, 0, rng.pick([16, 32, 64]));
  }
}

export function constant(g: Draft): number {
  const { rng } = g;
  return rng.chance(0.6)
    ? rng.between(-64, 64)
    : rng.pick([255, 256, 0xffff, 0x7fff_ffff, -0x8000_0000, 4096, 1 << 20, 0xffff_fff0 | 0]);
}

/** Makes `reg` at most `max` (and not negative), in one of many ways; other values leave the program. */
export function bound(g: Draft, reg: number, most: number): void {
  const { code, rng } = g;
  const max = g.near(most);
  const mask = (1 << (31 - Math.clz32(max + 1))) - 1;
  const wide = rng.chance(0.7);
  switch (rng.below(17)) {
    case 0:
    case 1:
    case 9:
    case 10:
    case 11:
      code.alu(Alu.AND, reg, { imm: rng.chance(0.97) ? mask : max }, wide);
      break;
    case 2:
      code.branch(Jmp.JGT, reg, { imm: max }, g.out);
      break;
    case 3:
      code.branch(Jmp.JGE, reg, { imm: max + 1 }, g.out);
      break;
    case 4: {
      const good = code.label();
      code.branch(rng.chance(0.5) ? Jmp.JLE : Jmp.JLT, reg, { imm: max }, good);
      code.jump(g.out);
      code.place(good);
      break;
    }
    case 5:
      code.branch(Jmp.JSGT, reg, { imm: max }, g.out);
      if (rng.chance(0.97)) code.branch(Jmp.JSLT, reg, { imm: 0 }, g.out);
      break;
    case 6:
      code.alu(Alu.MOV, reg, { reg }, false);
      code.branch(Jmp.JGT, reg, { imm: max }, g.out, false);
      break;
    case 7:
      code.alu(
        Alu.RSH,
        reg,
        { imm: wide ? 64 - Math.floor(Math.log2(max + 1)) : 32 - Math.floor(Math.log2(max + 1)) },
        wide,
      );
      break;
    case 8:
      code.alu(Alu.MOD, reg, { imm: max + 1 }, wide);
      code.branch(Jmp.JGT, reg, { imm: max }, g.out);
      break;
    default: {
      // Clamped, not refused: the program goes on.
      const good = code.label();
      code.branch(rng.pick([Jmp.JLE, Jmp.JLE, Jmp.JLT]), reg, { imm: max }, good);
      code.movImm(reg, rng.chance(0.5) ? rng.below(max + 1) : max);
      code.place(good);
    }
  }
}

/** A copy learns from the original, or the other way round; at times through a shift or a sum, which may not. */
export function linked(g: Draft): void {
  const { code, rng } = g;
  source(g, 1);
  if (rng.chance(0.5)) code.alu(Alu.MOV, 1, { reg: 1 }, false);
  code.alu(Alu.MOV, 2, { reg: 1 }, rng.chance(0.85));
  const delta = rng.chance(0.4) ? rng.between(-8, 8) : 0;
  if (delta) code.alu(Alu.ADD, rng.pick([1, 2]), { imm: delta });
  bound(g, 2, 15);
  address(g, 3, 10, -32, 1);
  access(g, 3, 1, g.near(0));
}

/** dst = base + off + reg */
export function address(g: Draft, dst: number, base: number, off: number, reg: number): void {
  const { code } = g;
  code.mov(dst, base);
  if (off) code.alu(Alu.ADD, dst, { imm: off });
  code.alu(Alu.ADD, dst, { reg });
}

/** A load or store of `bytes` at base + off. */
export function access(g: Draft, base: number, bytes: number, off: number, readOnly = false): void {
  const { code, rng } = g;
  const write = !readOnly && rng.chance(0.5);
  if (!write) code.load(bytes, rng.pick([0, 4, 5]), base, off, bytes < 8 && rng.chance(0.2));
  else if (rng.chance(0.5)) code.storeImm(bytes, base, off, constant(g));
  else code.store(bytes, base, off, SCALAR);
}

/** An index that is one constant or another, and fits on one path only now and then. */
export function twoIndices(g: Draft): void {
  const { code, rng } = g;
  g.either(1, rng.below(16), g.near(rng.below(16)));
  if (rng.chance(0.3)) {
    code.store(8, 10, -72, 1);
    code.load(8, 1, 10, -72);
  }
  if (rng.chance(0.3)) code.alu(rng.pick([Alu.ADD, Alu.XOR, Alu.LSH]), 1, { imm: rng.below(2) });
  address(g, 3, 10, -32, 1);
  access(g, 3, 1, g.near(0));
}

/** Parts of context fields, with and without their sign, and stores to those that may be written. */
export function contextParts(g: Draft): void {
  const { code, rng, ctx } = g;
  if (ctx.narrow.length) {
    const size = g.size(4);
    code.load(size, 1, CTX, g.near(rng.pick(ctx.narrow) + size * rng.below(4 / size)), rng.chance(0.4));
  } else code.load(4, 1, CTX, rng.pick(ctx.fields), rng.chance(0.4));
  if (ctx.written.length && rng.chance(0.5)) code.store(4, CTX, g.near(rng.pick(ctx.written)), SCALAR);
  bound(g, 1, 15);
  address(g, 3, 10, -16, 1);
  access(g, 3, 1, 0);
}
