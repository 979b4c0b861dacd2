import { Class, type Insn, Jmp as J, SRC_X } from '../../host/bpf/insn.js';
import { interpret } from '../../host/bpf/interp/interpret.js';
import { buildGraph, finishGraph } from '../../host/bpf/jit/cfg.js';
import { compileGuarded, compileProgram } from '../../host/bpf/jit/compile.js';
import type { MapBinding } from '../../host/bpf/jit/compiled.js';
import { GuardedProgram, GuardFault } from '../../host/bpf/jit/guarded.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import type { ProgramSpec } from '../../host/bpf/spec.js';
import { MapHeaderLayout, MapHeaderView, MapType } from '../../host/layout/layout.gen.js';
import { arena, claimVerified, core, engines, MEMORY, memoryAt } from '../support/engines.js';
import {
  Alu,
  alu,
  aluImm,
  atomic,
  call,
  callLocal,
  exit,
  insn,
  Jmp,
  ja,
  jmp,
  jmpImm,
  lddw,
  lddwFunc,
  lddwMap,
  ldx,
  mov,
  movImm,
  Size,
  spec,
  st,
  stx,
} from '../support/insns.js';
import { randomBelow } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: control flow and calls');

const none: Uint8Array = new Uint8Array(MEMORY);
const words = (...w: bigint[]): Uint8Array => {
  const m = new Uint8Array(MEMORY);
  w.forEach((v, i) => {
    new DataView(m.buffer).setBigUint64(i * 8, v, true);
  });
  return m;
};

function isReducible(insns: readonly Insn[]): boolean {
  const graph = buildGraph(insns, 0);
  finishGraph(graph);
  return graph.reducible;
}

/** r0 of all engines, which must agree on it and on the memory. */
function agreed(program: ProgramSpec, memory = none): bigint {
  const e = engines(program);
  const want = e.interp(memory);
  for (const engine of ['jit', 'guarded'] as const) {
    const got = e[engine](memory);
    assert.is(got.r0, want.r0, engine);
    assert.equal(got.memory, want.memory, engine);
  }
  return want.r0;
}

test('nested loops with breaks', () => {
  // for (i = 0; i < 10; i++) for (j = 0; j < i; j++) { if (j == 5) break; sum += i * j }
  const program = spec(
    [
      movImm(0, 0),
      movImm(6, 0),
      movImm(7, 0),
      jmp(Jmp.JGE, 7, 6, 6),
      jmpImm(Jmp.JEQ, 7, 5, 5),
      mov(8, 6),
      alu(Alu.MUL, 8, 7),
      alu(Alu.ADD, 0, 8),
      aluImm(Alu.ADD, 7, 1),
      ja(-7),
      aluImm(Alu.ADD, 6, 1),
      jmpImm(Jmp.JLT, 6, 10, -10),
      exit(),
    ],
    'unspec',
  );
  let want = 0;
  for (let i = 0; i < 10; i++) for (let j = 0; j < i && j !== 5; j++) want += i * j;
  assert.is(agreed(program), BigInt(want));
});

test('a loop entered in its middle is irreducible and runs by dispatch', () => {
  const insns = [
    ldx(Size.DW, 2, 1, 0),
    movImm(0, 0),
    jmpImm(Jmp.JEQ, 2, 0, 2),
    // A:
    aluImm(Alu.ADD, 0, 1),
    jmpImm(Jmp.JGT, 0, 100, 3),
    // B:
    aluImm(Alu.ADD, 0, 10),
    jmpImm(Jmp.JGT, 0, 100, 1),
    ja(-5),
    exit(),
  ];
  assert.not.ok(isReducible(insns));
  assert.is(agreed(spec(insns, 'unspec'), words(0n)), 109n);
  assert.is(agreed(spec(insns, 'unspec'), words(1n)), 110n);
});

test('random control flow: 400 programs, any jump goes anywhere', () => {
  const next = randomBelow(20261121);
  let irreducible = 0;
  for (let n = 0; n < 400; n++) {
    const blocks = 3 + next(12);
    const insns: Insn[] = [movImm(0, 0), ldx(Size.DW, 2, 1, 0), movImm(9, 300)];
    const head = insns.length;
    const BLOCK = 5;
    for (let b = 0; b < blocks; b++) {
      const at = insns.length;
      const to = (k: number): number => head + next(blocks) * BLOCK - (at + k + 1);
      insns.push(
        insn(Class.ALU64 | Alu.MUL, 0, 0, 0, 33),
        aluImm(Alu.ADD, 0, b),
        // Every loop ends: r9 counts down.
        aluImm(Alu.SUB, 9, 1),
        jmpImm(Jmp.JSLE, 9, 0, head + blocks * BLOCK - (at + 4)),
        next(3) === 0 ? ja(to(4)) : insn(Class.JMP | Jmp.JSET, 0, 0, to(4), 1 << next(8)),
      );
    }
    insns.push(exit());
    if (!isReducible(insns)) irreducible++;
    agreed(spec(insns, 'unspec'), words(BigInt(n)));
  }
  assert.ok(irreducible > 100, `${irreducible} irreducible`);
});

