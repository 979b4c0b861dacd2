/** Kfuncs in programs that run: the interpreter, which checks every argument, and the JIT give the same. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import { interpret } from '../../../host/bpf/interp/interpret.js';
import { compileGuarded, compileProgram } from '../../../host/bpf/jit/compile.js';
import { instantiateProgram, type ProgramExports } from '../../../host/bpf/jit/instantiate.js';
import { warm } from '../../../host/bpf/jit/warm.js';
import { createMap } from '../../../host/bpf/maps/create.js';
import { type BpfMap, mapBinding } from '../../../host/bpf/maps/map.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';
import { parseSpecJson, printSpecJson } from '../../../host/bpf/spec_json.js';
import { verify } from '../../../host/bpf/verify/verify.js';
import { testPacket } from '../../../host/engine/test_run.js';
import { Arena } from '../../../host/mem/arena.js';
import { instantiateCore } from '../../../host/mem/core.js';
import { FIXTURES } from '../../fixtures/elf/build.js';
import { assert, suite } from '../../support/suite.js';
import '../../support/test_kfuncs.js';

const test = suite('kfuncs: both engines');

const arena = Arena.create({ frames: 16, mapBytes: 1 << 20 });
const core = instantiateCore(arena, 1);
const frame = Uint8Array.from({ length: 60 }, (_, i) => i);

interface Engines {
  interp: bigint;
  jit: bigint;
}

/** Verifies and runs a program in both, over the same packet and maps of its own. */
function run(given: ProgramSpec): Engines {
  const proof = verify(given);
  const once = (go: (maps: Record<number, BpfMap>, ctx: number) => bigint): bigint => {
    const maps = Object.fromEntries(
      Object.entries(given.maps).map(([key, spec]) => [key, createMap(arena, core, spec)]),
    );
    const packet = testPacket(arena, 'xdp', frame);
    try {
      packet.reset();
      return BigInt.asUintN(64, go(maps, packet.ctx));
    } finally {
      packet.free();
    }
  };
  return {
    interp: once((maps, ctx) => interpret(given, { arena, core, ctx, maps: mapBinding(maps) }).r0),
    jit: once((maps, ctx) => {
      const compiled = compileProgram(proof, mapBinding(maps));
      const { exports } = instantiateProgram(compiled, core, arena, 1);
      return (exports as unknown as ProgramExports).run(ctx);
    }),
  };
}

const both = (text: string, r0: bigint): void =>
  assert.equal(run(assembleSpec(`.program xdp f\n.license GPL\n${text}`)), { interp: r0, jit: r0 });
const NEGATIVE = (n: bigint): bigint => BigInt.asUintN(64, -n);

test('the context, a number, a result with sign: in range and beyond the packet', () => {
  both('r2 = 60\ncall kfunc bpf_xdp_pull_data\nexit', 0n);
  both('r2 = 61\ncall kfunc bpf_xdp_pull_data\nexit', NEGATIVE(22n));
  both('r2 = 0x10000003c ll\ncall kfunc bpf_xdp_pull_data\nexit', 0n);
});

test('an object file: calls behind the address of a weak kfunc that is there', () => {
  const file = readFileSync(join(FIXTURES, 'kfuncs.bpf.o'));
  const { pulls } = loadElf(file, 'kfuncs.bpf.o').programs;
  assert.equal(run(pulls), { interp: 2n, jit: 2n });
});

test('an unsigned result fills the upper half with zeros', () => {
  both('call kfunc test_length\nexit', 60n);
});

test('memory of the stack goes in and comes out, at fixed and at given sizes', () => {
  const text = Buffer.from('-1234567').readBigUInt64LE();
  both(
    `r1 = 0x${text.toString(16)} ll
     *(u64 *)(r10 - 8) = r1
     *(u64 *)(r10 - 16) = 99
     r1 = r10
     r1 += -8
     r2 = 8
     r3 = 10
     r4 = r10
     r4 += -16
     call kfunc test_number
     if r0 != 8 goto bad
     r0 = *(u64 *)(r10 - 16)
     exit
     bad: r0 = 0
     exit`,
    NEGATIVE(1234567n),
  );
});

test('NULL with any size where the prototype allows it', () => {
  both(
    `*(u64 *)(r10 - 8) = 0x01020304
     r1 = 0
     r2 = 0
     r3 = r10
     r3 += -8
     r4 = 8
     r5 = 0
     call kfunc test_sum
     exit`,
    0x0406n,
  );
});

