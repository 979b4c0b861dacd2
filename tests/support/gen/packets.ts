/** Pieces on packets: parsing behind bounds checks, metadata, helpers that move the packet. */
import { Alu, Class, Jmp, Mode } from '../../../host/bpf/insn.js';
import { SIZE_BITS } from './code.js';
import { CTX, type Draft, H, KEPT, SCALAR } from './draft.js';
import { address, bound } from './scalars.js';
import { useMemory } from './values.js';

/** r2 = data, r3 = end, at least `bytes` proven from r2 on, in one of eight forms. Uses r4. */
export function prove(g: Draft, bytes: number): void {
  const { code, rng } = g;
  code.load(4, 2, CTX, g.ctx.data);
  code.load(4, 3, CTX, g.ctx.dataEnd);
  code.mov(4, 2);
  code.alu(Alu.ADD, 4, { imm: bytes });
  atLeast(g, 4, 3, rng.chance(0.02));
}

/** Leaves the program when `at` is beyond `end`. */
export function atLeast(g: Draft, at: number, end: number, wrong: boolean): void {
  const { code, rng } = g;
  const [beyond, within] = wrong ? [Jmp.JLE, Jmp.JGT] : [Jmp.JGT, Jmp.JLE];
  const turned: Record<number, number> = { [Jmp.JGT]: Jmp.JLT, [Jmp.JLE]: Jmp.JGE };
  const form = rng.below(5);
  if (form === 0) code.branch(beyond, at, { reg: end }, g.out);
  else if (form === 1) code.branch(turned[beyond], end, { reg: at }, g.out);
  else if (form === 2) code.branch(Jmp.JGE, at, { reg: end }, g.out);
  else {
    const good = code.label();
    if (form === 3) code.branch(within, at, { reg: end }, good);
    else code.branch(turned[within], end, { reg: at }, good);
    code.jump(g.out);
    code.place(good);
  }
}

export function packet(g: Draft): void {
  const { code, rng } = g;
  const bytes = rng.pick([1, 4, 14, 20, 34, 54]);
  prove(g, bytes);
  if (rng.chance(0.6)) {
    useMemory(g, 2, bytes, false, true);
    return;
  }
  // A header of variable length behind the proven part.
  const most = rng.pick([15, 60, 255]);
  const then = rng.pick([1, 2, 4, 8]);
  code.load(1, 1, 2, rng.below(bytes));
  bound(g, 1, most);
  address(g, 5, 2, rng.chance(0.5) ? rng.below(bytes) : 0, 1);
  code.mov(4, 5);
  code.alu(Alu.ADD, 4, { imm: g.near(then) });
  if (rng.chance(0.98)) atLeast(g, 4, 3, false);
  code.load(then, 0, 5, g.near(0));
  if (rng.chance(0.4)) code.store(1, 5, g.near(then - 1), 0);
}

export function keepPacket(g: Draft): void {
  const bytes = g.rng.pick([8, 14, 34]);
  prove(g, bytes);
  g.code.mov(KEPT, 2);
  g.kept = { kind: 'packet', bytes };
}

/** Helpers that move the packet: what was proven is void. */
export function move(g: Draft): void {
  const { code, rng } = g;
  code.mov(1, CTX);
  if (g.type === 'xdp') {
    const amount = rng.pick([-8, -4, 0, 4, 8, 14]);
    if (rng.chance(0.8)) code.movImm(2, amount);
    else code.mov(2, SCALAR);
    code.call(rng.pick([H.adjustHead, H.adjustMeta, H.adjustTail]));
  } else {
    code.movImm(2, rng.below(64));
    code.call(H.pullData);
  }
  if (g.kept?.kind === 'packet' && rng.chance(0.97)) g.kept = undefined;
}

export function legacy(g: Draft): void {
  const { code, rng } = g;
  const size = SIZE_BITS[rng.pick([1, 2, 4])];
  if (rng.chance(0.5)) code.op(Class.LD | Mode.ABS | size, 0, 0, 0, rng.below(80));
  else code.op(Class.LD | Mode.IND | size, 0, SCALAR, 0, rng.below(16));
  code.mov(SCALAR, 0);
}

/** Metadata before the packet, proven against data. */
export function metadata(g: Draft): void {
  const { code, rng } = g;
  const bytes = rng.pick([4, 8]);
  if (rng.chance(0.6)) {
    code.mov(1, CTX);
    code.movImm(2, g.type === 'xdp' ? -bytes : 64);
    code.call(g.type === 'xdp' ? H.adjustMeta : H.pullData);
    if (g.kept?.kind === 'packet' && rng.chance(0.97)) g.kept = undefined;
  }
  code.load(4, 2, CTX, g.ctx.dataMeta);
  code.load(4, 3, CTX, rng.chance(0.97) ? g.ctx.data : g.ctx.dataEnd);
  code.mov(4, 2);
  code.alu(Alu.ADD, 4, { imm: bytes });
  atLeast(g, 4, 3, rng.chance(0.02));
  useMemory(g, 2, bytes, false, true);
}

/** What is found beyond the end is moved, and compared again. */
export function movedBack(g: Draft): void {
  const { code, rng } = g;
  const bytes = rng.pick([8, 14, 34]);
  const far = code.label();
  const done = code.label();
  code.load(4, 2, CTX, g.ctx.data);
  code.load(4, 3, CTX, g.ctx.dataEnd);
  code.mov(4, 2);
  code.alu(Alu.ADD, 4, { imm: bytes });
  code.branch(rng.pick([Jmp.JGT, Jmp.JGE]), 4, { reg: 3 }, far);
  code.jump(done);
  code.place(far);
  if (rng.chance(0.5)) code.alu(rng.pick([Alu.ADD, Alu.SUB]), 4, { imm: rng.below(bytes) });
  else {
    code.mov(1, SCALAR);
    bound(g, 1, bytes);
    code.alu(rng.chance(0.7) ? Alu.SUB : Alu.ADD, 4, { reg: 1 });
  }
  code.branch(rng.pick([Jmp.JGT, Jmp.JGE, Jmp.JLE, Jmp.JLT]), 4, { reg: 3 }, done);
  code.load(1, 0, rng.chance(0.7) ? 4 : 2, rng.pick([-1, -1, 0]));
  code.place(done);
}
