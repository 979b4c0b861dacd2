/** Pieces on maps: lookups, values, inner maps, queues, locks. */
import { Alu, Atomic, Class, Jmp, Mode } from '../../../host/bpf/insn.js';
import { SIZE_BITS } from './code.js';
import { CTX, type Draft, H, INIT_BYTES, KEPT, SCALAR } from './draft.js';
import { Key, LOOKUPS } from './maps.js';
import { access, address, bound, noise } from './scalars.js';
import { stackConstant } from './stack.js';

/** r0 = lookup in `map`, checked for null; r1–r5 are gone. */
export function lookup(g: Draft, map: (typeof LOOKUPS)[number], check = true): void {
  const { code, rng } = g;
  const at = -136 - 8 * rng.below(4);
  const form = rng.below(4);
  if (form < 2) code.storeImm(8, 10, at, map.key === Key.lpm ? 32 : rng.below(6));
  else code.store(form === 2 ? map.keyBytes : 8, 10, at, SCALAR);
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: at });
  code.map(1, map.key);
  code.call(H.lookup);
  if (!check || rng.chance(0.01)) return;
  if (rng.chance(0.7)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  else {
    const found = code.label();
    code.branch(Jmp.JNE, 0, { imm: 0 }, found);
    code.jump(g.out);
    code.place(found);
  }
}

export function value(g: Draft): void {
  const map = g.rng.pick(LOOKUPS);
  lookup(g, map);
  useMemory(g, 0, map.valueBytes, map.readOnly);
}

/** One or two accesses to `size` bytes at `base`, constant or at a bounded offset. Destroys r1, r3–r5. */
export function useMemory(g: Draft, base: number, size: number, readOnly = false, unaligned = false): void {
  const { code, rng } = g;
  for (let i = rng.between(1, 2); i > 0; i--) {
    const bytes = g.size(Math.min(8, size));
    // A variable offset into a packet would have to be proven anew.
    if (rng.chance(unaligned ? 0.97 : 0.5)) {
      const most = size - bytes;
      const off = unaligned ? rng.between(0, most) : bytes * rng.between(0, Math.floor(most / bytes));
      access(g, base, bytes, g.near(rng.chance(0.3) ? most - (unaligned ? 0 : most % bytes) : off), readOnly);
    } else {
      const fixed = unaligned ? rng.below(4) : bytes * rng.below(2);
      const most = size - bytes - fixed;
      if (most < 0) continue;
      if (rng.chance(0.5)) code.mov(1, SCALAR);
      else if (base === 0) code.load(1, 1, 10, -1 - rng.below(INIT_BYTES));
      else code.load(4, 1, CTX === base ? CTX : 10, -4 * rng.between(1, 16));
      const scale = unaligned ? 0 : Math.log2(bytes);
      bound(g, 1, most >> scale);
      if (scale) code.alu(Alu.LSH, 1, { imm: scale });
      address(g, 3, base, 0, 1);
      access(g, 3, bytes, g.near(fixed), readOnly);
    }
  }
}

export function keepValue(g: Draft): void {
  const map = g.rng.pick(LOOKUPS);
  lookup(g, map);
  g.code.mov(KEPT, 0);
  g.kept = { kind: 'value', bytes: map.valueBytes, readOnly: map.readOnly };
}

export function useKept(g: Draft): void {
  if (!g.kept) {
    stackConstant(g);
    return;
  }
  useMemory(g, KEPT, g.kept.bytes, g.kept.readOnly, g.kept.kind === 'packet');
}

export function atomic(g: Draft): void {
  const { code, rng } = g;
  const bytes = rng.pick([4, 8] as const);
  const op = rng.pick([
    Atomic.ADD,
    Atomic.OR,
    Atomic.AND,
    Atomic.XOR,
    Atomic.ADD | Atomic.FETCH,
    Atomic.XCHG,
    Atomic.CMPXCHG,
    Atomic.LOAD_ACQ,
    Atomic.STORE_REL,
  ]);
  const load = op === Atomic.LOAD_ACQ;
  if (rng.chance(0.5)) {
    const off = g.near(-bytes * rng.between(1, INIT_BYTES / bytes));
    code.mov(0, SCALAR);
    if (load) code.op(Class.STX | Mode.ATOMIC | SIZE_BITS[bytes], SCALAR, 10, off, op);
    else code.atomic(bytes, op, 10, off, SCALAR);
  } else {
    const map = LOOKUPS[rng.below(4)];
    lookup(g, map);
    code.mov(1, 0);
    code.mov(0, SCALAR);
    const off = g.near(bytes * rng.below(Math.floor(map.valueBytes / bytes)));
    if (load) code.op(Class.STX | Mode.ATOMIC | SIZE_BITS[bytes], SCALAR, 1, off, op);
    else code.atomic(bytes, op, 1, off, SCALAR);
  }
}

