import { Class, Jmp as J } from '../../host/bpf/insn.js';
import { InterpFault, type InterpretOptions, interpret } from '../../host/bpf/interp/interpret.js';
import type { ProgramSpec } from '../../host/bpf/spec.js';
import { testPacket } from '../../host/engine/test_run.js';
import { MapHeaderLayout, MapHeaderView, MapType } from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
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
import { assert, suite } from '../support/suite.js';

const test = suite('interp: checked runs');

const arena = Arena.create({ frames: 16, mapBytes: 1 << 16 });
const core = instantiateCore(arena, 1);
const bytes = Uint8Array.from({ length: 64 }, (_, i) => i);

function run(program: ProgramSpec, more: Partial<InterpretOptions> = {}) {
  const packet = testPacket(arena, program.type === 'unspec' ? 'xdp' : program.type, bytes);
  try {
    packet.reset();
    return { ...interpret(program, { arena, core, ctx: packet.ctx, ...more }), packet: packet.read() };
  } finally {
    packet.free();
  }
}

function fault(program: ProgramSpec, more: Partial<InterpretOptions> = {}): InterpFault {
  try {
    run(program, more);
  } catch (error) {
    if (error instanceof InterpFault) return error;
    throw error;
  }
  throw new Error('no fault');
}

/** An array map with a prog_array beside it, made by hand. */
function map(type: number, valueSize: number, maxEntries: number): { at: number; header: MapHeaderView } {
  const at = arena.maps.alloc(MapHeaderLayout.size, 64);
  const header = new MapHeaderView(arena.dv, at);
  header.type = type;
  header.keySize = 4;
  header.valueSize = valueSize;
  header.maxEntries = maxEntries;
  header.stride = Math.ceil(valueSize / 8) * 8;
  header.dataBytes = header.stride * maxEntries;
  header.dataAt = arena.maps.alloc(header.dataBytes, 64);
  return { at, header };
}

const mapSpec = (valueSize: number, maxEntries: number) =>
  ({ name: 'm', type: 'array', keySize: 4, valueSize, maxEntries, flags: 0 }) as const;

test('a packet byte is read through the context and instructions are counted', () => {
  const { r0, insns } = run(spec([ldx(Size.W, 2, 1, 0), ldx(Size.B, 0, 2, 7), exit()]));
  assert.is(r0, 7n);
  assert.is(insns, 3);
});

test('a read one byte past the packet names instruction, address, size and region', () => {
  const f = fault(spec([ldx(Size.W, 2, 1, 4), ldx(Size.W, 0, 2, -3), exit()]));
  assert.is(f.rule, 'bounds');
  assert.is(f.insn, 1);
  assert.is(f.size, 4);
  assert.is(f.region?.name, 'packet');
  assert.is(f.code, 'ERR_INTERP_BOUNDS');
});

test('the context of an XDP program cannot be written, mark of a tc program can', () => {
  assert.is(fault(spec([st(Size.W, 1, 0, 1), movImm(0, 0), exit()])).rule, 'write');
  assert.is(run(spec([st(Size.W, 1, 8, 9), ldx(Size.W, 0, 1, 8), exit()], 'tc')).r0, 9n);
});

test('a frame has 512 bytes; a subprogram gets its own and may write its caller’s through a pointer', () => {
  assert.is(fault(spec([st(Size.B, 10, -513, 1), movImm(0, 0), exit()])).insn, 0);
  assert.is(fault(spec([st(Size.B, 10, 0, 1), movImm(0, 0), exit()])).insn, 0);
  const program = spec([
    mov(1, 10),
    aluImm(Alu.ADD, 1, -8),
    callLocal(2),
    ldx(Size.DW, 0, 10, -8),
    exit(),
    st(Size.DW, 10, -8, 1),
    st(Size.DW, 1, 0, 77),
    movImm(0, 0),
    exit(),
  ]);
  assert.is(run(program).r0, 77n);
});

test('a frame left behind is out of bounds again', () => {
  const program = spec([callLocal(2), ldx(Size.DW, 0, 0, -8), exit(), mov(0, 10), exit()]);
  const f = fault(program);
  assert.is(f.insn, 1);
  assert.is(f.region?.name, 'stack');
});

test('nine frames are one too many', () => {
  const deep = Array.from({ length: 8 }, () => [callLocal(1), exit()]).flat();
  assert.is(fault(spec([...deep, movImm(0, 0), exit()])).rule, 'depth');
  assert.is(run(spec([...deep.slice(2), movImm(0, 5), exit()])).r0, 5n);
});

