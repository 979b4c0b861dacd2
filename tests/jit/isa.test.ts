/**
 * Every instruction of RFC 9669 (cpu v1–v4) in interpreter, JIT and guarded JIT, against a reference that computes
 * each result from first principles in BigInt.
 */
import type { Insn } from '../../host/bpf/insn.js';
import { Alu, Class, Jmp, Mode, SRC_X } from '../../host/bpf/insn.js';
import { type Engines, engines, MEMORY } from '../support/engines.js';
import { exit, insn, lddw, ldx, mov, movImm, Size, spec, stx } from '../support/insns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: instruction set');

const M64 = (1n << 64n) - 1n;
const signed = (v: bigint, bits: number): bigint => {
  const m = v & ((1n << BigInt(bits)) - 1n);
  return m >> BigInt(bits - 1) ? m - (1n << BigInt(bits)) : m;
};

/** Two's complement division as the RFC has it: towards zero, x / 0 = 0, x % 0 = x. */
const divide = (x: bigint, y: bigint): bigint => (y === 0n ? 0n : x / y);
const modulo = (x: bigint, y: bigint): bigint => (y === 0n ? x : x - (x / y) * y);

type Reference = (x: bigint, y: bigint, bits: number) => bigint;
const REFERENCE: Record<string, { op: number; off?: number; f: Reference }> = {
  add: { op: Alu.ADD, f: (x, y) => x + y },
  sub: { op: Alu.SUB, f: (x, y) => x - y },
  mul: { op: Alu.MUL, f: (x, y) => x * y },
  div: { op: Alu.DIV, f: divide },
  sdiv: { op: Alu.DIV, off: 1, f: (x, y, n) => divide(signed(x, n), signed(y, n)) },
  mod: { op: Alu.MOD, f: modulo },
  smod: { op: Alu.MOD, off: 1, f: (x, y, n) => modulo(signed(x, n), signed(y, n)) },
  or: { op: Alu.OR, f: (x, y) => x | y },
  and: { op: Alu.AND, f: (x, y) => x & y },
  xor: { op: Alu.XOR, f: (x, y) => x ^ y },
  lsh: { op: Alu.LSH, f: (x, y, n) => x << (y % BigInt(n)) },
  rsh: { op: Alu.RSH, f: (x, y, n) => x >> (y % BigInt(n)) },
  arsh: { op: Alu.ARSH, f: (x, y, n) => signed(x, n) >> (y % BigInt(n)) },
  mov: { op: Alu.MOV, f: (_x, y) => y },
  movsx8: { op: Alu.MOV, off: 8, f: (_x, y) => signed(y, 8) },
  movsx16: { op: Alu.MOV, off: 16, f: (_x, y) => signed(y, 16) },
  movsx32: { op: Alu.MOV, off: 32, f: (_x, y) => signed(y, 32) },
};

const EDGES = [
  0n,
  1n,
  2n,
  7n,
  31n,
  32n,
  33n,
  63n,
  64n,
  0x7fn,
  0x80n,
  0xffn,
  0x7fffn,
  0x8000n,
  0xffffn,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
  0x100000000n,
  0x1_2345_6789n,
  0x7fffffffffffffffn,
  0x8000000000000000n,
  0x8000000000000001n,
  0xffffffff80000000n,
  0xffffffffffffff80n,
  0xfedcba9876543210n,
  M64 - 1n,
  M64,
];
const IMMEDIATES = [
  0, 1, 2, 7, 16, 31, 32, 33, 63, 127, 128, 255, 65535, 0x12345678, 2147483647, -1, -2, -128, -2147483648,
];
const WIDTHS = [Size.DW, Size.W, Size.H, Size.B];
const bytesOf = (size: number): number => ({ [Size.DW]: 8, [Size.W]: 4, [Size.H]: 2, [Size.B]: 1 })[size]!;

const tested = new Set<number>();
/** ALU programs differ in the offset field, atomics in imm: what was tested by opcode and those. */
const variants = new Set<string>();

function note(i: Insn): void {
  tested.add(i.op);
  const cls = i.op & 7;
  const atomicOp = cls === Class.STX && (i.op & 0xe0) === Mode.ATOMIC;
  const aluOp = cls === Class.ALU || cls === Class.ALU64;
  const end = aluOp && (i.op & 0xf0) === Alu.END;
  if (atomicOp || aluOp) variants.add(`${i.op}/${atomicOp || end ? i.imm : i.off}`);
}

