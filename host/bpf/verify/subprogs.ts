/**
 * Functions of the program: static ones are walked at each call, global ones once by their types, callbacks until
 * their rounds converge (kernel: check_func_call, prepare_func_exit, push_callback_call, btf_check_subprog_call).
 */
import type { Insn } from '../insn.js';
import { checkNothingHeld, clobberCallerSaved, forgetPackets } from './calls.js';
import { type GlobalArg, globalPrototype } from './global_args.js';
import { type CallMeta, helperMemory } from './helper_args.js';
import { checkUnmodified } from './memory.js';
import { type ObjectMeta, orderedNode } from './objects.js';
import { markPrecise } from './precision.js';
import { previousEntry, widen } from './prune.js';
import {
  describeKind,
  Flag,
  isNull,
  isNullable,
  isPacket,
  isScalar,
  Kind,
  nonNull,
  pointer,
  type Reg,
  UNKNOWN_REG,
} from './regs.js';
import { Frame, State } from './state.js';
import type { Walk } from './walk.js';

/** MAX_CALL_FRAMES. */
export const MAX_FRAMES = 8;

function enter(v: Walk, state: State, subprog: number, inCallback: boolean): Frame {
  if (state.frames.length >= MAX_FRAMES)
    v.fail(
      'call-depth',
      `the ${MAX_FRAMES + 1}th function is called inside the others; ${MAX_FRAMES} is the most`,
    );
  const frame = Frame.enter(v.pc, subprog, state.frames.length, inCallback);
  state.frames.push(frame);
  return frame;
}

export function walkLocalCall(v: Walk, insn: Insn): void {
  const target = v.pc + 1 + insn.imm;
  const sub = v.cfg.subprogs[v.cfg.owner[target]];
  if (sub.isGlobal) return walkGlobalCall(v, sub.index);
  const caller = v.cur.frame;
  const callee = enter(v, v.cur, sub.index, false);
  for (let i = 1; i <= 5; i++) callee.regs[i] = caller.regs[i];
  clobberCallerSaved(caller.regs);
  v.next = target;
}

/** A global function's arguments are checked against its types; what it does was or will be verified apart. */
function walkGlobalCall(v: Walk, index: number): void {
  const sub = v.cfg.subprogs[index];
  if (v.cur.lock) v.fail('spin-lock', `global function ${sub.name} is called while a spin lock is held`);
  const args = globalPrototype(v, sub);
  for (const [i, arg] of args.entries()) {
    checkGlobalArg(v, sub.name, i + 1, arg);
    // Inside, it is plain memory, which nothing takes away: the packet could shrink from under it. Stricter than the kernel.
    if (arg.kind === 'memory' && isPacket(v.regs[i + 1]) && sub.changesPacket)
      v.fail(
        'global-function',
        `argument ${i + 1} of ${sub.name}: r${i + 1} points into the packet, which ${sub.name} may change`,
      );
  }
  v.called.add(index);
  clobberCallerSaved(v.regs);
  v.regs[0] = UNKNOWN_REG;
  if (sub.changesPacket) forgetPackets(v.cur);
}

function checkGlobalArg(v: Walk, name: string, n: number, arg: GlobalArg): void {
  const r = v.read(n);
  const where = `argument ${n} of ${name}`;
  if (arg.kind === 'scalar') {
    if (!isScalar(r)) v.fail('global-function', `${where}: ${v.name(n)}, expected a number`);
    return;
  }
  if (arg.kind === 'ctx') {
    if (r.kind !== Kind.CTX || isNullable(r))
      v.fail('global-function', `${where}: ${v.name(n)}, expected the context`);
    return checkUnmodified(v, n, r);
  }
  if (isNull(r)) {
    if (!arg.nullable) v.fail('global-function', `${where}: NULL is passed, which it does not take`);
    // The function is verified for NULL or memory, never for another number: 0 must hold on every path merged here.
    return markPrecise(v, n);
  }
  if (isScalar(r) || r.kind === Kind.CTX)
    v.fail('global-function', `${where}: ${v.name(n)}, expected memory`);
  if (isNullable(r)) {
    if (!arg.nullable)
      v.fail('null-pointer', `${where}: r${n} may be NULL: it is ${describeKind(r.kind)} or NULL`);
    v.regs[n] = nonNull(r);
  }
  helperMemory(v, undefined, n, arg.size, false, true);
  helperMemory(v, undefined, n, arg.size, true, true);
  v.regs[n] = r;
}

/** A helper calls a function of the program: one more path goes into it, with the arguments that the helper gives. */
export function enterCallback(v: Walk, meta: CallMeta): void {
  v.cfg.subprogs[v.cur.frame.subprog].callsBack.add(meta.callback);
  const state = v.cur.clone();
  const caller = state.frame;
  const frame = enter(v, state, meta.callback, true);
  const { regs } = caller;
  if (meta.helper.name === 'loop') {
    frame.regs[1] = UNKNOWN_REG;
    frame.regs[2] = regs[3];
  } else {
    const { map } = meta;
    frame.regs[1] = pointer(Kind.MAP_PTR, { map, uid: meta.mapUid });
    frame.regs[2] = pointer(Kind.MAP_KEY, { map });
    frame.regs[3] = pointer(Kind.MAP_VALUE, { map, id: v.newId(), uid: meta.mapUid });
    frame.regs[4] = regs[3];
  }
  state.callbackUnroll++;
  caller.callbackDepth++;
  v.cur.frame.callbackDepth = 0;
  v.push(state, v.cfg.subprogs[meta.callback].start);
}

