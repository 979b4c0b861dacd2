/**
 * Pieces that call kfuncs: references taken, kept over other pieces, given back; memory with sizes; RCU read sections;
 * packets that move. Two sets of functions: the kernel's, for verdicts beside the kernel's, and those of
 * test_kfuncs.ts, which run.
 */
import { Alu, Jmp } from '../../../host/bpf/insn.js';
import '../kernel_kfuncs.js';
import '../test_kfuncs.js';
import { CTX, type Draft, KEPT, SCALAR } from './draft.js';
import { Key } from './maps.js';
import { access, bound } from './scalars.js';

/** Names by the number that calls have in random programs. */
const NAMES = {
  1: 'bpf_task_from_pid',
  2: 'bpf_task_acquire',
  3: 'bpf_task_release',
  4: 'bpf_xdp_ct_lookup',
  5: 'bpf_skb_ct_lookup',
  6: 'bpf_ct_release',
  7: 'bpf_rcu_read_lock',
  8: 'bpf_rcu_read_unlock',
  9: 'bpf_xdp_pull_data',
  10: 'test_reserve',
  11: 'test_discard',
  12: 'test_sum',
  13: 'test_number',
} as const;
const ID = Object.fromEntries(Object.entries(NAMES).map(([id, name]) => [name, Number(id)])) as Record<
  (typeof NAMES)[keyof typeof NAMES],
  number
>;

export type KfuncSet = 'kernel' | 'test';
type Piece = (g: Draft, nesting: number) => void;

/** Stack slot in which an object waits. */
const SPILL = -80;

/** Takes a reference: r0 is an object or NULL. */
function take(g: Draft, set: KfuncSet): void {
  const { code, rng } = g;
  if (set === 'test') {
    code.map(1, Key.ringbuf);
    code.movImm(2, 16);
    code.movImm(3, 0);
    code.kfunc(ID.test_reserve);
  } else if (rng.chance(0.7)) {
    code.movImm(1, rng.between(1, 9));
    code.kfunc(ID.bpf_task_from_pid);
  } else lookUp(g);
}

/** Gives back what r1 holds. */
function give(g: Draft, set: KfuncSet, conntrack: boolean): void {
  const { code, rng } = g;
  if (set === 'test') {
    code.movImm(2, 1);
    code.kfunc(ID.test_discard);
    return;
  }
  const other = rng.chance(0.02);
  code.kfunc(conntrack !== other ? ID.bpf_ct_release : ID.bpf_task_release);
}

/** A conntrack entry, looked up by memory of the stack with sizes. */
function lookUp(g: Draft): void {
  const { code, rng } = g;
  for (let off = -136; off >= -160; off -= 8) code.storeImm(8, 10, off, 0);
  code.mov(1, CTX);
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: -144 });
  if (rng.chance(0.7)) code.movImm(3, g.near(12));
  else {
    code.mov(3, SCALAR);
    bound(g, 3, 12);
  }
  code.mov(4, 10);
  code.alu(Alu.ADD, 4, { imm: -160 });
  code.movImm(5, g.near(16));
  code.kfunc(g.type === 'xdp' ? ID.bpf_xdp_ct_lookup : ID.bpf_skb_ct_lookup);
}

/** A reference over other pieces: in r8 or on the stack, now and then forgotten, doubled or used too late. */
const reference =
  (set: KfuncSet): Piece =>
  (g, nesting) => {
    const { code, rng } = g;
    const before = code.length;
    take(g, set);
    const conntrack = code.length - before > 2 && set === 'kernel';
    const skip = code.label();
    const missing = rng.chance(0.5) ? g.out : skip;
    const spilled = rng.chance(0.4);
    if (spilled) code.store(8, 10, SPILL, 0);
    if (rng.chance(0.97)) code.branch(Jmp.JEQ, 0, { imm: 0 }, missing);
    code.mov(KEPT, 0);
    g.kept = undefined;
    if (rng.chance(0.5)) access(g, KEPT, 8, g.near(8 * rng.below(set === 'test' ? 2 : 1)));
    if (rng.chance(0.4) && nesting < 2) {
      // Another piece may leave for the end while the reference is held, or take r8: it is on the stack then.
      if (!spilled) code.store(8, 10, SPILL, KEPT);
      if (rng.chance(0.5)) g.piece(2);
      code.load(8, 1, 10, SPILL);
      g.kept = undefined;
    } else if (spilled && rng.chance(0.6)) code.load(8, 1, 10, SPILL);
    else code.mov(1, KEPT);
    if (rng.chance(0.02)) code.alu(Alu.ADD, 1, { imm: 8 });
    if (rng.chance(0.96)) {
      if (rng.chance(0.2)) inFunction(g, set, conntrack);
      else give(g, set, conntrack);
    }
    if (rng.chance(0.03)) {
      code.mov(1, KEPT);
      give(g, set, conntrack);
    }
    if (rng.chance(0.03)) access(g, KEPT, 8, 0);
    code.place(skip);
  };