function memory(...words: bigint[]): Uint8Array {
  const m = new Uint8Array(MEMORY);
  const dv = new DataView(m.buffer);
  words.forEach((w, i) => {
    dv.setBigUint64(i * 8, w, true);
  });
  return m;
}

const word = (m: Uint8Array, i: number): bigint =>
  new DataView(m.buffer, m.byteOffset).getBigUint64(i * 8, true);

function each(
  what: string,
  e: Engines,
  m: Uint8Array,
  check: (r0: bigint, after: Uint8Array) => string | undefined,
): void {
  for (const engine of ['interp', 'jit', 'guarded'] as const) {
    const { r0, memory: after } = e[engine](m);
    const problem = check(r0, after);
    if (problem) throw new Error(`${engine}: ${what}: ${problem}`);
  }
}

const expectR0 = (want: bigint) => (r0: bigint) =>
  r0 === (want & M64) ? undefined : `0x${r0.toString(16)}, not 0x${(want & M64).toString(16)}`;

/** r2 = first operand, r3 = second, loaded with the given widths; then `body`; r0 = r2. */
const binary = (a: number, b: number, body: Insn[]) =>
  engines(spec([mov(6, 1), ldx(a, 2, 6, 0), ldx(b, 3, 6, 8), ...body, mov(0, 2), exit()], 'unspec'));

for (const [name, { op, off, f }] of Object.entries(REFERENCE))
  for (const cls of [Class.ALU64, Class.ALU] as const) {
    const bits = cls === Class.ALU64 ? 64 : 32;
    if (off === 32 && bits === 32) continue;
    const mask = (1n << BigInt(bits)) - 1n;
    const isMovsx = op === Alu.MOV && off !== undefined;
    test(`${name}${bits === 32 ? '32' : ''} with a register`, () => {
      const i = insn(cls | op | SRC_X, 2, 3, off ?? 0, 0);
      note(i);
      for (const wa of WIDTHS)
        for (const wb of WIDTHS) {
          const e = binary(wa, wb, [i]);
          const cut = (v: bigint, w: number): bigint => v & ((1n << BigInt(bytesOf(w) * 8)) - 1n);
          for (const x of EDGES)
            for (const y of EDGES) {
              // Narrow loads of the same edges again: the widths differ, not the reference.
              if ((wa !== Size.DW || wb !== Size.DW) && (Number(x ^ y) & 3) !== 0) continue;
              const want = f(cut(x, wa) & mask, cut(y, wb) & mask, bits) & mask;
              each(
                `${name} 0x${cut(x, wa).toString(16)}, 0x${cut(y, wb).toString(16)}`,
                e,
                memory(x, y),
                expectR0(want),
              );
            }
        }
    });
    if (isMovsx) continue;
    test(`${name}${bits === 32 ? '32' : ''} with an immediate`, () => {
      for (const imm of IMMEDIATES) {
        const i = insn(cls | op, 2, 0, off ?? 0, imm);
        note(i);
        for (const wa of [Size.DW, Size.W, Size.B]) {
          const e = binary(wa, Size.DW, [i]);
          for (const x of EDGES) {
            const a = x & ((1n << BigInt(bytesOf(wa) * 8)) - 1n);
            const want = f(a & mask, BigInt(imm) & mask, bits) & mask;
            each(`${name} 0x${a.toString(16)}, ${imm}`, e, memory(x), expectR0(want));
          }
        }
      }
    });
    test(`${name}${bits === 32 ? '32' : ''} of constants`, () => {
      for (let n = 0; n < EDGES.length; n++) {
        const x = EDGES[n];
        const y = EDGES[(n * 5 + 3) % EDGES.length];
        const program = spec(
          [lddw(2, x), lddw(3, y), insn(cls | op | SRC_X, 2, 3, off ?? 0), mov(0, 2), exit()],
          'unspec',
        );
        const want = f(x & mask, y & mask, bits) & mask;
        each(
          `${name} const 0x${x.toString(16)}, 0x${y.toString(16)}`,
          engines(program),
          memory(),
          expectR0(want),
        );
      }
    });
  }