test('a record is taken, read and given back; the ring is as empty as before', () => {
  both(
    `.map rb ringbuf max=4096
     r6 = 0
     r1 = rb ll
     r2 = 16
     r3 = 0
     call kfunc test_reserve
     if r0 == 0 goto out
     r6 = r0
     r7 = *(u64 *)(r6 + 8)
     r1 = r6
     r2 = 1
     call kfunc test_discard
     r1 = rb ll
     r2 = 1
     call kfunc test_query
     r6 = r0
     out: r0 = r6
     exit`,
    4096n,
  );
});

test('a constant string out of a frozen map', () => {
  const program = assembleSpec(
    `.program xdp f
     .license GPL
     .map words array key=4 value=8 max=1
     *(u64 *)(r10 - 8) = 0x6362
     r1 = r10
     r1 += -8
     r2 = 8
     r3 = map[words][0]+1
     call kfunc test_compare
     exit`,
  );
  const [map] = Object.values(program.maps);
  Object.assign(map, { flags: 128, frozen: true, contents: new Uint8Array(Buffer.from('abc\0')) });
  assert.equal(run(program), { interp: 0n, jit: 0n });
});

test('in a function, in a loop, and warmed up over stubs', () => {
  const program = assembleSpec(
    `.program xdp f
     .license GPL
     r6 = r1
     r7 = 0
     r8 = 0
     again: r1 = r6
     call f
     r8 += r0
     r7 += 1
     if r7 < 4 goto again
     r0 = r8
     exit
     f: call kfunc test_length
     exit`,
  );
  assert.equal(run(program), { interp: 240n, jit: 240n });
  const compiled = compileProgram(verify(program), {});
  assert.equal([...compiled.helpers], ['xdp_get_buff_len']);
  assert.ok(warm(compiled, arena, { maxMs: 1, maxRuns: 10 }) !== null);
});

test('names survive SPEC.json, whatever their numbers', () => {
  const program = assembleSpec('.program xdp f\ncall kfunc test_length#77\nexit');
  assert.equal(program.kfuncs, { 77: 'test_length' });
  const read = parseSpecJson(Buffer.from(printSpecJson(program)), 'x.json');
  assert.equal(run(read), { interp: 60n, jit: 60n });
});

test('a verified program runs in the interpreter as well as the one that was given', () => {
  const { spec } = verify(assembleSpec('.program xdp f\ncall kfunc test_length\nexit'));
  const packet = testPacket(arena, 'xdp', frame);
  packet.reset();
  assert.is(interpret(spec, { arena, core, ctx: packet.ctx }).r0, 60n);
  packet.free();
});

test('the interpreter faults where a program that nobody verified breaks the prototype', () => {
  const fault = (text: string, what: RegExp): void => {
    const spec = assembleSpec(`.program xdp f\n.license GPL\n.map rb ringbuf max=4096\n${text}\nexit`);
    const maps = Object.fromEntries(
      Object.entries(spec.maps).map(([key, m]) => [key, createMap(arena, core, m)]),
    );
    const packet = testPacket(arena, 'xdp', frame);
    packet.reset();
    assert.throws(
      () => interpret(spec, { arena, core, ctx: packet.ctx, maps: mapBinding(maps) }),
      what,
      text,
    );
    packet.free();
  };
  fault('r1 = 0\ncall kfunc test_length', /test_length: r1 is not the context/);
  fault('r1 = 4096\nr2 = 0\ncall kfunc test_discard', /test_discard: r1 is no struct test_record/);
  fault('r1 = 4096\nr2 = 0\ncall kfunc test_query', /test_query: r1 is no map/);
  fault('r1 = 64\nr2 = 8\nr3 = 10\nr4 = r10\nr4 += -8\ncall kfunc test_number', /read of 8 bytes at 0x40/);
  fault('call kfunc no_such', /kfunc no_such is not provided/);
  fault('call kfunc#3', /kfunc 3 is not provided/);
});

test('guarded programs have no kfuncs', () => {
  assert.throws(
    () => compileGuarded(assembleSpec('.program unspec f\ncall kfunc test_length\nexit')),
    /guarded programs have no kfuncs/,
  );
});
