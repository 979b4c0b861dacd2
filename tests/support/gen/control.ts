/** Branches and loops around other pieces. */
import { Alu, Class, Jmp } from '../../../host/bpf/insn.js';
import { COUNTER, type Draft, KEPT, SCALAR } from './draft.js';
import { access, address, bound, constant, noise } from './scalars.js';

export function branch(g: Draft, nesting: number): void {
  const { code, rng } = g;
  const [otherwise, end] = [code.label(), code.label()];
  const conditions = [Jmp.JEQ, Jmp.JNE, Jmp.JGT, Jmp.JLT, Jmp.JSGE, Jmp.JSLE, Jmp.JSET];
  code.branch(rng.pick(conditions), SCALAR, { imm: constant(g) }, otherwise, rng.chance(0.7));
  const before = g.kept;
  g.piece(nesting + 1);
  const after = g.kept;
  if (rng.chance(0.6)) {
    code.jump(end);
    code.place(otherwise);
    g.kept = before;
    g.piece(nesting + 1);
  } else code.place(otherwise);
  code.place(end);
  // Both sides must agree on what r8 is.
  if (rng.chance(0.97) && (g.kept !== before || after !== before)) g.kept = undefined;
}

export function loop(g: Draft, nesting: number): void {
  const { code, rng } = g;
  if (g.inLoop) {
    noise(g);
    return;
  }
  const top = code.label();
  const rounds = rng.pick([2, 4, 8, 16]);
  const before = g.kept;
  code.movImm(COUNTER, 0);
  code.place(top);
  g.inLoop = true;
  const kind = rng.below(4);
  if (kind === 0) {
    address(g, 3, 10, -rounds, COUNTER);
    access(g, 3, 1, g.near(0));
  } else if (kind === 1 && g.kept) {
    const index = Math.min(rounds, g.kept.bytes);
    address(g, 3, KEPT, g.near(g.kept.bytes - index), COUNTER);
    access(g, 3, 1, 0, g.kept.readOnly);
  } else g.piece(nesting + 1);
  if (rng.chance(0.3)) noise(g);
  g.inLoop = false;
  code.alu(Alu.ADD, COUNTER, { imm: rng.chance(0.95) ? 1 : 2 }, rng.chance(0.8));
  const most = kind === 1 && before ? Math.min(rounds, before.bytes) : rounds;
  if (rng.chance(0.8)) code.branch(Jmp.JLT, COUNTER, { imm: g.near(most) }, top);
  else code.branch(Jmp.JNE, COUNTER, { imm: most }, top);
  // The pointer kept at the loop's head may be another one at its end.
  if (g.kept !== before) g.kept = undefined;
}

/** A loop that may_goto ends if nothing else does. */
export function mayGoto(g: Draft, nesting: number): void {
  const { code, rng } = g;
  if (g.inLoop) {
    noise(g);
    return;
  }
  const [top, end] = [code.label(), code.label()];
  const before = g.kept;
  code.movImm(COUNTER, 0);
  code.place(top);
  code.op(Class.JMP | Jmp.JCOND, 0, 0, 0, 0, end);
  g.inLoop = true;
  if (rng.chance(0.5)) {
    code.mov(1, COUNTER);
    bound(g, 1, 15);
    address(g, 3, 10, -16, 1);
    access(g, 3, 1, g.near(0));
  } else g.piece(nesting + 1);
  g.inLoop = false;
  code.alu(Alu.ADD, COUNTER, { imm: 1 });
  code.branch(Jmp.JLT, COUNTER, { imm: rng.pick([4, 40]) }, top);
  code.place(end);
  if (g.kept !== before) g.kept = undefined;
}
