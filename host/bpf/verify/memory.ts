/**
 * Loads, stores and atomics: what a pointer may be used for (kernel: check_mem_access and what it calls).
 */
import { Atomic, Class, classOf, type Insn, Mode, Pseudo, sizeBytes } from '../insn.js';
import { type ObjectField, objectTypes } from '../kfuncs.js';
import { programTypes } from '../program_types.js';
import { MAX_OFF } from './alu.js';
import { argument, ctxAccess, sockAccess } from './ctx_access.js';
import { describePlace } from './log.js';
import type { MapInfo } from './maps.js';
import { checkObjectAccess } from './objects.js';
import {
  constReg,
  constVar,
  describeKind,
  Flag,
  isNullable,
  Kind,
  pointer,
  type Reg,
  scalarReg,
  ZERO_S,
} from './regs.js';
import { constant, S64_MIN } from './scalar.js';
import { loadRange } from './scalar_draft.js';
import { signExtend, truncate } from './scalar_width.js';
import { frameOf, loadFixed, loadVariable, stackRange, storeFixed, storeVariable } from './stack_access.js';
import type { Walk } from './walk.js';

const REACHES = (r: Reg, off: number, size: number): string => {
  const at = BigInt(r.off + off);
  const from = at + r.s.umin;
  const to = at + r.s.umax + BigInt(size);
  return r.s === ZERO_S ? `${from + BigInt(size)} needed` : `up to ${to} needed`;
};

/** kernel: check_mem_region_access over `total` bytes. */
export function checkRegion(
  v: Walk,
  n: number,
  r: Reg,
  off: number,
  size: number,
  total: number,
  rule: 'map-bounds' | 'mem-bounds' | 'packet-bounds',
  zeroAllowed = false,
): void {
  if (r.s === ZERO_S) {
    const from = r.off + off;
    if (from >= 0 && (size > 0 || zeroAllowed) && from + size <= total) return;
  }
  const at = BigInt(r.off + off);
  const ok = (from: bigint): boolean =>
    from >= 0n && (size > 0 || zeroAllowed) && from + BigInt(size) <= BigInt(total);
  const sum = at + r.s.smin;
  if (r.s.smin < 0n && (r.s.smin === S64_MIN || sum !== BigInt.asIntN(32, sum) || sum < 0n))
    v.fail(rule, `r${n} is ${describePlace(r)}: its offset may be negative`);
  if (!ok(sum)) v.fail(rule, `r${n} is ${describePlace(r)} with ${total} bytes, ${REACHES(r, off, size)}`);
  if (r.s.umax >= MAX_OFF) v.fail(rule, `r${n} is ${describePlace(r)}: its offset has no upper bound`);
  if (!ok(at + r.s.umax))
    v.fail(rule, `r${n} is ${describePlace(r)} with ${total} bytes, ${REACHES(r, off, size)}`);
}

/** kernel: check_packet_access. */
export function checkPacket(
  v: Walk,
  n: number,
  r: Reg,
  off: number,
  size: number,
  zeroAllowed = false,
): void {
  if (r.s.smin < 0n) v.fail('packet-bounds', `r${n} is ${describePlace(r)}: its offset may be negative`);
  const at = r.off + off;
  const proven = Math.max(r.size, 0);
  if (r.size < 0 || at < 0 || at + size > proven || (size === 0 && !zeroAllowed))
    v.fail(
      'packet-bounds',
      `r${n} is ${describeKind(r.kind)}+${r.off}${r.s === ZERO_S ? '' : '+variable'} with ${proven} bytes proven, ${at + size} needed`,
    );
}

/** Loads and stores may not touch what only helpers may. */
function checkSpecial(v: Walk, n: number, r: Reg, off: number, size: number): void {
  for (const f of r.map!.special) {
    const from = r.s.smin + BigInt(r.off + off);
    const to = r.s.umax + BigInt(r.off + off + size);
    if (from < BigInt(f.off + f.size) && BigInt(f.off) < to)
      v.fail(
        f.name === 'bpf_timer' ? 'timer' : f.name === 'bpf_spin_lock' ? 'spin-lock' : 'object',
        `r${n}: bytes ${f.off} to ${f.off + f.size - 1} of the value are a ${f.name}, which only helpers may touch`,
      );
  }
}

export function checkMapAccess(
  v: Walk,
  n: number,
  r: Reg,
  off: number,
  size: number,
  write: boolean,
  zeroAllowed = false,
): void {
  const map = r.map!;
  if (write && map.readOnly) v.fail('map-access', `r${n}: the map ${map.name} is read-only to programs`);
  if (!write && map.writeOnly) v.fail('map-access', `r${n}: the map ${map.name} is write-only to programs`);
  checkRegion(v, n, r, off, size, map.valueSize, 'map-bounds', zeroAllowed);
  if (map.special.length) checkSpecial(v, n, r, off, size);
}