test('2,000 nested branches and 20,000 straight instructions', () => {
  const deep: Insn[] = [ldx(Size.DW, 2, 1, 0), movImm(0, 0)];
  const n = 2000;
  for (let i = 0; i < n; i++) deep.push(jmpImm(Jmp.JLT, 2, i, 2 * (n - i) - 1), aluImm(Alu.ADD, 0, 1));
  deep.push(exit());
  assert.is(agreed(spec(deep, 'unspec'), words(1500n)), 1501n);
  const nest: Insn[] = [ldx(Size.DW, 2, 1, 0)];
  for (let i = 0; i < n; i++) nest.push(jmpImm(Jmp.JEQ, 2, i, 2), movImm(0, i), exit());
  nest.push(movImm(0, -1), exit());
  // Each taken jump skips the exit and asks again.
  assert.is(agreed(spec(nest, 'unspec'), words(7n)), 0n);
  const long = [
    ldx(Size.DW, 0, 1, 0),
    ...Array.from({ length: 20_000 }, (_, i) => aluImm(i % 2 ? Alu.ADD : Alu.XOR, 0, i)),
    exit(),
  ];
  agreed(spec(long, 'unspec'), words(3n));
});

test('a function gets its arguments and its own frame; the caller keeps r6–r9', () => {
  const program = spec(
    [
      movImm(6, 6),
      movImm(1, 1),
      movImm(2, 2),
      movImm(3, 3),
      movImm(4, 4),
      movImm(5, 5),
      st(Size.DW, 10, -8, 100),
      callLocal(4),
      alu(Alu.ADD, 0, 6),
      ldx(Size.DW, 1, 10, -8),
      alu(Alu.ADD, 0, 1),
      exit(),
      st(Size.DW, 10, -8, 0),
      movImm(6, 1000),
      mov(0, 1),
      ...[2, 3, 4, 5].flatMap(r => [aluImm(Alu.MUL, 0, 10), alu(Alu.ADD, 0, r)]),
      exit(),
    ],
    'unspec',
  );
  assert.is(agreed(program), 12345n + 106n);
});

test('recursion runs in guarded mode until the stack is spent', () => {
  // f(n) = n == 0 ? 0 : n + f(n - 1)
  const program = spec(
    [
      ldx(Size.DW, 1, 1, 0),
      callLocal(1),
      exit(),
      mov(6, 1),
      movImm(0, 0),
      jmpImm(Jmp.JEQ, 6, 0, 3),
      aluImm(Alu.SUB, 1, 1),
      callLocal(-5),
      alu(Alu.ADD, 0, 6),
      exit(),
    ],
    'unspec',
  );
  const e = engines(program);
  assert.is(e.guarded(words(4n)).r0, 10n);
  assert.is(e.interp(words(4n)).r0, 10n);
  try {
    e.guarded(words(100n));
    assert.unreachable();
  } catch (error) {
    assert.instance(error, GuardFault);
    assert.is((error as GuardFault).reason, 'stack');
  }
});

/** An array-like map by hand. */
function map(type: number, valueSize: number, maxEntries: number) {
  const at = arena.maps.alloc(MapHeaderLayout.size, 64);
  const header = new MapHeaderView(arena.dv, at);
  header.type = type;
  header.keySize = 4;
  header.valueSize = valueSize;
  header.maxEntries = maxEntries;
  header.stride = Math.ceil(valueSize / 8) * 8;
  header.laneStride = header.stride * maxEntries;
  header.lanes = 2;
  header.dataBytes = header.laneStride * 2;
  header.dataAt = arena.maps.alloc(header.dataBytes, 64);
  return { at, header };
}

const compiledRun = (program: ProgramSpec, maps: MapBinding, slots = 1): ProgramExports =>
  instantiateProgram(compileProgram(claimVerified(program), maps), core, arena, slots)
    .exports as unknown as ProgramExports;

const mapSpec = (type: 'array' | 'percpu_array' | 'prog_array', valueSize: number, maxEntries: number) => ({
  name: 'm',
  type,
  keySize: 4,
  valueSize,
  maxEntries,
  flags: 0,
});

