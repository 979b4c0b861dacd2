/** How a helper call is made: inlined, through an export of the core, or by the engine itself. */
import { calleeOf } from '../callee.js';
import { type Helper, type HelperWasm, helperById, helperExport, helperName } from '../helpers.js';
import { CallKind, type Insn } from '../insn.js';
import { type Kfunc, kfuncById } from '../kfuncs.js';
import type { MapTypeName } from '../spec.js';
import type { BoundMap, HashTableShape } from './compiled.js';
import { canInline } from './emit_table.js';
import { type Program, refuse } from './program.js';
import { ANY, ANY32, unknown, type Value, ZERO } from './values.js';

export type CallPlan =
  /** bpf_get_smp_processor_id: the lane number. */
  | { kind: 'lane' }
  /** Bounds check and address arithmetic; the key is loaded in place. */
  | { kind: 'array_lookup'; map: BoundMap; perCpu: boolean }
  /** `map` is undefined when paths disagree about it. */
  | { kind: 'tail'; map: BoundMap | undefined }
  /** `callback` is undefined when paths disagree about it. */
  | { kind: 'loop'; callback: number | undefined }
  /** With `table`, the walk stands in the program and the export is for what it does not follow. */
  /** `callback`: it calls a function of the program while it runs. */
  | { kind: 'export'; helper: Helper; name: string; callback: boolean; table?: HashTableShape }
  /** A kernel function. */
  | { kind: 'kfunc'; kfunc: Kfunc; name: string }
  /** Guarded mode: five i64 arguments. */
  | { kind: 'guarded'; name: string };

/** Map operations that the core also exports by type, as `<type>_<operation>`, with the helper's signature. */
const TYPED: ReadonlyMap<string, { operation: string; types: ReadonlySet<MapTypeName> }> = new Map(
  (
    [
      [
        'map_lookup_elem',
        'lookup_elem',
        'hash percpu_hash lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps',
      ],
      [
        'map_update_elem',
        'update_elem',
        'array percpu_array hash percpu_hash lru_hash lru_percpu_hash lpm_trie',
      ],
      ['map_delete_elem', 'delete_elem', 'hash percpu_hash lru_hash lru_percpu_hash lpm_trie'],
      ['map_push_elem', 'push_elem', 'queue stack bloom_filter'],
      ['map_pop_elem', 'pop_elem', 'queue stack'],
      ['map_peek_elem', 'peek_elem', 'queue stack bloom_filter'],
    ] as const
  ).map(([helper, operation, types]) => [
    helper,
    { operation, types: new Set(types.split(' ') as MapTypeName[]) },
  ]),
);

/** Exports that may stand in for a helper when the map's type is known. */
export function typedExports(helper: Helper): string[] {
  const typed = TYPED.get(helper.name);
  return typed ? [...typed.types].map(type => `${type}_${typed.operation}`) : [];
}

/** `value(reg)` is what is known of r1–r5. */
export function planCall(program: Program, insn: Insn, pc: number, value: (reg: number) => Value): CallPlan {
  if (program.mode === 'guarded') {
    if (insn.src === CallKind.KFUNC) throw refuse(program, pc, 'guarded programs have no kfuncs');
    const name = program.guardedHelpers.get(insn.imm);
    if (name === undefined) throw refuse(program, pc, `helper ${insn.imm} does not exist`, 'ERR_JIT_HELPER');
    return { kind: 'guarded', name };
  }
  if (insn.src === CallKind.KFUNC) {
    const kfunc = kfuncById(insn.imm);
    if (!kfunc) throw refuse(program, pc, `kfunc ${insn.imm} is not provided`, 'ERR_JIT_HELPER');
    return { kind: 'kfunc', kfunc, name: kfunc.wasm.name };
  }
  const helper = helperById.get(insn.imm);
  if (!helper) throw refuse(program, pc, `bpf_${helperName(insn.imm)} is not provided`, 'ERR_JIT_HELPER');
  const mapArg = helper.args.findIndex(a => a.type === 'const_map_ptr');
  const mapValue = mapArg < 0 ? undefined : value(mapArg + 1);
  const map = mapValue?.k === 'const' ? program.mapAt(mapValue.v) : undefined;
  switch (helper.name) {
    case 'get_smp_processor_id':
      return { kind: 'lane' };
    case 'tail_call':
      return { kind: 'tail', map };
    case 'loop': {
      const f = value(2);
      return { kind: 'loop', callback: f.k === 'func' ? f.pc : undefined };
    }
    case 'map_lookup_elem':
      if (map && (map.spec.type === 'array' || map.spec.type === 'percpu_array'))
        return { kind: 'array_lookup', map, perCpu: map.spec.type === 'percpu_array' };
  }
  return {
    kind: 'export',
    helper,
    name: exportName(program, helper, map?.spec.type),
    callback: !helper.asyncCallback && helper.args.some(a => a.type === 'func'),
    ...(helper.name === 'map_lookup_elem' && map?.table && canInline(map.table) ? { table: map.table } : {}),
  };
}

