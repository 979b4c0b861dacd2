/** One program on the interpreter, the JIT without facts, and the guarded JIT, over the same bytes of memory. */
import { interpret } from '../../host/bpf/interp/interpret.js';
import { compileGuarded, compileProgram } from '../../host/bpf/jit/compile.js';
import { GuardedProgram } from '../../host/bpf/jit/guarded.js';
import { instantiateProgram, type ProgramExports } from '../../host/bpf/jit/instantiate.js';
import { noFacts } from '../../host/bpf/jit/program.js';
import type { ProgramSpec } from '../../host/bpf/spec.js';
import { trustAsVerified } from '../../host/bpf/stages.js';
import type { JitFacts, VerifiedProgram } from '../../host/bpf/verify/verified.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';

/** Bytes of memory that r1 points to. */
export const MEMORY = 256;
const STACK = 4096;

export const arena = Arena.create({ frames: 16, mapBytes: 1 << 20 });
export const core = instantiateCore(arena, 1);
const region = arena.scratch.alloc(STACK + MEMORY, 4096);
export const memoryAt = region + STACK;

/** Claims that a program was verified, for tests of the JIT alone. */
export const claimVerified = (spec: ProgramSpec, facts: JitFacts = noFacts): VerifiedProgram =>
  trustAsVerified({
    spec,
    facts,
    notes: [],
    stats: { processed: 0, states: 0, peakStates: 0, timeUs: 0, stackDepth: [] },
  } as unknown as VerifiedProgram);

export interface Outcome {
  r0: bigint;
  memory: Uint8Array;
}

export interface Engines {
  interp(memory: Uint8Array): Outcome;
  jit(memory: Uint8Array): Outcome;
  guarded(memory: Uint8Array): Outcome;
}

/** Compiles once, runs often. r1 is the address of the memory. The spec's type should be `unspec`. */
export function engines(spec: ProgramSpec, facts?: JitFacts): Engines {
  const instance = instantiateProgram(compileProgram(claimVerified(spec, facts), {}), core, arena, 1);
  const { run } = instance.exports as unknown as ProgramExports;
  const guarded = new GuardedProgram(compileGuarded(spec), {
    memory: arena.memory,
    lo: region,
    hi: region + STACK + MEMORY,
    stack: region + STACK,
  });
  const over = (memory: Uint8Array, go: () => bigint): Outcome => {
    arena.u8.fill(0, memoryAt, memoryAt + MEMORY);
    arena.u8.set(memory, memoryAt);
    const r0 = BigInt.asUintN(64, go());
    return { r0, memory: arena.u8.slice(memoryAt, memoryAt + MEMORY) };
  };
  const regions = [{ name: 'memory', lo: memoryAt, hi: memoryAt + MEMORY, write: true }];
  return {
    interp: memory => over(memory, () => interpret(spec, { arena, core, ctx: memoryAt, regions }).r0),
    jit: memory => over(memory, () => run(memoryAt)),
    guarded: memory => over(memory, () => guarded.enter(BigInt(memoryAt), BigInt(MEMORY), 1n << 40n)),
  };
}
