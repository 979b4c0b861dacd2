/**
 * Helper calls of the interpreter: arguments are checked against the prototype as far as memory goes,
 * then the core's export is called. Callbacks come back through a small Wasm trampoline in the lane's table.
 */
import {
  GraphNodeView,
  MapHeaderView,
  type MapType,
  ObjectHeadLayout,
  ObjectHeadView,
  ObjectTypeView,
  MapType as Type,
} from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import type { Btf } from '../btf/btf.js';
import {
  type ArgType,
  type Helper,
  type HelperWasm,
  helperById,
  helperExport,
  helperName,
} from '../helpers.js';
import type { ProgramType } from '../spec.js';
import { FRAME_BYTES, FUNC_TAG, type HelperResult, type Machine } from './machine.js';
import { InterpFault, Regions } from './regions.js';
import { callbackTrampoline } from './trampoline.js';

const R10 = 10;
/** BPF_MAX_LOOPS. */
const MAX_LOOPS = 1 << 23;
const EINVAL = 22n;
const E2BIG = 7n;
const RDONLY_PROG = 128;
const u64 = (v: bigint): bigint => BigInt.asUintN(64, v);

/** Longest constant string that a helper may be given, bytes. */
const MAX_STRING = 4096;

interface MemUse {
  /** 0: any size is fine (the pointer is not followed). */
  bytes: number;
  write: boolean;
}

export interface HelperHost {
  readonly arena: Arena;
  readonly core: Core;
  readonly regions: Regions;
  readonly type: ProgramType;
  /** Types of the program that runs. */
  readonly btf: Btf | undefined;
  /** Address of the context. */
  readonly ctx: number;
  /** Map pointers that the program may hold. */
  readonly mapPointers: Set<number>;
  tailCall(machine: Machine, slot: number): bigint;
  /** Table slot under which the function at `entry` is called later, by itself. */
  asyncCallback(machine: Machine, entry: number): number;
  /** Tail calls made by the run so far, all programs together. */
  tailCalls: number;
}

const MAX_TAIL_CALLS = 33;

/** Calls helper `id` with r1–r5 of the machine. */
export function callHelper(host: HelperHost, machine: Machine, id: number, pc: number): HelperResult {
  const helper = helperById.get(id);
  const fail = (what: string): never => {
    throw new InterpFault('helper', pc, `bpf_${helperName(id)}: ${what}`);
  };
  if (!helper) return fail('not provided');
  const { regs } = machine;
  const map = mapArgument(host, helper, regs, fail);
  checkArguments(host, helper, regs, map, pc, fail);
  if (helper.name === 'tail_call') return tailCall(host, machine, map!);
  if (helper.name === 'loop') return loop(machine, pc, fail);

  const name = helperExport(helper, host.type);
  const fn = (host.core.exports as unknown as Record<string, ((...a: unknown[]) => unknown) | undefined>)[
    name
  ];
  if (!fn) return fail(`the core has no export ${name}`);
  const slots: number[] = [];
  const args = [...helper.wasm.args].map((letter, i) => {
    const v = regs[i + 1];
    if (helper.args[i]?.type === 'func') {
      const entry = Number(v & 0xffffffffn);
      if (helper.asyncCallback) return host.asyncCallback(machine, entry);
      const slot = bindCallback(host, machine, entry);
      slots.push(slot);
      return slot;
    }
    return letter === 'd' ? BigInt.asIntN(64, v) : Number(BigInt.asIntN(32, v));
  });
  let raw: unknown;
  try {
    raw = fn(...args);
  } finally {
    for (const slot of slots) host.core.table.set(slot, null);
  }
  const r0 = widen(helper.wasm.result, raw);
  noteResult(host, helper, regs, map, r0);
  return r0;
}

/** What an export gave as r0 holds it. */
export function widen(letter: HelperWasm['result'], raw: unknown): bigint {
  switch (letter) {
    case 'v':
      return 0n;
    case 'd':
      return u64(raw as bigint);
    case 'i':
      return u64(BigInt(raw as number));
    default:
      return BigInt((raw as number) >>> 0);
  }
}

