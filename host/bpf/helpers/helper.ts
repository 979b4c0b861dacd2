/**
 * What one entry of the helper table says. The verifier reads the prototype, both engines the Wasm signature.
 * Prototypes follow the kernel's `struct bpf_func_proto`; numbers include/uapi/linux/bpf.h.
 */
import { runnableTypes, typesWhere } from '../program_types.js';
import type { MapTypeName, ProgramType } from '../spec.js';

/** enum bpf_arg_type of the kernel, by the parts that we support. */
export type ArgType =
  | 'anything' // any initialised scalar (or pointer, where leaking is allowed)
  | 'scalar'
  | 'dontcare' // ARG_DONTCARE that the helper reads all the same (trace_printk r3–r5): unchecked, may be uninitialised, but a *use* of the register
  | 'ctx'
  | 'const_map_ptr'
  | 'map_key' // pointer to readable memory of the map's key size
  | 'map_value' // pointer to readable memory of the map's value size
  | 'uninit_map_value' // the helper writes it (map_pop_elem, map_peek_elem)
  | 'mem' // pointer to readable memory, sized by the const_size argument that follows
  | 'mem_or_null'
  | 'uninit_mem' // the helper writes it; need not be initialised
  | 'mem_write' // initialised memory that the helper may write
  | 'mem_write_or_null'
  | 'const_size' // byte count, > 0, upper bound known
  | 'const_size_or_zero'
  | 'const_alloc_size_or_zero' // exact constant: ringbuf_reserve
  | 'alloc_mem' // record from ringbuf_reserve; released when the prototype says so
  | 'fixed_mem' // pointer to initialised memory of `size` bytes (see HelperArg)
  | 'uninit_fixed_mem'
  | 'stack_or_null' // callback context
  | 'func' // callback: LDDW of a subprogram
  | 'spin_lock' // pointer to a bpf_spin_lock inside a map value
  | 'timer' // pointer to the bpf_timer inside a map value
  | 'kptr' // pointer to a kptr inside a map value or an object
  | 'owned_or_null' // object of the type that the kptr holds; its reference is given up
  | 'const_str' // pointer to a constant string in a read-only map
  | 'sock_common';

export type RetType =
  | 'integer'
  | 'void'
  | 'map_value_or_null'
  | 'alloc_mem_or_null' // size is the const_alloc_size_or_zero argument
  | 'mem_or_null'
  | 'owned_or_null' // what was in the kptr; its reference is the caller's
  | 'socket_or_null'
  | 'sock_common_or_null';

export interface HelperArg {
  type: ArgType;
  /** Bytes, for fixed_mem and uninit_fixed_mem. */
  size?: number;
  /** fixed_mem: MEM_ALIGNED, the pointer must be aligned to `size`. */
  aligned?: boolean;
  /** fixed_mem: the helper also writes it (MEM_WRITE), so read-only memory is refused. */
  write?: boolean;
}

/**
 * How Wasm sees it. One letter an argument: `p` i32 pointer, `w` i32 (low half), `d` i64.
 * Result: `p` pointer or null (zero-extended), `w` u32 (zero-extended), `i` s32 (sign-extended), `d` i64, `v` none (r0 = 0).
 * The core exports the function under `wasm.name`; the JIT imports it from module "h".
 */
export interface HelperWasm {
  name: string;
  args: string;
  result: 'p' | 'w' | 'i' | 'd' | 'v';
}

export interface Helper {
  id: number;
  /** Kernel name without `bpf_`. */
  name: string;
  args: readonly HelperArg[];
  ret: RetType;
  /** Program types that may call it. */
  types: readonly ProgramType[];
  /** Callable by GPL-compatible programs only. */
  gpl?: boolean;
  /** Moves packet data: all packet pointers become invalid. */
  changesPacket?: boolean;
  /** May read or write packet memory through mem arguments (kernel's pkt_access). */
  packetAccess?: boolean;
  /** Map types whose pointer may be passed. */
  mapTypes?: readonly MapTypeName[];
  /** Argument number (0-based) whose reference this call releases. */
  releases?: number;
  /** Result must be released (ringbuf_reserve). */
  acquires?: boolean;
  /** Its callback is not called by the call, but later and on a stack of its own. */
  asyncCallback?: boolean;
  /** No export: interpreter and JIT do it themselves (tail_call, loop). */
  byEngine?: boolean;
  wasm: HelperWasm;
  /**
   * Export to call instead of `wasm.name` for programs of that type, same letters: as in the kernel,
   * `redirect` of tc and of xdp are two functions. Read through `helperExport`.
   */
  exportFor?: Partial<Record<ProgramType, string>>;
  /** One line for the README's list. */
  doc: string;
}

/** Name of the core export that implements `helper` for programs of type `type`. */
export const helperExport = (helper: Helper, type: ProgramType): string =>
  helper.exportFor?.[type] ?? helper.wasm.name;

/** Every export that the entry names, each once. */
export const helperExports = (helper: Helper): readonly string[] =>
  helper.byEngine ? [] : [...new Set([...helper.types.map(t => helperExport(helper, t))])];

export const NET: readonly ProgramType[] = runnableTypes;
/** What every program has (kernel: bpf_base_func_proto). */
export const BASE: readonly ProgramType[] = [...NET, 'struct_ops'];
export const XDP: readonly ProgramType[] = typesWhere(row => row.context === 'xdp_md');
export const TC: readonly ProgramType[] = ['tc'];
export const XDP_TC: readonly ProgramType[] = typesWhere(row => row.packetPointers);
/** Programs that may take spin locks. */
export const LOCKS: readonly ProgramType[] = [...XDP_TC, 'struct_ops'];
export const SKB: readonly ProgramType[] = typesWhere(row => row.context === '__sk_buff');

/** `a('ctx', 'anything')`: argument list without attributes. */
export const a = (...types: ArgType[]): HelperArg[] => types.map(type => ({ type }));