test('array lookups are inlined: in range, out of range, constant and variable key, with and without known places', () => {
  for (const type of ['array', 'percpu_array'] as const) {
    const { at, header } = map(type === 'array' ? MapType.ARRAY : MapType.PERCPU_ARRAY, 12, 5);
    const lane = type === 'array' ? 0 : core.lane;
    for (let i = 0; i < 5; i++)
      arena.dv.setUint32(header.dataAt + lane * header.laneStride + i * header.stride, 1000 + i, true);
    const m = mapSpec(type, 12, 5);
    const known = { dataAt: header.dataAt, stride: header.stride, laneStride: header.laneStride };
    const tail = [call(1), jmpImm(Jmp.JEQ, 0, 0, 1), ldx(Size.W, 0, 0, 0), exit()];
    const args = [mov(2, 10), aluImm(Alu.ADD, 2, -4)];
    for (const bound of [
      { spec: m, addr: at },
      { spec: m, addr: at, ...known },
    ])
      for (const key of [0, 3, 4, 5, -1]) {
        const want = key >= 0 && key < 5 ? BigInt(1000 + key) : 0n;
        const constant = spec([st(Size.W, 10, -4, key), lddwMap(1, 7), ...args, ...tail], 'unspec', {
          maps: { 7: m },
        });
        assert.is(compiledRun(constant, { 7: bound }).run(memoryAt), want);
        const variable = spec(
          [ldx(Size.W, 3, 1, 0), stx(Size.W, 10, -4, 3), lddwMap(1, 7), ...args, ...tail],
          'unspec',
          { maps: { 7: m } },
        );
        arena.dv.setInt32(memoryAt, key, true);
        assert.is(compiledRun(variable, { 7: bound }).run(memoryAt), want);
      }
  }
});

test('tail calls: 33 succeed, the 34th falls through, and the count starts anew with every run', () => {
  const { at, header } = map(MapType.PROG_ARRAY, 4, 2);
  const m = mapSpec('prog_array', 4, 2);
  const slots = 20;
  arena.dv.setUint32(header.dataAt, slots + 1, true);
  const program = spec(
    [
      ldx(Size.W, 7, 1, 0),
      aluImm(Alu.ADD, 7, 1),
      stx(Size.W, 1, 0, 7),
      lddwMap(2, 1),
      movImm(3, 0),
      call(12),
      mov(0, 7),
      exit(),
    ],
    'unspec',
    { maps: { 1: m } },
  );
  const { run } = compiledRun(program, { 1: { spec: m, addr: at } }, slots);
  for (let round = 0; round < 3; round++) {
    arena.dv.setUint32(memoryAt, 0, true);
    assert.is(run(memoryAt), 34n);
  }
  // Index out of range and empty slot fall through.
  for (const index of [1, 2, -1]) {
    const other = spec([lddwMap(2, 1), movImm(3, index), call(12), movImm(0, 9), exit()], 'unspec', {
      maps: { 1: m },
    });
    assert.is(compiledRun(other, { 1: { spec: m, addr: at } }, slots + 4).run(memoryAt), 9n);
  }
});

test('a tail call from a subprogram returns to the caller, whose frame is intact', () => {
  const { at, header } = map(MapType.PROG_ARRAY, 4, 1);
  const m = mapSpec('prog_array', 4, 1);
  const maps = { 1: { spec: m, addr: at } };
  const target = spec(
    [st(Size.DW, 10, -8, 5), mov(2, 10), ldx(Size.DW, 0, 2, -8), atomic(Size.DW, 0, 10, -8, 0), exit()],
    'unspec',
  );
  compiledRun(target, {}, 40);
  arena.dv.setUint32(header.dataAt, 41, true);
  const program = spec(
    [
      movImm(2, 1000),
      stx(Size.DW, 10, -8, 2),
      atomic(Size.DW, 0, 10, -8, 2),
      callLocal(3),
      ldx(Size.DW, 1, 10, -8),
      alu(Alu.ADD, 0, 1),
      exit(),
      lddwMap(2, 1),
      movImm(3, 0),
      call(12),
      movImm(0, 77),
      exit(),
    ],
    'unspec',
    { maps: { 1: m } },
  );
  const { run } = compiledRun(program, maps, 30);
  for (let i = 0; i < 3; i++) assert.is(run(memoryAt), 2005n);
  assert.is(arena.lane(core.lane).entryFp, arena.lane(core.lane).stackTop);
  const tailTarget = () => ({ spec: target, maps: {} });
  assert.is(interpret(program, { arena, core, ctx: memoryAt, maps, tailTarget }).r0, 2005n);
});