test('an endless loop ends with the budget', () => {
  const f = fault(spec([movImm(0, 0), ja(-1), exit()]), { budget: 1000 });
  assert.is(f.rule, 'budget');
});

test('may_goto goes eight million times at most and then jumps', () => {
  const { insns } = run(spec([movImm(0, 0), insn(Class.JMP | J.JCOND, 0, 0, 1), ja(-2), exit()]), {
    budget: 2 ** 25,
  });
  assert.is(insns, 2 * 8 * 1024 * 1024 + 3);
});

test('an atomic access must be aligned', () => {
  const program = (off: number) =>
    spec([
      st(Size.DW, 10, -8, 1),
      st(Size.DW, 10, -16, 1),
      movImm(1, 2),
      atomic(Size.DW, 1, 10, off, 1),
      mov(0, 1),
      exit(),
    ]);
  assert.is(run(program(-8)).r0, 1n);
  assert.is(fault(program(-12)).rule, 'align');
});

test('LDDW of a map value may be used as far as the value goes', () => {
  const { at, header } = map(MapType.ARRAY, 12, 1);
  arena.dv.setUint32(header.dataAt + 8, 4711, true);
  const maps = { 3: { spec: mapSpec(12, 1), addr: at } };
  const program = (off: number) =>
    spec([lddw(2, (BigInt(off) << 32n) | 3n, 2), ldx(Size.W, 0, 2, 0), exit()], 'xdp', {
      maps: { 3: mapSpec(12, 1) },
    });
  assert.is(run(program(8), { maps }).r0, 4711n);
  assert.is(fault(program(9), { maps }).rule, 'bounds');
  assert.is(fault(program(8)).rule, 'map');
});

test('bpf_loop calls back with index and context', () => {
  const program = spec([
    st(Size.DW, 10, -8, 0),
    movImm(1, 10),
    lddwFunc(2, 7),
    mov(3, 10),
    aluImm(Alu.ADD, 3, -8),
    movImm(4, 0),
    call(181),
    ldx(Size.DW, 1, 10, -8),
    exit(),
    // callback(i, ctx): *ctx += i; return i == 7
    ldx(Size.DW, 3, 2, 0),
    alu(Alu.ADD, 3, 1),
    stx(Size.DW, 2, 0, 3),
    movImm(0, 0),
    jmpImm(Jmp.JNE, 1, 7, 1),
    movImm(0, 1),
    exit(),
  ]);
  assert.is(run(program).r0, 8n);
});

test('tail calls: 33 succeed, the 34th falls through', () => {
  const { at, header } = map(MapType.PROG_ARRAY, 4, 1);
  arena.dv.setUint32(header.dataAt, 100, true);
  const maps = { 1: { spec: { ...mapSpec(4, 1), type: 'prog_array' as const }, addr: at } };
  // r0 = number of runs, kept in the packet's first word
  const again = spec(
    [
      ldx(Size.W, 6, 1, 0),
      ldx(Size.W, 7, 6, 0),
      aluImm(Alu.ADD, 7, 1),
      stx(Size.W, 6, 0, 7),
      lddwMap(2, 1),
      movImm(3, 0),
      call(12),
      mov(0, 7),
      exit(),
    ],
    'xdp',
    { maps: { 1: maps[1].spec } },
  );
  const first = 0x03020100n;
  const { r0 } = run(again, { maps, tailTarget: slot => (slot === 100 ? { spec: again, maps } : undefined) });
  assert.is(r0, first + 34n);
});

test('LD_ABS reads the packet in network order and ends the program outside of it', () => {
  const program = (off: number) => spec([mov(6, 1), insn(0x28, 0, 0, 0, off), exit()], 'socket_filter');
  assert.is(run(program(0)).r0, 0x0e0fn);
  assert.is(run(program(50)).r0, 0n);
});

test('what is no program is refused before it runs', () => {
  const code = (program: ProgramSpec) => {
    try {
      run(program);
    } catch (error) {
      return (error as { code: string }).code;
    }
    return undefined;
  };
  for (const bad of [
    [],
    [movImm(0, 0)],
    [insn(0xff), exit()],
    [ja(5), exit()],
    [movImm(10, 0), exit()],
    [lddw(0, 1n)[0]],
  ])
    assert.is(code(spec(bad)), 'ERR_INSN_FORM');
});
