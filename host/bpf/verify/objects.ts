/**
 * Objects that programs make: who owns them, what may be read and written of them, how they come into lists and trees and
 * out again (kernel: process_kf_arg_ptr_to_list_head and its kin, ref_convert_owning_non_owning, btf_struct_access).
 *
 *   owned     a reference: given up (bpf_obj_drop, bpf_kptr_xchg), or given to a list or tree, on every path
 *   borrowed  what a list or tree owns: read and written while its lock is held, a number afterwards
 */
import { CallKind } from '../insn.js';
import type { Kfunc, KfuncArg } from '../kfuncs.js';
import { type Field, FieldKind, type FieldRecord } from '../objects/fields.js';
import { mapRegs } from './jumps.js';
import { describe } from './log.js';
import { describeStruct, structAccess } from './object_access.js';
import { markPrecise } from './precision.js';
import {
  constVar,
  Flag,
  isNull,
  isNullable,
  isScalar,
  Kind,
  pointer,
  Reg,
  UNKNOWN_REG,
  ZERO_S,
} from './regs.js';
import { isConst } from './scalar.js';
import type { State } from './state.js';
import type { Walk } from './walk.js';

/** `map` of a lock that lies in an object. */
export const IN_OBJECT = Symbol('a lock in an object');

/** What the arguments of a call on objects told. */
export interface ObjectMeta {
  /** Head of the list or tree. */
  head: Field | undefined;
  /** Object among the arguments. */
  object: Reg | undefined;
  /** Reference that the call gives to the list or tree. */
  given: number;
  /** Function that the call calls, −1: none. */
  callback: number;
  /** Structure that the call makes an object of, −1: none. */
  made: number;
}

export const noObjects = (): ObjectMeta => ({
  head: undefined,
  object: undefined,
  given: 0,
  callback: -1,
  made: -1,
});

const where = (k: Kfunc, n: number): string => `argument ${n} (${k.args[n - 1].name}) of ${k.name}`;
const KIND: Readonly<Record<string, number>> = {
  bpf_list_head: FieldKind.LIST_HEAD,
  bpf_rb_root: FieldKind.RB_ROOT,
  bpf_list_node: FieldKind.LIST_NODE,
  bpf_rb_node: FieldKind.RB_NODE,
};

function mismatch(v: Walk, k: Kfunc, n: number, wanted: string): never {
  const r = v.regs[n];
  if (isNullable(r))
    v.fail(
      'null-pointer',
      `${where(k, n)}: r${n} may be NULL: it is ${describe(r)}; compare it with 0 first`,
    );
  return v.fail('kfunc-argument', `${where(k, n)}: ${v.name(n)}, expected ${wanted}`);
}

/** An object that the program owns. */
function checkOwned(v: Walk, k: Kfunc, n: number): Reg {
  const r = v.regs[n];
  if (r.kind !== Kind.OWNED || isNullable(r) || r.flags & Flag.BORROWED)
    mismatch(v, k, n, 'an object that the program owns');
  if (!r.ref) v.fail('reference', `${where(k, n)}: r${n} holds no reference that could be given up`);
  return r;
}

/** An object, for bpf_obj_drop (an owned one) and bpf_refcount_acquire (any that is counted). */
export function checkObjectArg(
  v: Walk,
  k: Kfunc,
  n: number,
  arg: KfuncArg & { kind: 'owned' },
  meta: ObjectMeta,
): number {
  const r = v.regs[n];
  if (!arg.counted) checkOwned(v, k, n);
  else if (r.kind !== Kind.OWNED || isNullable(r)) mismatch(v, k, n, 'an object');
  else if ((v.structs.get(r.size)?.refcountOff ?? -1) < 0)
    v.fail('object', `${where(k, n)}: ${describeStruct(v, r.size)} has no bpf_refcount: it has one owner`);
  if (r.off !== 0 || r.s !== ZERO_S)
    v.fail('reference', `${where(k, n)}: r${n} is moved by ${r.off}: an object is passed by its start`);
  meta.object = r;
  return arg.counted ? 0 : r.ref;
}

/** Whether the lock beside the head is held. */
function checkLocked(v: Walk, k: Kfunc, n: number, r: Reg, record: FieldRecord, name: string): void {
  const held = v.cur.lock;
  if (!held)
    v.fail(
      'spin-lock',
      `${where(k, n)}: the bpf_spin_lock at byte ${record.lockOff} must be held for the ${name}`,
    );
  if (held!.map !== (r.kind === Kind.OWNED ? IN_OBJECT : r.map) || held!.id !== r.id)
    v.fail(
      'spin-lock',
      `${where(k, n)}: the lock taken at ${held!.insn} is not the one beside the ${name} of r${n}`,
    );
}