function mapArgument(
  host: HelperHost,
  helper: Helper,
  regs: BigUint64Array,
  fail: (what: string) => never,
): MapHeaderView | undefined {
  const i = helper.args.findIndex(a => a.type === 'const_map_ptr');
  if (i < 0) return undefined;
  const at = regs[i + 1];
  if (!host.mapPointers.has(Number(at))) return fail(`r${i + 1} = 0x${at.toString(16)} is no map`);
  return new MapHeaderView(host.arena.dv, Number(at));
}

function memoryUse(
  type: ArgType,
  arg: { size?: number; write?: boolean },
  map: MapHeaderView | undefined,
  size: bigint,
): MemUse | undefined {
  switch (type) {
    case 'map_key':
      return { bytes: map?.keySize ?? 0, write: false };
    case 'map_value':
      return { bytes: map?.valueSize ?? 0, write: false };
    case 'uninit_map_value':
      return { bytes: map?.valueSize ?? 0, write: true };
    case 'mem':
    case 'mem_or_null':
      return { bytes: Number(size & 0xffffffffn), write: false };
    case 'uninit_mem':
    case 'mem_write':
    case 'mem_write_or_null':
      return { bytes: Number(size & 0xffffffffn), write: true };
    case 'fixed_mem':
      return { bytes: arg.size ?? 0, write: arg.write === true };
    case 'uninit_fixed_mem':
      return { bytes: arg.size ?? 0, write: true };
    case 'spin_lock':
      return { bytes: 4, write: true };
    case 'timer':
      return { bytes: 16, write: true };
    case 'kptr':
      return { bytes: 8, write: true };
    default:
      return undefined;
  }
}

function checkArguments(
  host: HelperHost,
  helper: Helper,
  regs: BigUint64Array,
  map: MapHeaderView | undefined,
  pc: number,
  fail: (what: string) => never,
): void {
  helper.args.forEach((arg, i) => {
    const v = regs[i + 1];
    const name = `r${i + 1}`;
    if (arg.type === 'ctx' && v !== BigInt(host.ctx)) fail(`${name} is not the context`);
    if (arg.type === 'func' && (v & ~0xffffffffn) !== FUNC_TAG) fail(`${name} is no function`);
    if (arg.type === 'alloc_mem' && !host.regions.objectAt(Number(v))) fail(`${name} is no record`);
    if (arg.type === 'const_str') {
      let end = Number(v);
      do {
        const broken = host.regions.check(end, 1, false);
        if (broken || end - Number(v) > MAX_STRING)
          throw Regions.fault(pc, end, 1, false, broken ?? { rule: 'bounds', region: undefined });
      } while (host.arena.u8[end++] !== 0);
    }
    const use = memoryUse(arg.type, arg, map, regs[i + 2] ?? 0n);
    if (!use || use.bytes === 0) return;
    if (v === 0n && arg.type.endsWith('_or_null')) return;
    const broken = host.regions.check(Number(v), use.bytes, use.write);
    if (broken) throw Regions.fault(pc, Number(v), use.bytes, use.write, broken);
  });
}

/** The object that a node of a list or tree is in. */
export const objectOfNode = (host: HelperHost, at: number): number =>
  new GraphNodeView(host.arena.dv, at).object;

/** An object that the program may touch from now on. */
export function addOwned(host: HelperHost, at: number): void {
  const { dv } = host.arena;
  const type = new ObjectTypeView(dv, new ObjectHeadView(dv, at - ObjectHeadLayout.size).typeAt);
  host.regions.addObject('object', at, type.bytes, true);
}

