/**
 * Arguments of kfunc calls (kernel: check_kfunc_args, get_kfunc_ptr_arg_type). All of ours are KF_TRUSTED_ARGS:
 * what may be NULL is taken only where the prototype says `__nullable`.
 */
import type { Kfunc, KfuncArg } from '../kfuncs.js';
import { objectTypes } from '../kfuncs.js';
import { MAX_OFF } from './alu.js';
import { helperMemory, MEMORY } from './helper_args.js';
import { describe } from './log.js';
import type { MapInfo } from './maps.js';
import { checkMapAccess } from './memory.js';
import { checkHead, checkNode, checkObjectArg, checkType, type ObjectMeta } from './objects.js';
import { markPrecise } from './precision.js';
import { constVar, isNull, isNullable, isPacket, isScalar, Kind, nonNull, type Reg, ZERO_S } from './regs.js';
import { isConst } from './scalar.js';
import type { Walk } from './walk.js';

/** What the arguments of one call told. */
export interface KfuncMeta {
  map: MapInfo | undefined;
  /** Reference released by the call, 0 = none. */
  release: number;
  objects: ObjectMeta;
}

const where = (k: Kfunc, n: number): string => `argument ${n} (${k.args[n - 1].name}) of ${k.name}`;

function mismatch(v: Walk, k: Kfunc, n: number, wanted: string): never {
  const r = v.regs[n];
  if (isNullable(r))
    v.fail(
      'null-pointer',
      `${where(k, n)}: r${n} may be NULL: it is ${describe(r)}; compare it with 0 first`,
    );
  return v.fail('kfunc-argument', `${where(k, n)}: ${v.name(n)}, expected ${wanted}`);
}

/** `size` bytes behind r`n` that the kfunc reads, and writes unless it promised not to. */
function checkBytes(v: Walk, n: number, size: number, write: boolean): void {
  const r = v.regs[n];
  // What may be NULL got here because the prototype allows it; otherwise it is memory.
  if (isNullable(r)) v.regs[n] = nonNull(r);
  helperMemory(v, undefined, n, size, false, true);
  if (write) helperMemory(v, undefined, n, size, true, true);
  v.regs[n] = r;
}

/** Is it NULL, and may it be? 0 must then hold on every path that is merged here. */
function isAllowedNull(v: Walk, n: number, nullable: boolean): boolean {
  if (!nullable || !isNull(v.regs[n])) return false;
  markPrecise(v, n);
  return true;
}

function checkMemory(v: Walk, k: Kfunc, n: number, arg: KfuncArg & { kind: 'memory' }): void {
  if (isAllowedNull(v, n, arg.nullable)) return;
  const r = v.regs[n];
  const known = MEMORY.has(r.kind) && (arg.nullable || !isNullable(r));
  if (!known)
    mismatch(
      v,
      k,
      n,
      arg.bytes === undefined ? 'memory' : `${arg.bytes} bytes of memory: stack, packet, map value`,
    );
  if (isPacket(r) && k.changesPacket)
    v.fail('kfunc-argument', `${where(k, n)}: r${n} points into the packet, which ${k.name} may move`);
  if (arg.bytes !== undefined) checkBytes(v, n, arg.bytes, arg.write);
}

/** A size argument: the memory before it must be that large (kernel: check_kfunc_mem_size_reg). */
function checkSize(v: Walk, k: Kfunc, n: number, arg: KfuncArg & { kind: 'size' }): void {
  const r = v.regs[n];
  if (!isScalar(r)) mismatch(v, k, n, 'a number of bytes');
  if (arg.constant && !isConst(r.s)) mismatch(v, k, n, 'a constant');
  const memory = k.args[n - 2];
  if (memory.kind === 'memory' && !(memory.nullable && isNull(v.regs[n - 1]))) {
    if (r.s.smin < 0n)
      v.fail('kfunc-argument', `${where(k, n)}: r${n} may be negative; bound it, or mask it with &`);
    if (r.s.umax >= MAX_OFF)
      v.fail('kfunc-argument', `${where(k, n)}: r${n} has no upper bound; bound it, or mask it with &`);
    checkBytes(v, n - 1, Number(r.s.umax), memory.write);
  }
  markPrecise(v, n);
}

