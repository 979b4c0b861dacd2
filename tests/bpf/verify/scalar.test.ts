import { Alu, Jmp } from '../../../host/bpf/insn.js';
import { allows, constant, type Scalar, UNKNOWN, within } from '../../../host/bpf/verify/scalar.js';
import { aluScalar } from '../../../host/bpf/verify/scalar_alu.js';
import { intersect, loadRange, union } from '../../../host/bpf/verify/scalar_draft.js';
import { branchTaken, refine } from '../../../host/bpf/verify/scalar_jump.js';
import { signExtend, truncate, zext32 } from '../../../host/bpf/verify/scalar_width.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('verify: scalar domain');
const ROUNDS = 20_000;

/** splitmix64: one seed, the same run every time. */
function generator(seed: bigint): () => bigint {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
}

const EDGES = [
  0n,
  1n,
  2n,
  31n,
  32n,
  63n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0x7fff_ffffn,
  0x8000_0000n,
  0xffff_ffffn,
  0x1_0000_0000n,
  0x7fff_ffff_ffff_ffffn,
  0x8000_0000_0000_0000n,
  0xffff_ffff_8000_0000n,
  0xffff_ffff_ffff_ffffn,
];

function anyValue(next: () => bigint): bigint {
  const r = next();
  const edge = EDGES[Number(r % BigInt(EDGES.length))];
  switch ((r >> 8n) & 3n) {
    case 0n:
      return edge;
    case 1n:
      return BigInt.asUintN(64, edge + ((r >> 16n) & 15n) - 8n);
    case 2n:
      return next() >> ((r >> 16n) & 63n);
    default:
      return next();
  }
}

/** An abstract value and some concrete ones that it allows, built the way the verifier builds them. */
function anyScalar(next: () => bigint): { s: Scalar; members: bigint[] } {
  const members = Array.from({ length: Number(next() % 3n) + 1 }, () => anyValue(next));
  let s = members.map(constant).reduce(union);
  switch (next() % 6n) {
    case 0n: {
      const mask = anyValue(next);
      s = aluScalar(Alu.AND, true, s, constant(mask));
      return { s, members: members.map(m => m & mask) };
    }
    case 1n:
      return { s: zext32(s), members: members.map(m => m & 0xffff_ffffn) };
    case 2n: {
      const by = anyValue(next);
      s = aluScalar(Alu.ADD, true, s, constant(by));
      return { s, members: members.map(m => BigInt.asUintN(64, m + by)) };
    }
    default:
      return { s, members };
  }
}

const u64 = (n: bigint): bigint => BigInt.asUintN(64, n);
const u32 = (n: bigint): bigint => BigInt.asUintN(32, n);

/** What the machine computes (RFC 9669 §4.1). */
function machine(op: number, is64: boolean, a: bigint, b: bigint): bigint {
  const w = is64 ? 64 : 32;
  const cut = is64 ? u64 : u32;
  const x = cut(a);
  const y = cut(b);
  const by = y & BigInt(w - 1);
  switch (op) {
    case Alu.ADD:
      return cut(x + y);
    case Alu.SUB:
      return cut(x - y);
    case Alu.MUL:
      return cut(x * y);
    case Alu.DIV:
      return y === 0n ? 0n : x / y;
    case Alu.MOD:
      return y === 0n ? x : x % y;
    case Alu.OR:
      return x | y;
    case Alu.AND:
      return x & y;
    case Alu.XOR:
      return x ^ y;
    case Alu.LSH:
      return cut(x << by);
    case Alu.RSH:
      return x >> by;
    case Alu.ARSH:
      return cut(BigInt.asIntN(w, x) >> by);
    default:
      return cut(-x);
  }
}

function jumps(op: number, is64: boolean, a: bigint, b: bigint): boolean {
  const w = is64 ? 64 : 32;
  const x = BigInt.asUintN(w, a);
  const y = BigInt.asUintN(w, b);
  const sx = BigInt.asIntN(w, a);
  const sy = BigInt.asIntN(w, b);
  switch (op) {
    case Jmp.JEQ:
      return x === y;
    case Jmp.JNE:
      return x !== y;
    case Jmp.JSET:
      return (x & y) !== 0n;
    case Jmp.JGT:
      return x > y;
    case Jmp.JGE:
      return x >= y;
    case Jmp.JLT:
      return x < y;
    case Jmp.JLE:
      return x <= y;
    case Jmp.JSGT:
      return sx > sy;
    case Jmp.JSGE:
      return sx >= sy;
    case Jmp.JSLT:
      return sx < sy;
    default:
      return sx <= sy;
  }
}

const show = (s: Scalar): string =>
  JSON.stringify(s, (_k, v) => (typeof v === 'bigint' ? v.toString(16) : v));

