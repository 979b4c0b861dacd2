/**
 * ProgramSpec and MapSpec: plain deterministic data, the first stage after an ELF file, JSON or the assembler.
 * Elf → ProgramSpec → VerifiedProgram → CompiledProgram → Attachment (DESIGN D4).
 * The JSON form is read and written in spec_json.ts.
 */
import type { Btf } from './btf/btf.js';
import type { Insn } from './insn.js';
import { programTypes } from './program_types.js';

/** Program types that this engine verifies, by the names of the JSON form: one row each in program_types.ts. */
export type ProgramType = 'xdp' | 'xdp_egress' | 'xdp_gen' | 'tc' | 'socket_filter' | 'struct_ops' | 'unspec';

/** Map type names: the lower-case of BPF_MAP_TYPE_*. */
export type MapTypeName =
  | 'hash'
  | 'array'
  | 'prog_array'
  | 'perf_event_array'
  | 'percpu_hash'
  | 'percpu_array'
  | 'stack_trace'
  | 'cgroup_array'
  | 'lru_hash'
  | 'lru_percpu_hash'
  | 'lpm_trie'
  | 'array_of_maps'
  | 'hash_of_maps'
  | 'devmap'
  | 'sockmap'
  | 'cpumap'
  | 'xskmap'
  | 'sockhash'
  | 'queue'
  | 'stack'
  | 'sk_storage'
  | 'devmap_hash'
  | 'ringbuf'
  | 'bloom_filter'
  | 'struct_ops'
  | 'pkt_queue'
  // Read and shown, never created by this engine:
  | 'cgroup_storage'
  | 'reuseport_sockarray'
  | 'percpu_cgroup_storage'
  | 'inode_storage'
  | 'task_storage'
  | 'user_ringbuf'
  | 'cgrp_storage'
  | 'arena';

/** enum bpf_map_type (include/uapi/linux/bpf.h); pkt_queue, which Linux does not have, has a number outside of it. */
export const mapTypeNumbers: Readonly<Record<MapTypeName, number>> = {
  hash: 1,
  array: 2,
  prog_array: 3,
  perf_event_array: 4,
  percpu_hash: 5,
  percpu_array: 6,
  stack_trace: 7,
  cgroup_array: 8,
  lru_hash: 9,
  lru_percpu_hash: 10,
  lpm_trie: 11,
  array_of_maps: 12,
  hash_of_maps: 13,
  devmap: 14,
  sockmap: 15,
  cpumap: 16,
  xskmap: 17,
  sockhash: 18,
  queue: 22,
  stack: 23,
  sk_storage: 24,
  devmap_hash: 25,
  struct_ops: 26,
  ringbuf: 27,
  bloom_filter: 30,
  pkt_queue: 0x1000,
  cgroup_storage: 19,
  reuseport_sockarray: 20,
  percpu_cgroup_storage: 21,
  inode_storage: 28,
  task_storage: 29,
  user_ringbuf: 31,
  cgrp_storage: 32,
  arena: 33,
};

export interface MapSpec {
  name: string;
  type: MapTypeName;
  /** Bytes. */
  keySize: number;
  /** Bytes. */
  valueSize: number;
  maxEntries: number;
  /** BPF_F_* as in the kernel: NO_PREALLOC 1, RDONLY 8, WRONLY 16, ZERO_SEED 64, RDONLY_PROG 128, WRONLY_PROG 256, MMAPABLE 1024 … */
  flags: number;
  /** map_extra of the kernel: bloom filter's hash count; pkt_queue: slots of each bucket. */
  extra?: number;
  /** Template of the inner maps (maps of maps). */
  inner?: MapSpec;
  /** Initial bytes of a one-entry array made of .rodata, .data or .bss; of a struct_ops map: what is no function in it. */
  contents?: Uint8Array;
  /** .rodata: the verifier may treat its contents as constants, and nobody may write. */
  frozen?: boolean;
  /** Initial entries: key → name of a program (prog_array) or of a map (maps of maps). struct_ops: place of a member → program. */
  values?: { key: number; name: string }[];
  /** BTF type ids of key and value in `btf`, for typed access and for the verifier (spin locks, timers). */
  btf?: { types: Btf; keyId: number; valueId: number };
  pinning?: 'none' | 'by_name';
}

/** From .BTF.ext func_info: where a subprogram starts. Instruction numbers count slots of the linked program. */
export interface FuncInfo {
  insn: number;
  name: string;
  /** BTF type id of the FUNC, 0 when unknown. */
  typeId: number;
  /** BTF_FUNC_GLOBAL functions are verified once, by their argument types; static ones at each call. */
  linkage: 'static' | 'global' | 'extern';
}

/** From .BTF.ext line_info. */
export interface LineInfo {
  insn: number;
  file: string;
  line: number;
  column: number;
  text: string;
}

export interface ProgramSpec {
  name: string;
  type: ProgramType;
  /** Section it came from, as libbpf names it (`xdp`, `tc`, `classifier/x`, `socket` …). */
  section?: string;
  /** Contents of the `license` section; decides which helpers may be called. Default "GPL" for hand-written specs. */
  license: string;
  /** `xdp.frags` and the like; autoload false: `SEC("?…")`, loaded only when asked for by name. */
  flags?: { frags?: boolean; sleepable?: boolean; autoload?: boolean };
  /** The whole linked program: the entry first, then every static or global subprogram that it reaches. */
  insns: Insn[];
  /** LDDW with src 1 (map) or 2 (map value + offset in the next slot's imm) names a key of this record in its imm. */
  maps: Record<number, MapSpec>;
  funcs?: FuncInfo[];
  lines?: LineInfo[];
  btf?: Btf;
  /** kfunc calls: imm of the CALL (src 2) → name. */
  kfuncs?: Record<number, string>;
  /** Type struct_ops: the structure of functions, and the member of it that the program is. */
  structOps?: { name: string; member: string };
}

/** Where an XDP program means to run, when not at a port: as an entry of a devmap or cpumap (expected_attach_type). */
export type AttachType = 'devmap' | 'cpumap' | undefined;

/** Read from the section's name, as libbpf does. */
export function attachType(program: Pick<ProgramSpec, 'type' | 'section'>): AttachType {
  const found = programTypes[program.type].entrySections?.exec(program.section ?? '');
  return (found?.[1] ?? found?.[2]) as AttachType;
}

/** All that one object file holds. Maps that programs share are the same MapSpec object. */
export interface CollectionSpec {
  file: string;
  license: string;
  programs: Record<string, ProgramSpec>;
  maps: Record<string, MapSpec>;
  btf?: Btf;
}