/** What the program may touch after the call that it could not before, and the reverse. */
function noteResult(
  host: HelperHost,
  helper: Helper,
  regs: BigUint64Array,
  map: MapHeaderView | undefined,
  r0: bigint,
): void {
  if (helper.ret === 'owned_or_null') {
    host.regions.removeObject(Number(regs[2]));
    if (r0 !== 0n) addOwned(host, Number(r0));
    return;
  }
  if (helper.releases !== undefined) host.regions.removeObject(Number(regs[helper.releases + 1]));
  if (r0 === 0n) return;
  if (helper.ret === 'map_value_or_null' && map) {
    const type = map.type as MapType;
    if (type === Type.ARRAY_OF_MAPS || type === Type.HASH_OF_MAPS) host.mapPointers.add(Number(r0));
    else
      host.regions.addObject(`value of map ${map.id}`, Number(r0), map.valueSize, !(map.flags & RDONLY_PROG));
  } else if (helper.ret === 'alloc_mem_or_null') {
    const size = helper.args.findIndex(a => a.type === 'const_alloc_size_or_zero');
    host.regions.addObject('record', Number(r0), Number(regs[size + 1]), true);
  }
}

function tailCall(host: HelperHost, machine: Machine, map: MapHeaderView): HelperResult {
  const index = Number(machine.regs[3] & 0xffffffffn);
  if (index >= map.maxEntries || host.tailCalls >= MAX_TAIL_CALLS) return failedTailCall(machine);
  const slot = host.arena.dv.getUint32(map.dataAt + index * map.stride, true);
  if (slot === 0) return failedTailCall(machine);
  host.tailCalls++;
  return { leave: host.tailCall(machine, slot) };
}

/** A tail call that falls through leaves r0 as it was: the kernel's JIT does not touch it. */
const failedTailCall = (machine: Machine): bigint => machine.regs[0];

function loop(machine: Machine, pc: number, fail: (what: string) => never): bigint {
  const { regs } = machine;
  if ((regs[2] & ~0xffffffffn) !== FUNC_TAG) fail('r2 is no function');
  if (regs[4] !== 0n) return u64(-EINVAL);
  const n = Number(regs[1] & 0xffffffffn);
  if (n > MAX_LOOPS) return u64(-E2BIG);
  const entry = Number(regs[2] & 0xffffffffn);
  const ctx = regs[3];
  for (let i = 0; i < n; i++) {
    if (--machine.budget.left < 0) throw new InterpFault('budget', pc, 'instruction budget spent');
    if (callBack(machine, entry, [BigInt(i), ctx, 0n, 0n, 0n]) !== 0n) return BigInt(i + 1);
  }
  return BigInt(n);
}

/** Runs a callback in a frame below the caller's; the caller's registers are as before afterwards. */
function callBack(machine: Machine, entry: number, args: readonly bigint[]): bigint {
  const saved = machine.regs.slice();
  args.forEach((v, i) => {
    machine.regs[i + 1] = v;
  });
  const r0 = machine.call(entry, Number(saved[R10]) - FRAME_BYTES);
  machine.regs.set(saved);
  return r0;
}

/** Puts a function that runs the callback at slot `entry` of the program into the lane's table. */
export function bindCallback(host: HelperHost, machine: Machine, entry: number, nodes = false): number {
  const { table } = host.core;
  let slot = table.length - 1;
  while (slot > 0 && table.get(slot) !== null) slot--;
  if (slot === 0) slot = table.grow(1);
  const valid = (at: number, bytes: number): void => {
    if (bytes > 0) host.regions.addObject('callback argument', at, bytes, true);
  };
  table.set(
    slot,
    callbackTrampoline((map, key, value, ctx, extra) => {
      if (nodes) for (const node of [map, key]) addOwned(host, objectOfNode(host, Number(u64(node))));
      // for_each_map_elem hands the callback a map, the key and the value of an element.
      else if (host.mapPointers.has(Number(map))) {
        const header = new MapHeaderView(host.arena.dv, Number(map));
        valid(Number(u64(key)), header.keySize);
        valid(Number(u64(value)), header.valueSize);
      }
      return BigInt.asIntN(64, callBack(machine, entry, [map, key, value, ctx, extra].map(u64)));
    }),
  );
  return slot;
}