/** Bytes of a frozen map as the constant that a load gives. */
function readConstant(map: MapInfo, at: number, size: number, signed: boolean): bigint {
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(map.constants![at + i]);
  return signed ? BigInt.asIntN(size * 8, value) : value;
}

/** kernel: check_ptr_off_reg. */
export function checkUnmodified(v: Walk, n: number, r: Reg): void {
  const what = describeKind(r.kind);
  if (r.off !== 0)
    v.fail('ctx-modified', `r${n} is a ${what} pointer moved by ${r.off}: it is used as it came`);
  if (r.s !== ZERO_S)
    v.fail('ctx-modified', `r${n} is a ${what} pointer with a variable offset: it is used as it came`);
}

/** Stack slots and atomics must be aligned. */
function checkAligned(v: Walk, n: number, r: Reg, off: number, size: number): void {
  const at = r.off + off;
  if (r.s === ZERO_S) {
    if ((at & (size - 1)) === 0) return;
  } else {
    const mask = BigInt(size - 1);
    if (!(r.s.tm & mask) && !((r.s.tv + BigInt(at)) & mask)) return;
  }
  v.fail(
    r.kind === Kind.STACK ? 'stack-align' : 'alignment',
    `${v.name(n)}: ${size} bytes at ${at} are not aligned`,
  );
}

export interface Access {
  /** Register of the pointer. */
  n: number;
  off: number;
  size: number;
  write: boolean;
  /** What is stored: a register number, or −1 with `imm`, or −2: unknown data. */
  value: number;
  imm?: number;
  /** Register that a load fills, −1: none. */
  dst: number;
  signed: boolean;
  atomic: boolean;
}

const notAccessible = (v: Walk, a: Access, r: Reg): never =>
  v.fail(
    isNullable(r) ? 'null-pointer' : 'memory-access',
    isNullable(r)
      ? `r${a.n} may be NULL: it is ${describeKind(r.kind)} or NULL, compare it with 0 first`
      : `r${a.n} is ${r.kind === Kind.SCALAR ? 'a scalar' : describeKind(r.kind)}, not memory that may be ${a.write ? 'written' : 'read'}`,
  );

/** The same instruction may not meet a context on one path and other memory on another. */
function checkMix(v: Walk, r: Reg): void {
  const kind =
    r.kind === Kind.CTX
      ? 1
      : r.kind === Kind.SOCK_COMMON
        ? 2
        : r.kind === Kind.OBJECT || r.kind === Kind.OWNED
          ? 4
          : 3;
  const before = v.accessKind[v.pc];
  if (before && before !== kind)
    v.fail('pointer-mix', 'the same instruction is used with different kinds of pointers');
  v.accessKind[v.pc] = kind;
}

/** One access of memory; loads leave their result in a.dst. */
export function access(v: Walk, a: Access): void {
  const r = v.read(a.n);
  const { off, size, write } = a;
  if (r.kind === Kind.STACK || a.atomic) checkAligned(v, a.n, r, off, size);
  if (isNullable(r) || r.kind < Kind.CTX) notAccessible(v, a, r);
  switch (r.kind) {
    case Kind.STACK:
      return accessStack(v, a, r);
    case Kind.PACKET:
    case Kind.PACKET_META:
      if (write && !programTypes[v.type].packetPointers)
        v.fail('packet-write', `${v.type} programs may not write the packet`);
      checkPacket(v, a.n, r, off, size);
      break;
    case Kind.MAP_VALUE:
      checkMapAccess(v, a.n, r, off, size, write);
      break;
    case Kind.MAP_KEY:
      if (write) v.fail('read-only', `r${a.n} is the key of an element: it may not be changed`);
      checkRegion(v, a.n, r, off, size, r.map!.keySize, 'mem-bounds');
      break;
    case Kind.MEM:
      if (write && r.flags & Flag.RDONLY) v.fail('read-only', `r${a.n} is read-only memory`);
      checkRegion(v, a.n, r, off, size, r.size, 'mem-bounds');
      break;
    case Kind.CTX: {
      checkUnmodified(v, a.n, r);
      const verdict = v.member
        ? argument(v.member, off, size, write)
        : ctxAccess(v.type, off, size, write, a.signed, v.attach);
      if ('problem' in verdict) v.fail('ctx-access', verdict.problem);
      v.facts.noteLoad(v.pc, undefined);
      if (a.dst >= 0)
        v.regs[a.dst] = verdict.value!.flags & Flag.NULLABLE ? fresh(v, verdict.value!) : verdict.value!;
      return;
    }
    case Kind.SOCK_COMMON:
      if (write) v.fail('read-only', `r${a.n} is a socket: it may not be written`);
      checkUnmodified(v, a.n, r);
      if (!sockAccess(off, size))
        v.fail('memory-access', `${size} bytes at offset ${off} of struct bpf_sock are no field`);
      break;
    case Kind.OBJECT:
      checkObject(v, a, r);
      break;
    case Kind.OWNED:
      checkObjectAccess(v, a.n, r, off, size);
      break;
    default:
      notAccessible(v, a, r);
  }
  if (a.dst < 0) return;
  const fixed = r.kind === Kind.MAP_VALUE && r.map!.constants ? constVar(r) : undefined;
  if (fixed === undefined) {
    v.facts.noteLoad(v.pc, undefined);
    v.regs[a.dst] = scalarReg(loadRange(size as 1 | 2 | 4 | 8, a.signed));
    return;
  }
  const value = readConstant(r.map!, r.off + off + fixed, size, a.signed);
  v.facts.noteLoad(v.pc, BigInt.asUintN(64, value));
  v.regs[a.dst] = constReg(value);
}