export function constants(g: Draft): void {
  const { code, rng } = g;
  code.mapValue(1, Key.constants, g.near(rng.below(4) * 8));
  code.load(rng.pick([1, 8]), 2, 1, 0);
  lookup(g, LOOKUPS[0]);
  code.mapValue(3, Key.constants, 16);
  code.load(1, 1, 3, rng.pick([0, 1, 8]));
  if (rng.chance(0.8)) bound(g, 1, 40);
  address(g, 3, 0, 0, 1);
  access(g, 3, 1, 0);
}

export function inner(g: Draft): void {
  const { code, rng } = g;
  code.storeImm(8, 10, -136, rng.below(3));
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: -136 });
  code.map(1, Key.outer);
  code.call(H.lookup);
  if (rng.chance(0.98)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  code.mov(1, 0);
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: -136 });
  code.call(H.lookup);
  if (rng.chance(0.98)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  useMemory(g, 0, 48);
}

export function mapWrite(g: Draft): void {
  const { code, rng } = g;
  const map = LOOKUPS[rng.pick([0, 1, 2, 3])];
  code.storeImm(8, 10, -136, rng.below(6));
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: -136 });
  code.map(1, map.key);
  if (rng.chance(0.3)) {
    code.call(H.delete);
    return;
  }
  code.mov(3, 10);
  code.alu(Alu.ADD, 3, { imm: rng.chance(0.95) ? -56 : -map.valueBytes + rng.pick([0, 8]) });
  code.movImm(4, rng.below(3));
  code.call(H.update);
}

export function queue(g: Draft): void {
  const { code, rng } = g;
  const map = rng.pick([Key.queue, Key.stack, Key.bloom]);
  code.map(1, map);
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: g.near(rng.chance(0.5) ? -16 : -160) });
  if (rng.chance(0.4) || map === Key.bloom) {
    code.storeImm(8, 10, -160, 5);
    code.storeImm(8, 10, -152, 5);
    if (rng.chance(0.5)) {
      code.movImm(3, rng.below(map === Key.bloom ? 1 : 3));
      code.call(H.push);
    } else code.call(H.peek);
  } else code.call(rng.pick([H.pop, H.peek]));
}

export function locked(g: Draft): void {
  const { code, rng } = g;
  if (g.inLoop || g.type === 'socket_filter') {
    noise(g);
    return;
  }
  code.storeImm(4, 10, -136, rng.below(3));
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: -136 });
  code.map(1, Key.locked);
  code.call(H.lookup);
  code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  code.mov(KEPT, 0);
  g.kept = undefined;
  code.mov(1, KEPT);
  code.call(H.spinLock);
  code.storeImm(4, KEPT, g.near(rng.pick([4, 8, 12])), 1);
  if (rng.chance(0.4)) code.load(4, 3, KEPT, 4);
  code.mov(1, KEPT);
  if (rng.chance(0.98)) code.call(H.spinUnlock);
}

/** A key that is one constant or another: a lookup in an array that is sure to succeed needs no check. */
export function constantKey(g: Draft): void {
  const { code, rng } = g;
  g.either(1, rng.below(4), rng.pick([0, 1, 3, 4, 9]));
  const at = rng.pick([-136, -140]);
  code.store(rng.chance(0.8) ? 4 : 8, 10, rng.chance(0.8) ? at : -136, 1);
  code.mov(2, 10);
  code.alu(Alu.ADD, 2, { imm: at });
  code.map(1, Key.array);
  code.call(H.lookup);
  if (rng.chance(0.15)) code.branch(Jmp.JEQ, 0, { imm: 0 }, g.out);
  useMemory(g, 0, 48);
}

/** Not NULL because it equals what is not, or so it is made to seem. */
export function equalPointers(g: Draft): void {
  const { code, rng } = g;
  lookup(g, rng.pick(LOOKUPS), false);
  const other = rng.pick([10, KEPT, 0]);
  code.mov(1, other === KEPT && !g.kept ? 10 : other);
  if (rng.chance(0.2)) code.alu(Alu.ADD, 1, { imm: rng.pick([-8, 8, -(1 << 20)]) });
  const jump = rng.chance(0.8) ? Jmp.JNE : Jmp.JEQ;
  const [a, b] = rng.pick([
    [0, 1],
    [1, 0],
  ]);
  code.branch(jump, a, { reg: b }, g.out);
  access(g, rng.chance(0.7) ? 0 : 1, 1, g.near(0));
}
