/**
 * Arguments of helper calls: what each kind of argument accepts, and how much memory it lets the helper touch
 * (kernel: check_func_arg, check_helper_mem_access, check_mem_size_reg).
 */
import type { Helper } from '../helpers.js';
import type { Field } from '../objects/fields.js';
import { programTypes } from '../program_types.js';
import { MAX_OFF } from './alu.js';
import type { MapInfo } from './maps.js';
import { checkMapAccess, checkPacket, checkRegion, checkUnmodified } from './memory.js';
import { checkKptr, checkKptrValue } from './objects.js';
import { markPrecise, markSlotPrecise } from './precision.js';
import {
  constVar,
  describeKind,
  Flag,
  isNull,
  isNullable,
  isPacket,
  isScalar,
  Kind,
  type Reg,
  ZERO_S,
} from './regs.js';
import { isConst } from './scalar.js';
import { Byte, byteOf, isScalarSpill, slotOf, typeAt } from './stack.js';
import { frameOf, overwriteBytes, readBytes, stackRange } from './stack_access.js';
import type { Walk } from './walk.js';

/** What the arguments of one call told. */
export interface CallMeta {
  helper: Helper;
  map: MapInfo | undefined;
  mapUid: number;
  /** Constant key of an array lookup, −1 when not known. */
  constKey: number;
  /** Bytes of the record that ringbuf_reserve gives. */
  allocSize: number;
  /** Reference released by the call. */
  release: number;
  callback: number;
  /** The kptr that is exchanged. */
  kptr: Field | undefined;
  /** Stack bytes that the helper fills. */
  fills: { reg: Reg; min: number; size: number }[];
}

/** What helpers may be given as memory. */
export const MEMORY: ReadonlySet<number> = new Set([
  Kind.STACK,
  Kind.PACKET,
  Kind.PACKET_META,
  Kind.MAP_KEY,
  Kind.MAP_VALUE,
  Kind.MEM,
]);

const argName = (h: Helper, n: number): string => `argument ${n} of ${h.name}`;

function mismatch(v: Walk, h: Helper, n: number, wanted: string): never {
  const r = v.regs[n];
  if (isNullable(r))
    v.fail(
      'null-pointer',
      `${argName(h, n)}: r${n} may be NULL: it is ${describeKind(r.kind)} or NULL, compare it with 0 first`,
    );
  return v.fail('helper-argument', `${argName(h, n)}: ${v.name(n)}, expected ${wanted}`);
}

/** `size` bytes behind register `n` that the helper reads, or writes when `write`. */
export function helperMemory(
  v: Walk,
  h: Helper | undefined,
  n: number,
  size: number,
  write: boolean,
  zeroAllowed: boolean,
  fills?: CallMeta['fills'],
): void {
  const r = v.regs[n];
  switch (r.kind) {
    case Kind.PACKET:
    case Kind.PACKET_META:
      return checkPacket(v, n, r, 0, size, zeroAllowed);
    case Kind.MAP_KEY:
      if (write) v.fail('read-only', `r${n} is the key of an element: it may not be changed`);
      return checkRegion(v, n, r, 0, size, r.map!.keySize, 'mem-bounds');
    case Kind.MAP_VALUE:
      return checkMapAccess(v, n, r, 0, size, write, zeroAllowed);
    case Kind.MEM:
      if (write && r.flags & Flag.RDONLY) v.fail('read-only', `r${n} is read-only memory`);
      return checkRegion(v, n, r, 0, size, r.size, 'mem-bounds', zeroAllowed);
    case Kind.STACK: {
      if (size === 0 && !zeroAllowed) v.fail('helper-argument', `r${n}: an access of no bytes`);
      const range = stackRange(v, n, r, 0, size);
      const frame = frameOf(v, r);
      const fixed = range.min === range.max && constVar(r) !== undefined;
      if (fills && fixed) fills.push({ reg: r, min: range.min, size });
      else readBytes(v, frame, range.min, range.max - range.min + size, write);
      return;
    }
    default:
      if (zeroAllowed && size === 0 && isNull(r)) return markPrecise(v, n);
      if (h) mismatch(v, h, n, 'memory');
      v.fail('memory-access', `${v.name(n)}, not memory`);
  }
}

function checkMemoryKind(v: Walk, h: Helper, n: number, writes: boolean): void {
  const r = v.regs[n];
  if (!MEMORY.has(r.kind) || isNullable(r)) mismatch(v, h, n, 'memory: stack, packet, map value');
  if (r.flags & Flag.RDONLY && writes) v.fail('read-only', `${argName(h, n)}: r${n} is read-only memory`);
}