function inFunction(g: Draft, set: KfuncSet, conntrack: boolean): void {
  const { code } = g;
  const releases = code.label();
  code.callLocal(releases);
  g.functions.push(() => {
    code.place(releases);
    give(g, set, conntrack);
    code.movImm(0, 0);
    code.exit();
  });
}

/** A reference that is taken on one way of a jump only, and given back where it is not NULL. */
const perhapsReference =
  (set: KfuncSet): Piece =>
  g => {
    const { code, rng } = g;
    const without = code.label();
    const end = code.label();
    code.movImm(KEPT, 0);
    g.kept = undefined;
    code.branch(Jmp.JGT, SCALAR, { imm: rng.between(0, 64) }, without);
    if (set === 'kernel') {
      code.movImm(1, 1);
      code.kfunc(ID.bpf_task_from_pid);
    } else take(g, set);
    code.mov(KEPT, 0);
    code.place(without);
    if (rng.chance(0.97)) code.branch(Jmp.JEQ, KEPT, { imm: 0 }, end);
    code.mov(1, KEPT);
    give(g, set, false);
    code.place(end);
  };

/** A second reference to a task, and which of the two is given back. */
const twice: Piece = g => {
  const { code, rng } = g;
  code.movImm(1, 1);
  code.kfunc(ID.bpf_task_from_pid);
  code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  code.mov(KEPT, 0);
  g.kept = undefined;
  code.mov(1, 0);
  code.kfunc(ID.bpf_task_acquire);
  code.store(8, 10, SPILL, 0);
  code.mov(1, KEPT);
  code.kfunc(ID.bpf_task_release);
  const none = code.label();
  code.load(8, 1, 10, SPILL);
  if (rng.chance(0.96)) code.branch(Jmp.JEQ, 1, { imm: 0 }, none);
  if (rng.chance(0.05)) code.mov(1, KEPT);
  code.kfunc(ID.bpf_task_release);
  code.place(none);
};

const rcu: Piece = (g, nesting) => {
  const { code, rng } = g;
  if (rng.chance(0.97)) code.kfunc(ID.bpf_rcu_read_lock);
  if (nesting < 2 && rng.chance(0.6)) g.piece(2);
  if (rng.chance(0.97)) code.kfunc(ID.bpf_rcu_read_unlock);
};

/** Moves the packet: what was proven before is gone. */
const pull: Piece = g => {
  const { code, rng } = g;
  if (g.type !== 'xdp') return;
  code.mov(1, CTX);
  code.movImm(2, rng.between(14, 64));
  code.kfunc(ID.bpf_xdp_pull_data);
  if (g.kept?.kind === 'packet' && rng.chance(0.95)) g.kept = undefined;
};

/** Checksum of stack memory whose size is bounded, or NULL of any size. */
const sum: Piece = g => {
  const { code, rng } = g;
  const room = 4 * rng.between(1, 16);
  if (rng.chance(0.2)) code.movImm(1, 0);
  else {
    code.mov(1, 10);
    code.alu(Alu.ADD, 1, { imm: -room });
  }
  code.mov(2, SCALAR);
  bound(g, 2, room);
  if (rng.chance(0.2)) g.either(3, 0, rng.pick([0, 4096]));
  else {
    code.mov(3, 10);
    code.alu(Alu.ADD, 3, { imm: -8 });
  }
  code.movImm(4, g.near(8));
  code.movImm(5, 0);
  code.kfunc(ID.test_sum);
};

/** Text to a number behind a pointer of a structure's size. */
const number: Piece = g => {
  const { code } = g;
  code.storeImm(8, 10, -136, 0x3231);
  code.mov(1, 10);
  code.alu(Alu.ADD, 1, { imm: -136 });
  code.movImm(2, g.near(8));
  code.movImm(3, 0);
  code.mov(4, 10);
  code.alu(Alu.ADD, 4, { imm: g.near(-152) });
  code.kfunc(ID.test_number);
};

const common = (set: KfuncSet): Piece[] => [reference(set), reference(set), perhapsReference(set), rcu, pull];

/** Pieces of a set, as often as they shall be written, and the names that a program with them has. */
export const kfuncPieces: Readonly<Record<KfuncSet, readonly Piece[]>> = {
  kernel: [...common('kernel'), twice],
  test: [...common('test'), sum, number],
};
export const kfuncNumbers: Readonly<Record<number, string>> = NAMES;
