/**
 * etherloom/internals: stages by themselves, raw slots and addresses. For benchmarks, tools and research on the engine;
 * no part of it is held stable between versions. Re-exports only.
 */
export { disassembleProgram } from './bpf/asm/disassemble.js';
export { assembleSpec } from './bpf/asm/spec.js';
export { type InterpretOptions, type InterpretResult, interpret } from './bpf/interp/interpret.js';
export { compileProgram } from './bpf/jit/compile.js';
export type { BoundMap, CompiledProgram, MapBinding } from './bpf/jit/compiled.js';
export { instantiateProgram } from './bpf/jit/instantiate.js';
export { kernelAvailable } from './bpf/kernel/available.js';
export { KernelCollection } from './bpf/kernel/collection.js';
export { typedMap } from './bpf/kernel/map_store.js';
export { KernelProgram } from './bpf/kernel/program.js';
export { checkSpec } from './bpf/maps/check.js';
export { mapAt, mapBinding } from './bpf/maps/index.js';
export { type TestPacket, type TestRunOptions, testPacket, testRunSlot } from './engine/test_run.js';
export { Arena } from './mem/arena.js';
export { type CoreExports, coreModule, instantiateCore } from './mem/core.js';
export { createFramePool, type Ledger, takeLedger } from './mem/frames.js';
export { createRing, drainRing, type RingPair } from './mem/ring.js';
export { RSS_ENTRIES, RssTable, SYMMETRIC_KEY } from './nic/rss.js';
export { type Direction, Wrapper } from './nic/wrap/wrapper.js';
