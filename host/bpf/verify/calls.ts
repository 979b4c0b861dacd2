/**
 * Helper calls: may this program call it, do arguments and map fit, what is held afterwards
 * (kernel: check_helper_call).
 */

import { MAX_LANES } from '../../layout/layout.gen.js';
import { helperById, helperName } from '../helpers.js';
import { CallKind, type Insn } from '../insn.js';
import { applyFills, type CallMeta, checkArg } from './helper_args.js';
import { mapRegs } from './jumps.js';
import { walkKfunc } from './kfunc_calls.js';
import { isGpl } from './licence.js';
import { acquireObject, endBorrowing, IN_OBJECT, inOrdering } from './objects.js';
import { markPrecise } from './precision.js';
import {
  constVar,
  Flag,
  isPacketAny,
  isScalar,
  Kind,
  NOT_INIT,
  pointer,
  type Reg,
  scalarReg,
  UNKNOWN_REG,
} from './regs.js';
import { fromUnsigned } from './scalar_draft.js';
import type { State } from './state.js';
import { enterAsync, enterCallback, returnEarly, walkLocalCall } from './subprogs.js';
import type { Walk } from './walk.js';

const TAIL_CALL = 12;
const WRITES_MAP: ReadonlySet<string> = new Set([
  'map_update_elem',
  'map_delete_elem',
  'map_push_elem',
  'map_pop_elem',
]);
/** Pointers into the packet are no more: it may have moved. */
export function forgetPackets(state: State): void {
  mapRegs(state, r => (isPacketAny(r) ? UNKNOWN_REG : r));
}

export function clobberCallerSaved(regs: Reg[]): void {
  for (let i = 0; i <= 5; i++) regs[i] = NOT_INIT;
}

/** Nothing may be held where control may leave for good. */
export function checkNothingHeld(v: Walk, where: string, refs: boolean): void {
  if (refs && v.cur.refs.length) {
    const ref = v.cur.refs[0];
    v.fail('reference-leak', `the reference taken at ${ref.insn} is not released before ${where}`);
  }
  if (v.cur.lock) v.fail('spin-lock', `the spin lock taken at ${v.cur.lock.insn} is held at ${where}`);
  if (v.cur.rcu >= 0)
    v.fail('rcu', `the RCU read section opened at ${v.cur.rcu} is not left before ${where}`);
}

export function walkCall(v: Walk, insn: Insn): void {
  if (v.cur.lock && insn.src === CallKind.HELPER && helperById.get(insn.imm)?.name !== 'spin_unlock')
    v.fail('spin-lock', `${helperName(insn.imm)} is called while a spin lock is held`);
  if (insn.src === CallKind.LOCAL) return walkLocalCall(v, insn);
  if (insn.src === CallKind.KFUNC) return walkKfunc(v, insn);
  walkHelper(v, insn);
}

function walkHelper(v: Walk, insn: Insn): void {
  const helper = helperById.get(insn.imm);
  if (!helper) return v.fail('helper', `helper ${helperName(insn.imm)} (${insn.imm}) is not available`);
  if (!helper.types.includes(v.type))
    v.fail('helper-program-type', `helper ${helper.name} is not for ${v.type} programs`);
  if (helper.gpl && !isGpl(v.spec.license))
    v.fail(
      'helper-licence',
      `helper ${helper.name} is for GPL-compatible programs; the licence is ${JSON.stringify(v.spec.license)}`,
    );

  const meta: CallMeta = {
    helper,
    map: undefined,
    mapUid: 0,
    constKey: -1,
    allocSize: 0,
    release: 0,
    callback: -1,
    kptr: undefined,
    fills: [],
  };
  for (let i = 0; i < helper.args.length; i++) checkArg(v, helper, i, meta);
  checkMap(v, meta);
  applyFills(v, meta);
  if (meta.release) release(v, meta.release);
  if (helper.id === TAIL_CALL) checkNothingHeld(v, 'the tail call', true);
  const r1 = v.regs[1];
  if (helper.name === 'spin_lock' || helper.name === 'spin_unlock') spinLock(v, helper.name === 'spin_lock');
  if (helper.name === 'loop') {
    // The iteration limit is read off r1's bound, which a pointer does not have: with one the callback would be taken
    // for never called, and not be looked at.
    if (!isScalar(r1))
      v.fail('helper-argument', 'argument 1 of loop: r1 is a pointer, a number of rounds is needed');
    markPrecise(v, 1);
    const frame = v.cur.frame;
    if (BigInt(frame.callbackDepth) < r1.s.umax) enterCallback(v, meta);
    else frame.callbackDepth = 0;
  } else if (helper.asyncCallback) enterAsync(v, meta);
  else if (meta.callback >= 0) enterCallback(v, meta);

  clobberCallerSaved(v.regs);
  v.regs[0] = result(v, meta);
  if (helper.id === TAIL_CALL) {
    v.regs[0] = NOT_INIT;
    // In a function the program tail-called returns here to the caller, having moved the packet at will.
    if (v.cur.depth > 0) returnEarly(v, UNKNOWN_REG, true);
    return;
  }
  if (helper.changesPacket) forgetPackets(v.cur);
}