/** A size argument: the memory before it must be that large. */
function checkSize(v: Walk, h: Helper, n: number, meta: CallMeta): void {
  const r = v.regs[n];
  const zeroAllowed = h.args[n - 1].type === 'const_size_or_zero';
  if (!isScalar(r)) mismatch(v, h, n, 'a number of bytes');
  if (r.s.smin < 0n)
    v.fail('helper-argument', `${argName(h, n)}: r${n} may be negative; bound it, or mask it with &`);
  if (r.s.umin === 0n && !zeroAllowed) v.fail('helper-argument', `${argName(h, n)}: r${n} may be 0 bytes`);
  if (r.s.umax >= MAX_OFF)
    v.fail('helper-argument', `${argName(h, n)}: r${n} has no upper bound; bound it, or mask it with &`);
  const memory = h.args[n - 2];
  const write = memory.type === 'uninit_mem' || memory.type.startsWith('mem_write');
  const raw = memory.type === 'uninit_mem' && isConst(r.s);
  helperMemory(v, h, n - 1, Number(r.s.umax), write, zeroAllowed, raw ? meta.fills : undefined);
  markPrecise(v, n);
}

/** kernel: get_constant_map_key. The key on the stack, when it is a constant of four bytes. */
function constantKey(v: Walk, r: Reg): number {
  const at = r.kind === Kind.STACK ? constVar(r) : undefined;
  if (at === undefined) return -1;
  const off = r.off + at;
  const frame = frameOf(v, r);
  const s = frame.slot(slotOf(off));
  const byte = byteOf(off);
  if (byte > 4) return -1;
  let zeros = 0;
  while (zeros < 4 && typeAt(s, byte + zeros) === Byte.ZERO) zeros++;
  if (zeros === 4) return 0;
  if (byte !== 0 || !isScalarSpill(s) || typeAt(s, 3) !== Byte.SPILL || typeAt(s, 4) === Byte.SPILL)
    return -1;
  if (!isConst(s.reg!.s)) return -1;
  markSlotPrecise(v, r.size, slotOf(off));
  return Number(s.reg!.s.tv & 0xffff_ffffn);
}

const ARRAYS: ReadonlySet<string> = new Set(['array', 'percpu_array']);

/** kernel: check_reg_const_str. */
function checkConstString(v: Walk, h: Helper, n: number): Uint8Array {
  const r = v.regs[n];
  const map = r.map;
  const off = constVar(r);
  if (r.kind !== Kind.MAP_VALUE || isNullable(r) || !map?.constants || off === undefined)
    return mismatch(v, h, n, 'a constant string in a read-only map');
  const from = r.off + off;
  checkMapAccess(v, n, r, 0, Math.max(map.valueSize - from, 1), false);
  const end = map.constants.indexOf(0, from);
  if (end < 0) v.fail('helper-argument', `${argName(h, n)}: the string does not end`);
  return map.constants.subarray(from, end);
}