for (const [name, cls, bits] of [
  ['neg', Class.ALU64, 64],
  ['neg32', Class.ALU, 32],
] as const)
  test(name, () => {
    const i = insn(cls | Alu.NEG, 2);
    note(i);
    const mask = (1n << BigInt(bits)) - 1n;
    for (const w of WIDTHS) {
      const e = binary(w, Size.DW, [i]);
      for (const x of EDGES) {
        const a = x & ((1n << BigInt(bytesOf(w) * 8)) - 1n);
        each(`${name} 0x${a.toString(16)}`, e, memory(x), expectR0(-a & mask));
      }
    }
  });

const reversed = (v: bigint, bits: number): bigint => {
  const hex = (v & ((1n << BigInt(bits)) - 1n)).toString(16).padStart(bits / 4, '0');
  return BigInt(`0x${hex.match(/../g)!.reverse().join('')}`);
};
for (const [name, op, swap] of [
  ['le', Class.ALU | Alu.END, false],
  ['be', Class.ALU | Alu.END | SRC_X, true],
  ['bswap', Class.ALU64 | Alu.END, true],
] as const)
  for (const bits of [16, 32, 64])
    test(`${name}${bits}`, () => {
      const i = insn(op, 2, 0, 0, bits);
      note(i);
      for (const w of WIDTHS) {
        const e = binary(w, Size.DW, [i]);
        for (const x of EDGES) {
          const a = x & ((1n << BigInt(bytesOf(w) * 8)) - 1n);
          const want = swap ? reversed(a, bits) : a & ((1n << BigInt(bits)) - 1n);
          each(`${name}${bits} 0x${a.toString(16)}`, e, memory(x), expectR0(want));
        }
      }
    });

const CONDITIONS: Record<string, { op: number; f: (x: bigint, y: bigint, bits: number) => boolean }> = {
  jeq: { op: Jmp.JEQ, f: (x, y) => x === y },
  jne: { op: Jmp.JNE, f: (x, y) => x !== y },
  jgt: { op: Jmp.JGT, f: (x, y) => x > y },
  jge: { op: Jmp.JGE, f: (x, y) => x >= y },
  jlt: { op: Jmp.JLT, f: (x, y) => x < y },
  jle: { op: Jmp.JLE, f: (x, y) => x <= y },
  jset: { op: Jmp.JSET, f: (x, y) => (x & y) !== 0n },
  jsgt: { op: Jmp.JSGT, f: (x, y, n) => signed(x, n) > signed(y, n) },
  jsge: { op: Jmp.JSGE, f: (x, y, n) => signed(x, n) >= signed(y, n) },
  jslt: { op: Jmp.JSLT, f: (x, y, n) => signed(x, n) < signed(y, n) },
  jsle: { op: Jmp.JSLE, f: (x, y, n) => signed(x, n) <= signed(y, n) },
};
for (const [name, { op, f }] of Object.entries(CONDITIONS))
  for (const cls of [Class.JMP, Class.JMP32] as const) {
    const bits = cls === Class.JMP ? 64 : 32;
    const mask = (1n << BigInt(bits)) - 1n;
    const suffix = bits === 32 ? '32' : '';
    /** Taken: r2 = 1, else 0. Both shapes of the jump, so that the condition is also emitted negated. */
    const shapes = (jump: (off: number) => Insn): Insn[][] => [
      [movImm(4, 1), jump(1), movImm(4, 0), mov(2, 4)],
      [jump(2), movImm(2, 0), insn(Class.JMP | Jmp.JA, 0, 0, 1), movImm(2, 1)],
    ];
    test(`${name}${suffix} with a register`, () => {
      note(insn(cls | op | SRC_X));
      for (const w of WIDTHS)
        for (const body of shapes(off => insn(cls | op | SRC_X, 2, 3, off))) {
          const e = binary(w, w, body);
          const cut = (1n << BigInt(bytesOf(w) * 8)) - 1n;
          for (const x of EDGES)
            for (const y of EDGES)
              each(
                `${name}${suffix} 0x${(x & cut).toString(16)}, 0x${(y & cut).toString(16)}`,
                e,
                memory(x, y),
                expectR0(f(x & cut & mask, y & cut & mask, bits) ? 1n : 0n),
              );
        }
    });
    test(`${name}${suffix} with an immediate`, () => {
      for (const imm of IMMEDIATES) {
        note(insn(cls | op));
        for (const w of [Size.DW, Size.W])
          for (const body of shapes(off => insn(cls | op, 2, 0, off, imm))) {
            const e = binary(w, w, body);
            const cut = (1n << BigInt(bytesOf(w) * 8)) - 1n;
            for (const x of EDGES)
              each(
                `${name}${suffix} 0x${(x & cut).toString(16)}, ${imm}`,
                e,
                memory(x),
                expectR0(f(x & cut & mask, BigInt(imm) & mask, bits) ? 1n : 0n),
              );
          }
      }
    });
  }