/** Head of a list or tree: its member, its lock. */
export function checkHead(
  v: Walk,
  k: Kfunc,
  n: number,
  arg: KfuncArg & { kind: 'head' },
  meta: ObjectMeta,
): void {
  const r = v.regs[n];
  const owned = r.kind === Kind.OWNED && !(r.flags & Flag.BORROWED) && r.ref !== 0;
  if ((r.kind !== Kind.MAP_VALUE && !owned) || isNullable(r))
    mismatch(v, k, n, `a ${arg.field} in a map value, or in an object that the program owns`);
  const moved = constVar(r);
  if (moved === undefined)
    return v.fail(
      'graph',
      `${where(k, n)}: r${n} has a variable offset: where the ${arg.field} is must be known`,
    );
  const record = v.recordOf(r);
  const at = r.off + moved;
  const field = record?.fields.find(f => f.off === at && f.kind === KIND[arg.field]);
  if (!record || !field)
    return v.fail('graph', `${where(k, n)}: there is no ${arg.field} at byte ${at} of ${describe(r)}`);
  if (r.map && r.map.btf !== v.spec.btf)
    v.fail('object-type', `${where(k, n)}: the types of ${r.map.name} are another file's than the program's`);
  checkLocked(v, k, n, r, record, arg.field);
  meta.head = field;
}

/** Node of an object: one of the head's type. */
export function checkNode(
  v: Walk,
  k: Kfunc,
  n: number,
  arg: KfuncArg & { kind: 'node' },
  meta: ObjectMeta,
): void {
  const r = arg.use === 'given' ? checkOwned(v, k, n) : v.regs[n];
  if (r.kind !== Kind.OWNED || isNullable(r) || !(r.ref || r.flags & Flag.BORROWED))
    mismatch(v, k, n, `a ${arg.field} of an object, owned or borrowed`);
  const moved = constVar(r);
  if (moved === undefined)
    return v.fail(
      'graph',
      `${where(k, n)}: r${n} has a variable offset: where the ${arg.field} is must be known`,
    );
  if (inOrdering(v))
    v.fail('callback', `${k.name} changes or walks a tree in a function that orders its nodes`);
  const head = meta.head!;
  const at = r.off + moved;
  if (!v.structs.get(r.size)?.fields.some(f => f.off === at && f.kind === KIND[arg.field]))
    v.fail('graph', `${where(k, n)}: there is no ${arg.field} at byte ${at} of ${describeStruct(v, r.size)}`);
  if (r.size !== head.holds || at !== head.nodeOff)
    v.fail(
      'graph',
      `${where(k, n)}: the ${head.name} holds ${describeStruct(v, head.holds!)} by byte ${head.nodeOff}, r${n} is at byte ${at} of ${describeStruct(v, r.size)}`,
    );
  meta.object = r;
  if (arg.use === 'given') meta.given = r.ref;
}

/** Whether a function that orders nodes is being walked: the lock stays as it is, the tree too. */
export const inOrdering = (v: Walk): boolean =>
  v.cur.frames.some(f => f.inCallback && v.insns[f.callsite].src === CallKind.KFUNC);

/** The type that bpf_obj_new is asked for: a structure, the same on every path. */
export function checkType(v: Walk, k: Kfunc, n: number, meta: ObjectMeta): void {
  const r = v.regs[n];
  if (!isScalar(r) || !isConst(r.s)) mismatch(v, k, n, 'the id of a structure, a constant');
  markPrecise(v, n);
  const id = r.s.tv;
  const type = id <= 0xffff_ffffn ? v.spec.btf?.types[Number(id)] : undefined;
  if (type?.kind !== 'struct')
    return v.fail(
      'object-type',
      `${where(k, n)}: type ${id} is no structure of the program: ${type?.kind ?? 'there is none'}`,
    );
  if (type.size === 0) v.fail('object-type', `${where(k, n)}: ${describeStruct(v, Number(id))} has no bytes`);
  if (!v.facts.noteMade(v.pc, Number(id)))
    v.fail('object-type', `${where(k, n)}: another structure than on another path to this call`);
  meta.made = Number(id);
}

const owned = (v: Walk, id: number, more: Partial<Reg>): Reg => {
  const lockable = (v.structs.get(id)?.lockOff ?? -1) >= 0;
  const r = pointer(Kind.OWNED, {
    ...more,
    size: id,
    flags: (more.flags ?? 0) | (lockable ? Flag.LOCKABLE : 0),
  });
  return lockable && !r.id ? new Reg(r.kind, r.s, r.off, v.newId(), r.flags, r.size, r.map, r.ref, r.uid) : r;
};