test('bpf_loop: counts, stops at 1, refuses flags and too many rounds', () => {
  const program = (n: number, flags: number) =>
    spec(
      [
        st(Size.DW, 10, -8, 0),
        movImm(1, n),
        lddwFunc(2, 8),
        mov(3, 10),
        aluImm(Alu.ADD, 3, -8),
        movImm(4, flags),
        call(181),
        ldx(Size.DW, 1, 10, -8),
        alu(Alu.ADD, 0, 1),
        exit(),
        ldx(Size.DW, 3, 2, 0),
        alu(Alu.ADD, 3, 1),
        stx(Size.DW, 2, 0, 3),
        movImm(0, 0),
        jmpImm(Jmp.JNE, 1, 50, 1),
        movImm(0, 1),
        exit(),
      ],
      'unspec',
    );
  for (const [n, flags] of [
    [0, 0],
    [10, 0],
    [100, 0],
    [1, 1],
    [(1 << 23) + 1, 0],
  ]) {
    const p = program(n, flags);
    const want = interpret(p, { arena, core, ctx: memoryAt }).r0;
    assert.is(BigInt.asUintN(64, compiledRun(p, {}, 50).run(memoryAt)), want, `${n} rounds, flags ${flags}`);
  }
});

test('may_goto stops an endless loop', () => {
  const program = spec(
    [movImm(0, 0), insn(Class.JMP | J.JCOND, 0, 0, 2), aluImm(Alu.ADD, 0, 1), ja(-3), exit()],
    'unspec',
  );
  assert.is(compiledRun(program, {}, 60).run(memoryAt), 8n * 1024n * 1024n);
});

test('spilled values come back, of every width and at several places', () => {
  const next = randomBelow(7);
  for (let n = 0; n < 200; n++) {
    const insns: Insn[] = [ldx(Size.DW, 2, 1, 0), ldx(Size.DW, 3, 1, 8)];
    const places = Array.from({ length: 6 }, (_, i) => ({
      size: [Size.DW, Size.W, Size.H, Size.B][next(4)],
      off: -8 * (i + 1),
    }));
    for (const p of places) insns.push(st(Size.DW, 10, p.off, 0));
    // Half of the programs access each place by one width only: those are promoted.
    const pure = n % 2 === 0;
    if (pure) insns.splice(2, places.length, ...places.map(p => st(p.size, 10, p.off, 1)));
    for (let i = 0; i < 20; i++) {
      const p = places[next(places.length)];
      const reg = 2 + next(2);
      if (next(2)) insns.push(stx(p.size, 10, p.off, reg));
      else if (p.size !== Size.DW && next(3) === 0)
        insns.push(insn(Class.LDX | 0x80 | p.size, reg, 10, p.off));
      else insns.push(ldx(p.size, reg, 10, p.off));
      insns.push(insn(Class.ALU64 | [Alu.ADD, Alu.XOR, Alu.MUL][next(3)] | SRC_X, reg, 5 - reg));
      if (next(3) === 0) insns.push(jmpImm(Jmp.JSET, reg, 1 << next(4), 1), st(p.size, 10, p.off, next(100)));
    }
    insns.push(mov(0, 2), alu(Alu.XOR, 0, 3), exit());
    agreed(spec(insns, 'unspec'), words(0x1234_5678_9abcn * BigInt(n + 1), BigInt(n)));
  }
});

test('guarded faults name the instruction, the address and the reason', () => {
  const run = (insns: (Insn | Insn[])[], fuel = 1000n): GuardFault => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const compiled = compileGuarded(spec(insns, 'unspec'));
    const program = new GuardedProgram(compiled, { memory, lo: 4096, hi: 12288 + 16, stack: 12288 });
    try {
      program.enter(12288n, 16n, fuel);
    } catch (error) {
      if (error instanceof GuardFault) return error;
      throw error;
    }
    throw new Error('no fault');
  };
  const over = run([ldx(Size.DW, 0, 1, 9), exit()]);
  assert.equal([over.insn, over.reason, over.addr, over.size], [0, 'bounds', 12297n, 8]);
  assert.is(run([movImm(2, 0), ldx(Size.B, 0, 2, 0), exit()]).insn, 1);
  assert.is(run([movImm(2, -1), ldx(Size.DW, 0, 2, 0), exit()]).addr, 0xffffffffffffffffn);
  assert.is(run([lddw(2, 0x1_0000_3000n), st(Size.B, 2, 0, 1), movImm(0, 0), exit()]).reason, 'bounds');
  assert.is(run([st(Size.DW, 10, 12, 1), movImm(0, 0), exit()]).addr, 12300n);
  assert.is(run([movImm(2, 1), atomic(Size.DW, 0, 1, 4, 2), movImm(0, 0), exit()]).reason, 'align');
  assert.is(run([movImm(0, 0), ja(-1), exit()]).reason, 'fuel');
  assert.is(run([movImm(0, 0), callLocal(-1), exit()], 3n).reason, 'fuel');
  assert.is(run([callLocal(-1), exit()], 1n << 40n).reason, 'stack');
});
