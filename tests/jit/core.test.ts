/** Programs together with the real core: helpers, maps, callbacks, packet loads, warm-up. */
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { helpers } from '../../host/bpf/helpers.js';
import { type InterpretOptions, interpret } from '../../host/bpf/interp/interpret.js';
import { typedExports } from '../../host/bpf/jit/calls.js';
import { compileProgram, helperSignatures } from '../../host/bpf/jit/compile.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { warm } from '../../host/bpf/jit/warm.js';
import { createMap } from '../../host/bpf/maps/create.js';
import { type BpfMap, mapBinding } from '../../host/bpf/maps/map.js';
import type { MapSpec, ProgramSpec } from '../../host/bpf/spec.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { testPacket } from '../../host/engine/test_run.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
import { claimVerified } from '../support/engines.js';
import { exit, insn, mov, spec } from '../support/insns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: with the core');

const arena = Arena.create({ frames: 64, mapBytes: 4 << 20 });
const core = instantiateCore(arena, 1);
const frame = Uint8Array.from({ length: 90 }, (_, i) => (i * 37 + 11) & 255);

interface Loaded {
  program: ProgramSpec;
  maps: Record<number, BpfMap>;
  /** Low half of r0, and the packet afterwards. */
  jit(): { r0: bigint; packet: Uint8Array };
  interp(more?: Partial<InterpretOptions>): { r0: bigint; packet: Uint8Array };
}

/** Verifies, compiles and instantiates; maps are made anew. */
function load(program: ProgramSpec, { verified = true, slots = 1 } = {}): Loaded {
  const maps: Record<number, BpfMap> = {};
  for (const [key, m] of Object.entries(program.maps))
    maps[Number(key)] = createMap(arena, core, m as MapSpec);
  const proof = verified ? verify(program) : claimVerified(program);
  const instance = instantiateProgram(compileProgram(proof, mapBinding(maps)), core, arena, slots);
  const { run } = instance.exports as unknown as ProgramExports;
  const over = (go: (ctx: number) => bigint): { r0: bigint; packet: Uint8Array } => {
    const packet = testPacket(arena, program.type, frame);
    try {
      packet.reset();
      return { r0: BigInt.asUintN(64, go(packet.ctx)), packet: packet.read() };
    } finally {
      packet.free();
    }
  };
  return {
    program,
    maps,
    jit: () => over(run),
    interp: more => over(ctx => interpret(program, { arena, core, ctx, maps: mapBinding(maps), ...more }).r0),
  };
}

test('every typed map operation that the JIT may call is an export of the core', () => {
  const exports = core.exports as unknown as Record<string, unknown>;
  const names = helpers.flatMap(typedExports);
  assert.ok(names.length > 25);
  for (const name of names) {
    assert.type(exports[name], 'function', name);
    assert.ok(helperSignatures().has(name));
  }
});

test('for_each_map_elem calls back into both engines, with the frame intact', () => {
  const program = assembleSpec(`
.map numbers array key=4 value=8 max=6
    *(u64 *)(r10 - 8) = 0
    *(u64 *)(r10 - 16) = 77
    r1 = numbers ll
    r2 = add ll
    r3 = r10
    r3 += -8
    r4 = 0
    call bpf_for_each_map_elem
    r1 = *(u64 *)(r10 - 16)
    if r1 != 77 goto bad
    if r0 != 6 goto bad
    r0 = *(u64 *)(r10 - 8)
    exit
bad:
    r0 = -1
    exit
.type add,@function
add:
    *(u64 *)(r10 - 16) = 1
    r1 = *(u64 *)(r3 + 0)
    r2 = *(u64 *)(r4 + 0)
    r2 += r1
    *(u64 *)(r4 + 0) = r2
    r0 = 0
    exit
`);
  const { maps, jit, interp } = load(program);
  const [map] = Object.values(maps) as unknown as { set(key: number, value: bigint): void }[];
  for (let i = 0; i < 6; i++) map.set(i, BigInt(10 ** i));
  assert.is(jit().r0, 111111n);
  assert.is(interp().r0, 111111n);
  assert.is(arena.lane(1).entryFp, arena.lane(1).stackTop);
});