function exportName(program: Program, helper: Helper, type: MapTypeName | undefined): string {
  const typed = TYPED.get(helper.name);
  if (type && typed?.types.has(type)) return `${type}_${typed.operation}`;
  return helperExport(helper, program.spec.type);
}

/** What is known of r0 after the call. */
export function callResult(plan: CallPlan): Value {
  switch (plan.kind) {
    case 'lane':
      return unknown(8);
    case 'array_lookup':
      return ANY32;
    case 'loop':
    case 'guarded':
      return ANY;
    case 'tail':
      return ZERO;
    case 'export':
      return exportResult(plan.helper.wasm.result);
    case 'kfunc':
      return exportResult(plan.kfunc.wasm.result);
  }
}

function exportResult(letter: HelperWasm['result']): Value {
  switch (letter) {
    case 'p':
    case 'w':
      return ANY32;
    case 'v':
      return ZERO;
    default:
      return ANY;
  }
}

/** Registers that the call reads, as a mask: all five in guarded mode. */
export function helperUses(program: Program, insn: Insn): number {
  const n = program.mode === 'guarded' ? 5 : (calleeOf(insn)?.args.length ?? 5);
  return ((1 << n) - 1) << 1;
}

/**
 * Bytes of memory that argument `i` of a call points to: 0 when it points to none, undefined when it cannot be told.
 * Stack bytes outside of what helpers are given can live in locals.
 */
export function pointedBytes(
  plan: CallPlan,
  i: number,
  program: Program,
  value: (reg: number) => Value,
): number | undefined {
  if (plan.kind === 'array_lookup') return i < 2 ? 0 : undefined;
  if (plan.kind === 'kfunc') return kfuncBytes(plan.kfunc, i, value);
  if (plan.kind !== 'export') return undefined;
  const arg = plan.helper.args[i];
  if (!arg) return 0;
  const mapArg = plan.helper.args.findIndex(a => a.type === 'const_map_ptr');
  const pointer = mapArg < 0 ? undefined : value(mapArg + 1);
  const map = pointer?.k === 'const' ? program.mapAt(pointer.v) : undefined;
  switch (arg.type) {
    case 'map_key':
      return map?.spec.keySize;
    case 'map_value':
    case 'uninit_map_value':
      return map?.spec.valueSize;
    case 'fixed_mem':
    case 'uninit_fixed_mem':
      return arg.size;
    case 'mem':
    case 'mem_or_null':
    case 'uninit_mem':
    case 'mem_write':
    case 'mem_write_or_null': {
      const size = value(i + 2);
      return size.k === 'const' ? Number(BigInt.asUintN(32, size.v)) : undefined;
    }
    default:
      return undefined;
  }
}

/** The same of a kfunc's argument: `bytes` of its prototype, or what the size behind it is. */
function kfuncBytes(kfunc: Kfunc, i: number, value: (reg: number) => Value): number | undefined {
  const arg = kfunc.args[i];
  if (arg?.kind !== 'memory') return undefined;
  if (arg.bytes !== undefined) return arg.bytes;
  const size = value(i + 2);
  return size.k === 'const' ? Number(BigInt.asUintN(32, size.v)) : undefined;
}