test('loads of every width, zero- and sign-extended', () => {
  for (const size of WIDTHS)
    for (const mode of [Mode.MEM, Mode.MEMSX]) {
      if (mode === Mode.MEMSX && size === Size.DW) continue;
      const i = insn(Class.LDX | mode | size, 2, 6, 0);
      note(i);
      const e = engines(spec([mov(6, 1), i, mov(0, 2), exit()], 'unspec'));
      const bits = bytesOf(size) * 8;
      for (const x of EDGES) {
        const low = x & ((1n << BigInt(bits)) - 1n);
        each(`load ${bits}`, e, memory(x), expectR0(mode === Mode.MEMSX ? signed(low, bits) : low));
      }
    }
});

test('stores of every width, from a register and of an immediate, at positive and negative offsets', () => {
  for (const size of WIDTHS)
    for (const off of [16, -8]) {
      const n = bytesOf(size);
      const bits = BigInt(n * 8);
      const at = (24 + off) / 8;
      const before = M64 - 0x0102030405060708n;
      const fill = memory(0n, 0n, before, before, before, before, before, before);
      const merged = (v: bigint): bigint => (before & ~((1n << bits) - 1n)) | (v & ((1n << bits) - 1n));
      const base = [mov(6, 1), insn(Class.ALU64 | Alu.ADD, 6, 0, 0, 24)];
      const x = stx(size, 6, off, 3);
      note(x);
      const e = engines(spec([...base, ldx(Size.DW, 3, 1, 0), x, movImm(0, 0), exit()], 'unspec'));
      for (const v of EDGES) {
        const m = fill.slice();
        new DataView(m.buffer).setBigUint64(0, v, true);
        each(`stx ${n}`, e, m, (_r0, after) =>
          word(after, at) === merged(v) ? undefined : 'memory differs',
        );
      }
      for (const imm of IMMEDIATES) {
        const i = insn(Class.ST | Mode.MEM | size, 6, 0, off, imm);
        note(i);
        each(
          `st ${n} ${imm}`,
          engines(spec([...base, i, movImm(0, 0), exit()], 'unspec')),
          fill,
          (_r0, after) => (word(after, at) === merged(BigInt(imm)) ? undefined : 'memory differs'),
        );
      }
    }
});

const ATOMICS: Record<string, { imm: number; f: (old: bigint, operand: bigint, r0: bigint) => bigint }> = {
  add: { imm: 0x00, f: (o, v) => o + v },
  or: { imm: 0x40, f: (o, v) => o | v },
  and: { imm: 0x50, f: (o, v) => o & v },
  xor: { imm: 0xa0, f: (o, v) => o ^ v },
  fetch_add: { imm: 0x01, f: (o, v) => o + v },
  fetch_or: { imm: 0x41, f: (o, v) => o | v },
  fetch_and: { imm: 0x51, f: (o, v) => o & v },
  fetch_xor: { imm: 0xa1, f: (o, v) => o ^ v },
  xchg: { imm: 0xe1, f: (_o, v) => v },
  cmpxchg: { imm: 0xf1, f: (o, v, r0) => (o === r0 ? v : o) },
};
for (const [name, { imm, f }] of Object.entries(ATOMICS))
  test(`atomic ${name}, 32 and 64 bits`, () => {
    for (const size of [Size.W, Size.DW]) {
      const i = insn(Class.STX | Mode.ATOMIC | size, 6, 3, 16, imm);
      note(i);
      const mask = (1n << BigInt(bytesOf(size) * 8)) - 1n;
      // memory: [0] operand, [1] r0, [2] target, [3] operand register afterwards
      const e = engines(
        spec(
          [mov(6, 1), ldx(Size.DW, 3, 6, 0), ldx(Size.DW, 0, 6, 8), i, stx(Size.DW, 6, 24, 3), exit()],
          'unspec',
        ),
      );
      for (const operand of EDGES)
        for (const target of EDGES)
          for (const r0 of [target, target & mask, 5n]) {
            const old = target & mask;
            const next = f(old, operand & mask, r0 & mask) & mask;
            const wantR0 = name === 'cmpxchg' ? old : r0;
            const wantSrc = (imm & 1) !== 0 && name !== 'cmpxchg' ? old : operand;
            each(`${name} ${bytesOf(size)}`, e, memory(operand, r0, target), (got, after) => {
              if (word(after, 2) !== ((target & ~mask) | next)) return 'memory differs';
              if (got !== wantR0) return `r0 0x${got.toString(16)}`;
              return word(after, 3) === wantSrc ? undefined : 'source register differs';
            });
          }
    }
  });