/** An object that the call gives the program a reference to. */
export function acquireObject(v: Walk, id: number, nullable: boolean, off = 0): Reg {
  const ref = v.newId();
  v.cur.refs = [...v.cur.refs, { id: ref, insn: v.pc }];
  return owned(v, id, { ref, off, id: nullable ? ref : 0, flags: nullable ? Flag.NULLABLE : 0 });
}

/** What r0 holds after a call on objects. */
export function objectResult(v: Walk, k: Kfunc, meta: ObjectMeta): Reg {
  if (meta.made >= 0) return acquireObject(v, meta.made, true);
  const { head, object } = meta;
  if (!head) {
    // One more reference to what is owned anyway cannot fail.
    return acquireObject(v, object!.size, (object!.flags & Flag.BORROWED) !== 0);
  }
  if (k.acquires) return acquireObject(v, head.holds!, true, head.nodeOff);
  return owned(v, head.holds!, { off: head.nodeOff!, id: v.newId(), flags: Flag.NULLABLE | Flag.BORROWED });
}

/** The list or tree owns it from here on: whoever held it has borrowed it now. */
export function giveAway(v: Walk, ref: number): void {
  v.cur.refs = v.cur.refs.filter(r => r.id !== ref);
  mapRegs(v.cur, r =>
    r.ref === ref ? new Reg(r.kind, r.s, r.off, r.id, r.flags | Flag.BORROWED, r.size, r.map, 0, r.uid) : r,
  );
}

/** The lock is let go: what was borrowed may be anybody's. */
export function endBorrowing(state: State): void {
  mapRegs(state, r => (r.flags & Flag.BORROWED && r.kind === Kind.OWNED ? UNKNOWN_REG : r));
}

/** r1 and r2 of a function that orders nodes: nodes of the head's type, borrowed, never NULL. */
export function orderedNode(v: Walk, head: Field): Reg {
  return owned(v, head.holds!, { off: head.nodeOff!, flags: Flag.BORROWED });
}

/** A kptr, and what may be put into it (kernel: process_kptr_func, map_kptr_match_type). */
export function checkKptr(v: Walk, n: number): Field {
  const r = v.regs[n];
  if ((r.kind !== Kind.MAP_VALUE && r.kind !== Kind.OWNED) || isNullable(r) || r.flags & Flag.BORROWED)
    v.fail(
      'helper-argument',
      `argument ${n} of kptr_xchg: ${v.name(n)}, expected a kptr in a map value or an owned object`,
    );
  const moved = constVar(r);
  const at = r.off + (moved ?? 0);
  const field = v.recordOf(r)?.fields.find(f => f.off === at && f.kind === FieldKind.KPTR);
  if (moved === undefined || !field)
    return v.fail('object', `argument ${n} of kptr_xchg: there is no kptr at byte ${at} of ${describe(r)}`);
  if (r.map && r.map.btf !== v.spec.btf)
    v.fail(
      'object-type',
      `argument ${n} of kptr_xchg: the types of ${r.map.name} are another file's than the program's`,
    );
  return field;
}

export function checkKptrValue(v: Walk, n: number, field: Field): number {
  const r = v.regs[n];
  if (isNull(r)) {
    markPrecise(v, n);
    return 0;
  }
  if (r.kind !== Kind.OWNED || r.flags & Flag.BORROWED || !r.ref)
    v.fail(
      'helper-argument',
      `argument ${n} of kptr_xchg: ${v.name(n)}, expected an object that the program owns, or NULL`,
    );
  if (r.off !== 0 || r.s !== ZERO_S)
    v.fail(
      'reference',
      `argument ${n} of kptr_xchg: r${n} is moved by ${r.off}: an object is passed by its start`,
    );
  if (r.size !== field.holds)
    v.fail(
      'object',
      `argument ${n} of kptr_xchg: r${n} is ${describeStruct(v, r.size)}, the kptr holds ${describeStruct(v, field.holds!)}`,
    );
  return r.ref;
}

/** A load or store through r`n`. */
export function checkObjectAccess(v: Walk, n: number, r: Reg, off: number, size: number): void {
  const moved = constVar(r);
  if (moved === undefined)
    return v.fail(
      'mem-bounds',
      `r${n} is ${describeStruct(v, r.size)} with a variable offset: members are found by a constant`,
    );
  const at = r.off + moved + off;
  for (const f of v.structs.get(r.size)?.fields ?? [])
    if (at < f.off + f.bytes && f.off < at + size)
      v.fail(
        'object',
        `r${n}: bytes ${f.off} to ${f.off + f.bytes - 1} of ${describeStruct(v, r.size)} are a ${f.name}, which only helpers and kfuncs touch`,
      );
  structAccess(v, n, r.size, at, size);
}
