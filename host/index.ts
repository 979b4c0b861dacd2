/** etherloom: the public API. Re-exports only. */
export {
  type CollectedProgram,
  Collection,
  type CollectionOptions,
  HostPrograms,
  type Placed,
  type ProgramHost,
} from './bpf/collection.js';
export { configureGlobals, configureMaps, type MapConfig, readMapConfig } from './bpf/config.js';
export { loadElf } from './bpf/elf/load.js';
export { helpers } from './bpf/helpers.js';
export { type InterpretOptions, type InterpretResult, interpret } from './bpf/interp/interpret.js';
export { compileProgram } from './bpf/jit/compile.js';
export type { CompiledProgram, MapBinding } from './bpf/jit/compiled.js';
export { instantiateProgram } from './bpf/jit/instantiate.js';
export * from './bpf/maps/index.js';
export { chooseProgram, openObject } from './bpf/open.js';
export type { CollectionSpec, MapSpec, ProgramSpec, ProgramType } from './bpf/spec.js';
export { parseSpecJson } from './bpf/spec_json.js';
export { VerifierError } from './bpf/verify/errors.js';
export type { VerifiedProgram, VerifierStats } from './bpf/verify/verified.js';
export { verify } from './bpf/verify/verify.js';
export { type CaptureRun, type CaptureRunOptions, runCapture } from './engine/capture_run.js';
export type { Counters, PortCounters } from './engine/counters.js';
export { type Attachment, Engine, type EngineOptions, type HookName } from './engine/engine.js';
export type { LoadedProgram } from './engine/program.js';
export type { EngineReport } from './engine/report.js';
export { type TestRunOptions, type TestRunResult, testRun } from './engine/test_run.js';
export { EtherloomError } from './errors.js';
export { XdpAction } from './layout/layout.gen.js';
export { Arena, type ArenaOptions } from './mem/arena.js';
export { type Core, instantiateCore } from './mem/core.js';
export * from './nic/index.js';
export { PcapNic, type PcapNicOptions, PcapWriter, readCapture } from './nic/pcap/index.js';