/** A structure of the engine's: some may be read up to a length, others member by member (kernel: btf_struct_access). */
function checkObject(v: Walk, { n, off, size, write }: Access, r: Reg): void {
  const { name, bytes, fields } = objectTypes[r.size];
  if (!fields) {
    if (write) v.fail('read-only', `r${n} is a struct ${name}: it may not be written`);
    return checkRegion(v, n, r, off, size, bytes, 'mem-bounds');
  }
  const moved = constVar(r);
  if (moved === undefined)
    return v.fail(
      'mem-bounds',
      `r${n} is a struct ${name} with a variable offset: members are found by a constant`,
    );
  const at = r.off + moved + off;
  const field = fields.find(f => at >= f.off && at < f.off + f.size);
  if (!field)
    return v.fail('mem-bounds', `${size} bytes at offset ${at} of struct ${name}, which has ${bytes}`);
  if (at + size > field.off + field.size)
    v.fail('mem-bounds', `${size} bytes at offset ${at} of struct ${name} run past its member ${field.name}`);
  if (write && !field.write)
    v.fail(
      'read-only',
      `${field.name} of struct ${name} is not for the program to write; ${writable(fields)}`,
    );
}

const writable = (fields: readonly ObjectField[]): string => {
  const names = fields.filter(f => f.write).map(f => f.name);
  return names.length ? `it may write ${names.join(', ')}` : 'it may write none of it';
};

const fresh = (v: Walk, r: Reg): Reg => pointer(r.kind, { flags: r.flags, id: v.newId() });

function accessStack(v: Walk, a: Access, r: Reg): void {
  const range = stackRange(v, a.n, r, a.off, a.size);
  const frame = frameOf(v, r);
  const fixed = range.min === range.max && constVar(r) !== undefined;
  if (a.write) {
    const value = a.value >= 0 ? v.regs[a.value] : a.value === -1 ? constReg(BigInt(a.imm!)) : undefined;
    if (fixed) storeFixed(v, frame, r.size, range.min, a.size, value, a.value);
    else storeVariable(v, frame, range, a.size, value, a.value);
    return;
  }
  const dst = a.dst;
  if (dst < 0) {
    for (let off = range.min; off < range.max + a.size; off++) frame.markSlotRead((-off - 1) >> 3);
    return;
  }
  v.facts.noteLoad(v.pc, undefined);
  if (fixed) loadFixed(v, frame, r.size, range.min, a.size, dst);
  else loadVariable(v, frame, range, a.size, dst);
  const got = v.regs[dst];
  if (a.size === 8 || got.kind !== Kind.SCALAR) return;
  const cut = truncate(got.s, a.size as 1 | 2 | 4);
  const s = a.signed ? signExtend(cut, (a.size * 8) as 8 | 16 | 32, true) : cut;
  if (s !== got.s) v.regs[dst] = scalarReg(s);
}

export function walkLoad(v: Walk, insn: Insn): void {
  const r = v.read(insn.src);
  const signed = (insn.op & 0xe0) === Mode.MEMSX;
  access(v, {
    n: insn.src,
    off: insn.off,
    size: sizeBytes(insn.op),
    write: false,
    value: -2,
    dst: insn.dst,
    signed,
    atomic: false,
  });
  checkMix(v, r);
}