/** A kfunc calls a function that says which of two nodes comes first (kernel: set_rbtree_add_callback_state). */
export function enterOrdering(v: Walk, meta: ObjectMeta): void {
  v.cfg.subprogs[v.cur.frame.subprog].callsBack.add(meta.callback);
  const state = v.cur.clone();
  const caller = state.frame;
  const frame = enter(v, state, meta.callback, true);
  frame.regs[1] = orderedNode(v, meta.head!);
  frame.regs[2] = orderedNode(v, meta.head!);
  state.callbackUnroll++;
  caller.callbackDepth++;
  v.cur.frame.callbackDepth = 0;
  v.push(state, v.cfg.subprogs[meta.callback].start);
}

/**
 * A timer's callback: it runs later, by itself, on a stack of its own, and holds nothing of what its caller holds
 * (kernel: push_async_cb). The call itself goes on.
 */
export function enterAsync(v: Walk, meta: CallMeta): void {
  const sub = v.cfg.subprogs[meta.callback];
  if (sub.index === 0 || sub.info?.linkage === 'global')
    v.fail('callback', `${sub.name} is called from outside: a callback is a static function`);
  sub.isAsync = true;
  const frame = Frame.enter(-1, sub.index, 0, false);
  const { map } = meta;
  frame.regs[1] = pointer(Kind.MAP_PTR, { map, uid: meta.mapUid });
  frame.regs[2] = pointer(Kind.MAP_KEY, { map });
  frame.regs[3] = pointer(Kind.MAP_VALUE, { map, uid: meta.mapUid });
  const state = new State([frame]);
  state.asyncEntry = v.cur.asyncEntry + 1;
  v.push(state, sub.start);
}

/** The end of a function, or of the program: v.next is −1 then. */
export function walkExit(v: Walk): void {
  if (v.cur.depth > 0) return leave(v);
  const async = v.cur.asyncEntry > 0;
  checkNothingHeld(v, async ? 'the end of the callback' : 'the end of the program', true);
  const r0 = v.read(0);
  if (async) {
    if (!isScalar(r0)) v.fail('callback', `${v.name(0)}; a timer's callback returns 0`);
    markPrecise(v, 0);
    if (r0.s.smin !== 0n || r0.s.smax !== 0n)
      v.fail('callback', `${v.name(0)}; a timer's callback returns 0`);
    v.next = -1;
    return;
  }
  if (v.root > 0 && !isScalar(r0)) v.fail('return-value', `${v.name(0)}; a global function returns a number`);
  v.next = -1;
}

function leave(v: Walk): void {
  const frame = v.cur.frame;
  const r0 = frame.inCallback ? v.read(0) : frame.regs[0];
  if (r0.kind === Kind.STACK) v.fail('return-stack-pointer', 'r0 points into the stack that ends here');
  if (frame.inCallback) {
    if (!isScalar(r0)) v.fail('callback', `${v.name(0)}; a callback returns 0 or 1`);
    markPrecise(v, 0);
    if (r0.s.smin < 0n || r0.s.smax > 1n || r0.s.umax > 1n)
      v.fail('callback', `${v.name(0)}; a callback returns 0 (go on) or 1 (stop)`);
  }
  pop(v, frame, r0);
}

function pop(v: Walk, frame: Frame, r0: Reg): void {
  v.cur.frames.pop();
  if (!frame.inCallback) {
    v.cur.regs[0] = r0;
    v.next = frame.callsite + 1;
    return;
  }
  v.next = frame.callsite;
  const before = previousEntry(v.cur.parent, v.cur, frame.callsite);
  if (before) widen(before, v.cur);
}

/** The function may also end here, with `r0`: another path goes on at its caller. */
export function returnEarly(v: Walk, r0: Reg, movesPacket: boolean): void {
  const stay = v.cur;
  const left = stay.clone();
  v.cur = left;
  const next = v.next;
  if (movesPacket) forgetPackets(left);
  left.regs[0] = r0;
  const frame = left.frame;
  if (frame.inCallback && !(isScalar(r0) && r0.s.umax <= 1n))
    v.fail('callback', 'a tail call in a callback: its result would be the callback’s, which must be 0 or 1');
  pop(v, frame, r0);
  const target = v.next;
  v.cur = stay;
  v.next = next;
  v.push(left, target);
}

/** State in which a global function is verified: what its types promise. */
export function enterGlobal(v: Walk, index: number): Frame {
  const sub = v.cfg.subprogs[index];
  const frame = Frame.enter(-1, index, 0, false);
  globalPrototype(v, sub).forEach((arg, i) => {
    if (arg.kind === 'scalar') frame.regs[i + 1] = UNKNOWN_REG;
    else if (arg.kind === 'ctx') frame.regs[i + 1] = pointer(Kind.CTX);
    else
      frame.regs[i + 1] = pointer(Kind.MEM, {
        size: arg.size,
        id: arg.nullable ? v.newId() : 0,
        flags: arg.nullable ? Flag.NULLABLE : 0,
      });
  });
  return frame;
}