function checkObject(
  v: Walk,
  k: Kfunc,
  n: number,
  arg: KfuncArg & { kind: 'object' },
  meta: KfuncMeta,
): void {
  if (isAllowedNull(v, n, arg.nullable)) return;
  const r = v.regs[n];
  if (r.kind !== Kind.OBJECT || (isNullable(r) && !arg.nullable))
    mismatch(v, k, n, `a struct ${arg.object.name} that a kernel function gave`);
  if (r.size !== arg.object.index)
    v.fail(
      'kfunc-argument',
      `${where(k, n)}: r${n} is a struct ${objectTypes[r.size].name}, expected a struct ${arg.object.name}`,
    );
  if (r.off !== 0 || r.s !== ZERO_S)
    v.fail('reference', `${where(k, n)}: r${n} is moved: a struct ${arg.object.name} is passed as it came`);
  if (k.releases !== n - 1) return;
  if (!r.ref) v.fail('reference', `${where(k, n)}: r${n} holds no reference that could be released`);
  meta.release = r.ref;
}

/** kernel: check_reg_const_str. */
function checkString(v: Walk, k: Kfunc, n: number): void {
  const r = v.regs[n];
  const { map } = r;
  const off = constVar(r);
  if (r.kind !== Kind.MAP_VALUE || isNullable(r) || !map?.constants || off === undefined)
    return mismatch(v, k, n, 'a constant string in a read-only map');
  const from = r.off + off;
  checkMapAccess(v, n, r, 0, Math.max(map.valueSize - from, 1), false);
  if (map.constants.indexOf(0, from) < 0) v.fail('kfunc-argument', `${where(k, n)}: the string does not end`);
}

export function checkKfuncArg(v: Walk, k: Kfunc, i: number, meta: KfuncMeta): void {
  const n = i + 1;
  const arg = k.args[i];
  if (arg.kind === 'ignored' || arg.kind === 'type') return;
  const r = v.read(n);
  switch (arg.kind) {
    case 'scalar':
      if (!isScalar(r)) mismatch(v, k, n, 'a number');
      return;
    case 'constant':
      if (k.makes) return checkType(v, k, n, meta.objects);
      if (!isScalar(r) || !isConst(r.s)) mismatch(v, k, n, 'a constant');
      return markPrecise(v, n);
    case 'ctx':
      if (r.kind !== Kind.CTX || isNullable(r)) mismatch(v, k, n, 'the context');
      return checkMoved(v, k, n, r);
    case 'memory':
      return checkMemory(v, k, n, arg);
    case 'size':
      return checkSize(v, k, n, arg);
    case 'object':
      return checkObject(v, k, n, arg, meta);
    case 'map':
      if (r.kind !== Kind.MAP_PTR || isNullable(r) || !r.map) return mismatch(v, k, n, 'a map');
      if (!k.mapTypes!.includes(r.map.type))
        v.fail('kfunc-argument', `${where(k, n)}: ${r.map.name} is a map of type ${r.map.type}`);
      meta.map = r.map;
      return;
    case 'string':
      return checkString(v, k, n);
    case 'owned':
      meta.release = checkObjectArg(v, k, n, arg, meta.objects);
      return;
    case 'head':
      return checkHead(v, k, n, arg, meta.objects);
    case 'node':
      return checkNode(v, k, n, arg, meta.objects);
    case 'callback':
      if (r.kind !== Kind.FUNC || r.off !== 0 || r.s !== ZERO_S) mismatch(v, k, n, 'a function');
      meta.objects.callback = r.size;
      return;
  }
}

function checkMoved(v: Walk, k: Kfunc, n: number, r: Reg): void {
  if (r.off !== 0 || r.s !== ZERO_S)
    v.fail('ctx-modified', `${where(k, n)}: r${n} is a moved context pointer: it is used as it came`);
}