export function walkStore(v: Walk, insn: Insn): void {
  const size = sizeBytes(insn.op);
  if (classOf(insn.op) === Class.ST) {
    const r = v.read(insn.dst);
    access(v, {
      n: insn.dst,
      off: insn.off,
      size,
      write: true,
      value: -1,
      imm: insn.imm,
      dst: -1,
      signed: false,
      atomic: false,
    });
    return checkMix(v, r);
  }
  if ((insn.op & 0xe0) === Mode.ATOMIC) return walkAtomic(v, insn, size);
  v.read(insn.src);
  const r = v.read(insn.dst);
  access(v, {
    n: insn.dst,
    off: insn.off,
    size,
    write: true,
    value: insn.src,
    dst: -1,
    signed: false,
    atomic: false,
  });
  checkMix(v, r);
}

const ATOMIC_KINDS: ReadonlySet<number> = new Set([
  Kind.STACK,
  Kind.MAP_VALUE,
  Kind.MEM,
  Kind.MAP_KEY,
  Kind.OWNED,
]);

function walkAtomic(v: Walk, insn: Insn, size: number): void {
  const loads = insn.imm === Atomic.LOAD_ACQ;
  const stores = insn.imm === Atomic.STORE_REL;
  const at = loads ? insn.src : insn.dst;
  const r = v.read(at);
  if (!loads) v.read(insn.src);
  if (insn.imm === Atomic.CMPXCHG) v.read(0);
  if (!ATOMIC_KINDS.has(r.kind) && r.kind > Kind.SCALAR)
    v.fail('atomic', `r${at} is ${describeKind(r.kind)}: atomics work on the stack and on map values`);
  // Memory that a global function was given may start anywhere: the alignment below is relative to it, and Wasm traps on a
  // misaligned atomic. Stricter than the kernel, whose machine does not mind.
  if (r.kind === Kind.MEM && !(r.flags & Flag.RINGBUF))
    v.fail(
      'atomic',
      `r${at} is memory of unknown alignment: atomics work on the stack, map values and ring buffer records`,
    );
  const base = { n: at, off: insn.off, size, signed: false, atomic: true };
  if (loads) return access(v, { ...base, write: false, value: -2, dst: insn.dst });
  if (stores) return access(v, { ...base, write: true, value: insn.src, dst: -1 });
  const fetches = insn.imm & Atomic.FETCH;
  const into = insn.imm === Atomic.CMPXCHG ? 0 : insn.src;
  access(v, { ...base, write: false, value: -2, dst: -1 });
  access(v, { ...base, write: true, value: -2, dst: -1 });
  if (fetches) v.regs[into] = scalarReg(loadRange(size as 4 | 8));
}

/** LD_ABS, LD_IND: a load from the packet as classic BPF has it. */
export function walkLegacyLoad(v: Walk, insn: Insn): void {
  if (!programTypes[v.type].legacyLoads)
    v.fail('legacy-load', `${v.type} programs have no LD_ABS and LD_IND`);
  const ctx = v.read(6);
  if (ctx.kind !== Kind.CTX || isNullable(ctx))
    v.fail('legacy-load', `${v.name(6)}; LD_ABS and LD_IND need the context there`);
  if ((insn.op & 0xe0) === Mode.IND) v.read(insn.src);
  checkUnmodified(v, 6, ctx);
}

/** LDDW: a constant, a map, a place in a map's value. Functions are the caller's matter. */
export function walkWide(v: Walk, insn: Insn): void {
  v.next = v.pc + 2;
  const high = v.insns[v.pc + 1].imm;
  const regs = v.regs;
  switch (insn.src) {
    case Pseudo.IMM64:
      regs[insn.dst] = scalarReg(constant((BigInt(high) << 32n) | BigInt(insn.imm >>> 0)));
      return;
    case Pseudo.MAP_FD:
    case Pseudo.MAP_VALUE: {
      const map = v.maps.get(insn.imm);
      if (!map) return v.fail('map-reference', `there is no map ${insn.imm}`);
      if (map.lockOff >= 0 && !programTypes[v.type].spinLocks)
        v.fail('spin-lock', `${v.type} programs cannot use ${map.name}, whose values have a spin lock`);
      if (insn.src === Pseudo.MAP_FD) {
        if (high !== 0) v.fail('reserved-field', 'a reserved field is not zero');
        regs[insn.dst] = pointer(Kind.MAP_PTR, { map });
        return;
      }
      if (!map.direct)
        v.fail('map-reference', `values of ${map.name} have no fixed address: only arrays of one element do`);
      if (high < 0 || high >= map.valueSize)
        v.fail('map-reference', `offset ${high} in a value of ${map.valueSize} bytes`);
      regs[insn.dst] = pointer(Kind.MAP_VALUE, { map, off: high });
      return;
    }
    default:
      v.fail('opcode', `LDDW of kind ${insn.src} is not supported`);
  }
}