test('load-acquire and store-release of every width (Linux)', () => {
  for (const size of WIDTHS) {
    const load = insn(Class.STX | Mode.ATOMIC | size, 2, 6, 0, 0x100);
    const store = insn(Class.STX | Mode.ATOMIC | size, 6, 2, 8, 0x110);
    note(load);
    note(store);
    const e = engines(spec([mov(6, 1), load, store, mov(0, 2), exit()], 'unspec'));
    const mask = (1n << BigInt(bytesOf(size) * 8)) - 1n;
    for (const x of EDGES)
      each('acquire/release', e, memory(x, M64), (r0, after) =>
        r0 === (x & mask) && word(after, 1) === ((M64 & ~mask) | (x & mask)) ? undefined : 'differs',
      );
  }
});

test('lddw, ja, ja32, call and exit', () => {
  for (const x of EDGES) {
    note(lddw(0, x)[0]);
    each('lddw', engines(spec([lddw(0, x), exit()], 'unspec')), memory(), expectR0(x));
  }
  for (const jump of [insn(0x05, 0, 0, 1), insn(0x06, 0, 0, 0, 1)]) {
    note(jump);
    each('ja', engines(spec([movImm(0, 1), jump, movImm(0, 2), exit()], 'unspec')), memory(), expectR0(1n));
  }
  for (const jump of [insn(0x05, 0, 0, -3), insn(0x06, 0, 0, 0, -3)])
    each(
      'ja back',
      engines(spec([movImm(0, 1), insn(0x05, 0, 0, 2), movImm(0, 9), exit(), jump], 'unspec')),
      memory(),
      expectR0(9n),
    );
  const call = insn(0x85, 0, 1, 0, 1);
  note(call);
  note(exit());
  each(
    'call',
    engines(spec([movImm(1, 20), call, exit(), mov(0, 1), exit()], 'unspec')),
    memory(),
    expectR0(20n),
  );
});

test('no instruction of RFC 9669 was forgotten', () => {
  const all = new Set<number>([0x18, 0x05, 0x06, 0x85, 0x95]);
  const wanted = new Set<string>();
  for (const cls of [Class.ALU, Class.ALU64])
    for (const [, { op, off }] of Object.entries(REFERENCE))
      for (const source of [0, SRC_X]) {
        if (off && op === Alu.MOV && (source === 0 || (off === 32 && cls === Class.ALU))) continue;
        all.add(cls | op | source);
        wanted.add(`${cls | op | source}/${off ?? 0}`);
      }
  for (const op of [Class.ALU | Alu.END, Class.ALU | Alu.END | SRC_X, Class.ALU64 | Alu.END])
    for (const bits of [16, 32, 64]) wanted.add(`${op}/${bits}`);
  for (const op of [Class.ALU | Alu.NEG, Class.ALU64 | Alu.NEG]) wanted.add(`${op}/0`);
  for (const cls of [Class.JMP, Class.JMP32])
    for (const op of [0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70, 0xa0, 0xb0, 0xc0, 0xd0])
      for (const source of [0, SRC_X]) all.add(cls | op | source);
  for (const size of [0x00, 0x08, 0x10, 0x18]) {
    all
      .add(0x61 | size)
      .add(0x62 | size)
      .add(0x63 | size);
    if (size !== 0x18) all.add(0x81 | size);
    if (size === 0x00 || size === 0x18)
      for (const imm of [0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1])
        wanted.add(`${0xc3 | size}/${imm}`);
  }
  const missing = [
    ...[...all].filter(op => !tested.has(op)).map(op => `0x${op.toString(16)}`),
    ...[...wanted].filter(v => !variants.has(v)),
  ];
  assert.equal(missing, []);
});