test('every machine result stays inside the abstract result, for every operation and width', () => {
  const next = generator(1n);
  const ops = [
    Alu.ADD,
    Alu.SUB,
    Alu.MUL,
    Alu.DIV,
    Alu.MOD,
    Alu.OR,
    Alu.AND,
    Alu.XOR,
    Alu.LSH,
    Alu.RSH,
    Alu.ARSH,
    Alu.NEG,
  ];
  for (let i = 0; i < ROUNDS; i++) {
    const a = anyScalar(next);
    const b = anyScalar(next);
    const op = ops[i % ops.length];
    const is64 = (next() & 1n) === 0n;
    const r = aluScalar(op, is64, a.s, b.s);
    for (const x of a.members)
      for (const y of b.members) {
        const got = machine(op, is64, x, y);
        assert.ok(
          allows(r, got),
          `op ${op} ${is64} ${x} ${y} → ${got} not in ${show(r)} from ${show(a.s)} ${show(b.s)}`,
        );
      }
  }
});

test('sign extension, truncation and zero extension keep every member', () => {
  const next = generator(2n);
  for (let i = 0; i < ROUNDS; i++) {
    const { s, members } = anyScalar(next);
    for (const x of members) {
      assert.ok(allows(zext32(s), u32(x)));
      for (const bytes of [1, 2, 4] as const)
        assert.ok(allows(truncate(s, bytes), BigInt.asUintN(bytes * 8, x)));
      for (const bits of [8, 16, 32] as const) {
        assert.ok(
          allows(signExtend(s, bits, true), u64(BigInt.asIntN(bits, x))),
          `sx${bits} ${x} ${show(s)}`,
        );
        if (bits < 32) assert.ok(allows(signExtend(s, bits, false), u32(BigInt.asIntN(bits, x))));
      }
    }
  }
});

test('a decided branch is decided so for every pair, and what a branch teaches excludes no pair that takes it', () => {
  const next = generator(3n);
  const ops = [
    Jmp.JEQ,
    Jmp.JNE,
    Jmp.JSET,
    Jmp.JGT,
    Jmp.JGE,
    Jmp.JLT,
    Jmp.JLE,
    Jmp.JSGT,
    Jmp.JSGE,
    Jmp.JSLT,
    Jmp.JSLE,
  ];
  let decided = 0;
  for (let i = 0; i < ROUNDS; i++) {
    const a = anyScalar(next);
    const b = anyScalar(next);
    const op = ops[i % ops.length];
    const is64 = (next() & 1n) === 0n;
    const verdict = branchTaken(op, is64, a.s, b.s);
    if (verdict >= 0) decided++;
    const ways = { true: refine(op, is64, a.s, b.s, true), false: refine(op, is64, a.s, b.s, false) };
    for (const x of a.members)
      for (const y of b.members) {
        const taken = jumps(op, is64, x, y);
        const what = `op ${op} ${is64} ${x} ${y} ${show(a.s)} ${show(b.s)}`;
        if (verdict >= 0) assert.is(taken, verdict === 1, what);
        const way = ways[`${taken}`];
        assert.ok(way, `impossible: ${what}`);
        assert.ok(allows(way![0], x) && allows(way![1], y), what);
      }
  }
  assert.ok(decided > ROUNDS / 20, `only ${decided} branches were decided: the test is blunt`);
});

test('union, intersection and inclusion agree with their members', () => {
  const next = generator(4n);
  for (let i = 0; i < ROUNDS; i++) {
    const a = anyScalar(next);
    const b = anyScalar(next);
    const both = union(a.s, b.s);
    assert.ok(within(both, a.s) && within(both, b.s));
    const meet = intersect(a.s, b.s);
    for (const x of a.members) {
      assert.ok(allows(both, x));
      if (allows(b.s, x)) assert.ok(meet && allows(meet, x));
    }
    if (within(a.s, b.s)) for (const y of b.members) assert.ok(allows(a.s, y));
  }
});

test('precision: the idioms that compilers emit give exact ranges', () => {
  const byte = loadRange(1);
  const scaled = aluScalar(Alu.LSH, true, aluScalar(Alu.AND, true, byte, constant(15n)), constant(2n));
  assert.is(scaled.umax, 60n);
  assert.is(scaled.tm, 0x3cn);
  const word = loadRange(8);
  const below = refine(Jmp.JLT, true, word, constant(100n), true)!;
  assert.is(below[0].umax, 99n);
  assert.is(below[0].smin, 0n);
  assert.is(below[0].u32max, 99);
  const signedShift = aluScalar(
    Alu.ARSH,
    true,
    aluScalar(Alu.LSH, true, loadRange(4), constant(32n)),
    constant(32n),
  );
  assert.is(signedShift.smin, -0x8000_0000n);
  assert.is(refine(Jmp.JSGT, true, UNKNOWN, constant(5n), true)![0].umin, 6n);
  assert.is(refine(Jmp.JEQ, true, constant(4n), constant(5n), true), null);
});