export function checkArg(v: Walk, h: Helper, i: number, meta: CallMeta): void {
  const n = i + 1;
  const arg = h.args[i];
  if (arg.type === 'dontcare') return;
  const r = v.read(n);
  if (arg.type === 'anything') return;
  if (isPacket(r) && !(programTypes[v.type].packetPointers && h.packetAccess))
    v.fail('helper-packet', `${argName(h, n)}: ${h.name} cannot take a pointer to the packet`);
  // Taken because it is 0: a path with another number there is another path, so 0 may not be forgotten when paths are compared.
  if (isNull(r) && arg.type.endsWith('_or_null')) return markPrecise(v, n);
  switch (arg.type) {
    case 'scalar':
      if (!isScalar(r)) mismatch(v, h, n, 'a number');
      return;
    case 'ctx':
      if (r.kind !== Kind.CTX || isNullable(r)) mismatch(v, h, n, 'the context');
      return checkUnmodified(v, n, r);
    case 'const_map_ptr':
      if (r.kind !== Kind.MAP_PTR || isNullable(r)) mismatch(v, h, n, 'a map');
      if (meta.map && (meta.map !== r.map || meta.mapUid !== r.uid))
        v.fail('timer', `${argName(h, n)}: r${n} is not the map whose value the timer in r1 is in`);
      meta.map = r.map;
      meta.mapUid = r.uid;
      return;
    case 'map_key':
      checkMemoryKind(v, h, n, false);
      helperMemory(v, h, n, meta.map!.keySize, false, false);
      if (h.name === 'map_lookup_elem' && ARRAYS.has(meta.map!.type)) meta.constKey = constantKey(v, r);
      return;
    case 'map_value':
    case 'uninit_map_value': {
      const writes = arg.type === 'uninit_map_value';
      checkMemoryKind(v, h, n, writes);
      return helperMemory(v, h, n, meta.map!.valueSize, writes, false, writes ? meta.fills : undefined);
    }
    case 'mem':
    case 'mem_or_null':
      return checkMemoryKind(v, h, n, false);
    case 'uninit_mem':
    case 'mem_write':
    case 'mem_write_or_null':
      return checkMemoryKind(v, h, n, true);
    case 'const_size':
    case 'const_size_or_zero':
      return checkSize(v, h, n, meta);
    case 'const_alloc_size_or_zero':
      if (!isScalar(r) || !isConst(r.s))
        v.fail('helper-argument', `${argName(h, n)}: ${v.name(n)}, expected a constant`);
      meta.allocSize =
        r.s.tv >= 1n << 31n
          ? v.fail('helper-argument', `${argName(h, n)}: a record of ${r.s.tv} bytes`)
          : Number(r.s.tv);
      return markPrecise(v, n);
    case 'alloc_mem':
      if (r.kind !== Kind.MEM || !(r.flags & Flag.RINGBUF) || isNullable(r))
        mismatch(v, h, n, 'a record from ringbuf_reserve');
      if (h.releases === i) {
        if (r.off !== 0 || r.s !== ZERO_S)
          v.fail(
            'reference',
            `${argName(h, n)}: r${n} is moved by ${r.off}: a record is given back as it came`,
          );
        if (!r.ref) v.fail('reference', `${argName(h, n)}: r${n} holds no reference`);
        meta.release = r.ref;
      }
      return;
    case 'fixed_mem':
    case 'uninit_fixed_mem': {
      const write = arg.type === 'uninit_fixed_mem' || arg.write === true;
      checkMemoryKind(v, h, n, write);
      if (arg.aligned) checkFixedAlignment(v, h, n, r, arg.size!);
      return helperMemory(
        v,
        h,
        n,
        arg.size!,
        write,
        false,
        arg.type === 'uninit_fixed_mem' ? meta.fills : undefined,
      );
    }
    case 'stack_or_null':
      if (r.kind !== Kind.STACK) mismatch(v, h, n, 'a pointer into the stack, or NULL');
      return;
    case 'func':
      if (r.kind !== Kind.FUNC || r.off !== 0 || r.s !== ZERO_S) mismatch(v, h, n, 'a function');
      meta.callback = r.size;
      return;
    case 'spin_lock':
      if ((r.kind !== Kind.MAP_VALUE && (r.kind !== Kind.OWNED || r.flags & Flag.BORROWED)) || isNullable(r))
        mismatch(v, h, n, 'a bpf_spin_lock in a map value, or in an object that the program owns');
      return;
    case 'kptr':
      meta.kptr = checkKptr(v, n);
      return;
    case 'owned_or_null':
      meta.release = checkKptrValue(v, n, meta.kptr!);
      return;
    case 'timer':
      return checkTimer(v, h, n, meta);
    case 'const_str':
      checkConstString(v, h, n);
      return;
    default:
      v.fail('helper-argument', `${argName(h, n)}: arguments of kind ${arg.type} are not supported`);
  }
}

/** kernel: process_timer_func. */
function checkTimer(v: Walk, h: Helper, n: number, meta: CallMeta): void {
  const r = v.regs[n];
  if (r.kind !== Kind.MAP_VALUE || isNullable(r)) mismatch(v, h, n, 'a bpf_timer in a map value');
  const map = r.map!;
  const off = constVar(r);
  if (off === undefined)
    v.fail('timer', `r${n} has a variable offset: where the timer is in the value must be known`);
  if (map.timerOff < 0) v.fail('timer', `values of ${map.name} have no bpf_timer (it is found through BTF)`);
  if (r.off + off! !== map.timerOff)
    v.fail('timer', `r${n} is at byte ${r.off + off!} of the value; its bpf_timer is at ${map.timerOff}`);
  meta.map = map;
  meta.mapUid = r.uid;
}

function checkFixedAlignment(v: Walk, h: Helper, n: number, r: Reg, size: number): void {
  const mask = BigInt(size - 1);
  if (r.s.tm & mask || (r.s.tv + BigInt(r.off)) & mask)
    v.fail('alignment', `${argName(h, n)}: r${n} is not aligned to ${size} bytes`);
}

/** Stack memory that the helper fills needs no contents before and has unknown ones afterwards. */
export function applyFills(v: Walk, meta: CallMeta): void {
  for (const f of meta.fills) overwriteBytes(v, frameOf(v, f.reg), f.min, f.size);
}