test('hash maps: what one engine writes the other finds', () => {
  const program = assembleSpec(`
.map flows hash key=8 value=8 max=64
    r6 = *(u32 *)(r1 + 0)
    r7 = *(u32 *)(r1 + 4)
    r8 = r6
    r8 += 8
    if r8 > r7 goto out
    r2 = *(u64 *)(r6 + 0)
    *(u64 *)(r10 - 8) = r2
    r2 = r10
    r2 += -8
    r1 = flows ll
    call bpf_map_lookup_elem
    if r0 == 0 goto new
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    r0 = *(u64 *)(r0 + 0)
    exit
new:
    *(u64 *)(r10 - 16) = 1
    r1 = flows ll
    r2 = r10
    r2 += -8
    r3 = r10
    r3 += -16
    r4 = 0
    call bpf_map_update_elem
out:
    r0 = 0
    exit
`);
  const { jit, interp } = load(program);
  assert.equal([jit().r0, interp().r0, jit().r0, interp().r0], [0n, 2n, 3n, 4n]);
});

test('a packet that a helper moved is where the context says', () => {
  const program = assembleSpec(`
    r6 = r1
    r2 = 14
    call bpf_xdp_adjust_head
    if r0 != 0 goto out
    r2 = *(u32 *)(r6 + 0)
    r3 = *(u32 *)(r6 + 4)
    r4 = r2
    r4 += 1
    if r4 > r3 goto out
    r0 = *(u8 *)(r2 + 0)
    *(u8 *)(r2 + 0) = 5
out:
    exit
`);
  const { jit, interp } = load(program);
  const want = frame.slice(14);
  want[0] = 5;
  for (const run of [jit, interp]) {
    const { r0, packet } = run();
    assert.is(r0, BigInt(frame[14]));
    assert.equal(packet, want);
  }
});

test('packet loads: every size, from the data, the network and the link header, inside and outside', () => {
  for (const type of ['socket_filter', 'tc'] as const)
    for (const [op, size] of [
      [0x30, 1],
      [0x28, 2],
      [0x20, 4],
    ])
      for (const off of [
        0,
        1,
        40,
        75,
        76,
        86,
        87,
        89,
        90,
        -0x100000,
        -0x100000 + 5,
        -0x200000,
        -0x200000 + 12,
        -1,
        -0x300000,
      ]) {
        // r0 = 1 beforehand: a failed load ends the program with 0. LD_IND adds a register.
        const insns = [mov(6, 1), insn(0xb7, 7, 0, 0, 3), insn(op, 0, 0, 0, off), exit()];
        const indirect = [mov(6, 1), insn(0xb7, 7, 0, 0, 3), insn(op + 0x20, 0, 7, 0, off), exit()];
        for (const body of [insns, indirect]) {
          const { jit, interp } = load(spec(body, type), { verified: false });
          assert.is(jit().r0, interp().r0, `${type} ${size} bytes at ${off}`);
        }
      }
});

test('warming runs the code thousands of times and leaves no trace', () => {
  const program = assembleSpec(`
.map counts array key=4 value=8 max=1
    *(u32 *)(r10 - 4) = 0
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    call bpf_get_prandom_u32
    r0 = 2
    exit
`);
  const [m] = Object.values(program.maps);
  const map = createMap(arena, core, m as MapSpec);
  const compiled = compileProgram(
    verify(program),
    mapBinding({ [Object.keys(program.maps)[0]]: map as BpfMap }),
  );
  const before = arena.u8.slice(0, arena.header.packetAt);
  assert.ok(warm(compiled, arena, { maxMs: 50, maxRuns: 2000 }) >= 256);
  assert.is(Buffer.compare(arena.u8.subarray(0, arena.header.packetAt), before), 0);
});