function checkMap(v: Walk, meta: CallMeta): void {
  const { helper, map } = meta;
  if (!map || !helper.mapTypes) return;
  if (!helper.mapTypes.includes(map.type))
    v.fail('helper-map', `${helper.name} does not work on ${map.name}, a map of type ${map.type}`);
  if (WRITES_MAP.has(helper.name) && map.readOnly)
    v.fail('map-access', `${helper.name}: the map ${map.name} is read-only to programs`);
}

export function release(v: Walk, ref: number): void {
  v.cur.refs = v.cur.refs.filter(r => r.id !== ref);
  mapRegs(v.cur, r => (r.ref === ref ? UNKNOWN_REG : r));
}

/** kernel: process_spin_lock. */
function spinLock(v: Walk, takes: boolean): void {
  const r = v.regs[1];
  if (inOrdering(v)) v.fail('callback', 'a function that orders nodes neither takes nor releases a lock');
  if (r.kind === Kind.OWNED) return objectLock(v, r, takes);
  const map = r.map!;
  const off = constVar(r);
  if (off === undefined) v.fail('spin-lock', 'r1 has a variable offset: which lock it is must be known');
  if (map.lockOff < 0)
    v.fail('spin-lock', `values of ${map.name} have no bpf_spin_lock (it is found through BTF)`);
  if (r.off + off! !== map.lockOff)
    v.fail('spin-lock', `r1 is at byte ${r.off + off!} of the value; its bpf_spin_lock is at ${map.lockOff}`);
  changeLock(v, map, r.id, takes);
}

/** The lock of an object that the program owns. */
function objectLock(v: Walk, r: Reg, takes: boolean): void {
  const off = constVar(r);
  const lockOff = v.recordOf(r)?.lockOff ?? -1;
  if (off === undefined || lockOff < 0 || r.off + off !== lockOff)
    v.fail(
      'spin-lock',
      `${v.name(1)}; the bpf_spin_lock of its structure is ${lockOff < 0 ? 'not there' : `at ${lockOff}`}`,
    );
  changeLock(v, IN_OBJECT, r.id, takes);
}

function changeLock(v: Walk, map: unknown, id: number, takes: boolean): void {
  if (takes) {
    if (v.cur.lock) v.fail('spin-lock', 'a second spin lock is taken while one is held');
    v.cur.lock = { map, id, insn: v.pc };
    return;
  }
  const held = v.cur.lock;
  if (!held) return v.fail('spin-lock', 'a spin lock is released, but none is held');
  if (held.map !== map || held.id !== id)
    v.fail('spin-lock', 'another spin lock is released than the one held');
  v.cur.lock = undefined;
  endBorrowing(v.cur);
}

const LANE = scalarReg(fromUnsigned(0n, BigInt(MAX_LANES - 1)));

/** What r0 holds after the call. */
function result(v: Walk, meta: CallMeta): Reg {
  const { helper, map } = meta;
  switch (helper.ret) {
    case 'integer':
      return helper.name === 'get_smp_processor_id' ? LANE : UNKNOWN_REG;
    case 'void':
      return NOT_INIT;
    case 'map_value_or_null': {
      // A constant key below max_entries is always there.
      const sure = meta.constKey >= 0 && meta.constKey < map!.sureEntries && !map!.inner;
      const id = sure && map!.lockOff < 0 ? 0 : v.newId();
      return pointer(Kind.MAP_VALUE, { map, id, uid: meta.mapUid, flags: sure ? 0 : Flag.NULLABLE });
    }
    case 'alloc_mem_or_null': {
      const id = v.newId();
      v.cur.refs = [...v.cur.refs, { id, insn: v.pc }];
      return pointer(Kind.MEM, { id, ref: id, size: meta.allocSize, flags: Flag.NULLABLE | Flag.RINGBUF });
    }
    case 'owned_or_null':
      return acquireObject(v, meta.kptr!.holds!, true);
    default:
      return v.fail('helper', `${helper.name} returns ${helper.ret}, which is not supported`);
  }
}
