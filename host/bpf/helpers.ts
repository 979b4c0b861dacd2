/**
 * THE helper table: number, name, verifier prototype and Wasm export of every helper, once (DESIGN §4.3).
 * The verifier, both engines, the assembler, the disassembler and the README's list all read it.
 * Prototypes follow the kernel's `struct bpf_func_proto`; numbers include/uapi/linux/bpf.h.
 */
import type { MapTypeName, ProgramType } from './spec.js';

/** enum bpf_arg_type of the kernel, by the parts that we support. */
export type ArgType =
  | 'anything' // any initialised scalar (or pointer, where leaking is allowed)
  | 'scalar'
  | 'ctx'
  | 'const_map_ptr'
  | 'map_key' // pointer to readable memory of the map's key size
  | 'map_value' // pointer to readable memory of the map's value size
  | 'uninit_map_value' // the helper writes it (map_pop_elem, map_peek_elem)
  | 'mem' // pointer to readable memory, sized by the const_size argument that follows
  | 'mem_or_null'
  | 'uninit_mem' // the helper writes it; need not be initialised
  | 'mem_write' // initialised memory that the helper may write
  | 'const_size' // byte count, > 0, upper bound known
  | 'const_size_or_zero'
  | 'const_alloc_size_or_zero' // exact constant: ringbuf_reserve
  | 'alloc_mem' // record from ringbuf_reserve; released when the prototype says so
  | 'fixed_mem' // pointer to memory of `size` bytes (see HelperArg)
  | 'uninit_fixed_mem'
  | 'stack_or_null' // callback context
  | 'func' // callback: LDDW of a subprogram
  | 'spin_lock' // pointer to a bpf_spin_lock inside a map value
  | 'timer'
  | 'const_str' // pointer to a constant string in a read-only map
  | 'sock_common';

export type RetType =
  | 'integer'
  | 'void'
  | 'map_value_or_null'
  | 'alloc_mem_or_null' // size is the const_alloc_size_or_zero argument
  | 'mem_or_null'
  | 'socket_or_null'
  | 'sock_common_or_null';

export interface HelperArg {
  type: ArgType;
  /** Bytes, for fixed_mem. */
  size?: number;
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
  /** Map types whose pointer may be passed (none listed: every type that has the operation). */
  mapTypes?: readonly MapTypeName[];
  /** Argument number (0-based) whose reference this call releases. */
  releases?: number;
  /** Result must be released (ringbuf_reserve). */
  acquires?: boolean;
  wasm: HelperWasm;
  /** One line for the README's list. */
  doc: string;
}

const NET: readonly ProgramType[] = ['xdp', 'tc', 'socket_filter'];

export const helpers: readonly Helper[] = [
  {
    id: 1,
    name: 'map_lookup_elem',
    args: [{ type: 'const_map_ptr' }, { type: 'map_key' }],
    ret: 'map_value_or_null',
    types: NET,
    packetAccess: true,
    wasm: { name: 'map_lookup_elem', args: 'pp', result: 'p' },
    doc: 'Address of the value under a key, or NULL.',
  },
];

export const helperById: ReadonlyMap<number, Helper> = new Map(helpers.map(h => [h.id, h]));
export const helperByName: ReadonlyMap<string, Helper> = new Map(helpers.map(h => [h.name, h]));
