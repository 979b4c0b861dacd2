/**
 * Kfunc calls: is it there, may this program call it, what it takes, gives and holds afterwards
 * (kernel: check_kfunc_call).
 */
import type { Insn } from '../insn.js';
import { type Kfunc, kfuncById, kfuncNames } from '../kfuncs.js';
import { clobberCallerSaved, forgetPackets, release } from './calls.js';
import { checkKfuncArg, type KfuncMeta } from './kfunc_args.js';
import { isGpl } from './licence.js';
import { giveAway, noObjects, objectResult } from './objects.js';
import { Flag, Kind, NOT_INIT, pointer, type Reg, scalarReg, UNKNOWN_REG } from './regs.js';
import { fromSigned, fromUnsigned } from './scalar_draft.js';
import { enterOrdering } from './subprogs.js';
import type { Walk } from './walk.js';

/** Names in a message, at most. */
const MAX_NAMES = 20;

/** What r0 holds after a call that gives a number: the engine extends 32 bits, so the upper half is known. */
const U32 = scalarReg(fromUnsigned(0n, 0xffff_ffffn));
const S32 = scalarReg(fromSigned(-0x8000_0000n, 0x7fff_ffffn));

function find(v: Walk, insn: Insn): Kfunc {
  const name = v.spec.kfuncs?.[insn.imm];
  const kfunc = kfuncById(insn.imm);
  if (kfunc && kfunc.name === name && insn.off === 0) return kfunc;
  if (name === undefined)
    return v.fail('kfunc', `kernel function number ${insn.imm} is not available in this engine`);
  const names = kfuncNames(v.type);
  const some = names.slice(0, MAX_NAMES).join(', ') + (names.length > MAX_NAMES ? ' …' : '');
  return v.fail(
    'kfunc',
    `kernel function ${name} is not available in this engine; ${v.type} programs have ${some || 'none'}`,
  );
}

export function walkKfunc(v: Walk, insn: Insn): void {
  const kfunc = find(v, insn);
  if (v.cur.lock && !kfunc.locked) v.fail('spin-lock', `${kfunc.name} is called while a spin lock is held`);
  if (!kfunc.types.includes(v.type))
    v.fail(
      'kfunc-program-type',
      `${kfunc.name} is for ${kfunc.types.join(', ')} programs, this is a ${v.type} program`,
    );
  if (kfunc.gpl && !isGpl(v.spec.license))
    v.fail(
      'kfunc-licence',
      `${kfunc.name} is for GPL-compatible programs; the licence is ${JSON.stringify(v.spec.license)}`,
    );
  if (kfunc.rcu) readSection(v, kfunc.name, kfunc.rcu);
  const meta: KfuncMeta = { map: undefined, release: 0, objects: noObjects() };
  for (let i = 0; i < kfunc.args.length; i++) checkKfuncArg(v, kfunc, i, meta);
  if (meta.objects.callback >= 0) enterOrdering(v, meta.objects);
  if (meta.objects.given) giveAway(v, meta.objects.given);
  if (meta.release) release(v, meta.release);
  clobberCallerSaved(v.regs);
  v.regs[0] = kfunc.ret.kind === 'owned' ? objectResult(v, kfunc, meta.objects) : result(v, kfunc);
  if (kfunc.changesPacket) forgetPackets(v.cur);
}

/** RCU read sections do not nest, and are left before the program ends. */
function readSection(v: Walk, name: string, way: 'enter' | 'leave'): void {
  if (way === 'enter' && v.cur.rcu >= 0)
    v.fail('rcu', `${name} in the RCU read section opened at ${v.cur.rcu}: they do not nest`);
  if (way === 'leave' && v.cur.rcu < 0) v.fail('rcu', `${name} outside of an RCU read section`);
  v.cur.rcu = way === 'enter' ? v.pc : -1;
}

function result(v: Walk, { ret, acquires, mayBeNull }: Kfunc): Reg {
  switch (ret.kind) {
    case 'void':
      return NOT_INIT;
    case 'scalar':
      return ret.bits === 64 ? UNKNOWN_REG : ret.signed ? S32 : U32;
    case 'owned':
      return NOT_INIT;
    case 'object': {
      const id = acquires || mayBeNull ? v.newId() : 0;
      if (acquires) v.cur.refs = [...v.cur.refs, { id, insn: v.pc }];
      return pointer(Kind.OBJECT, {
        id: mayBeNull ? id : 0,
        ref: acquires ? id : 0,
        size: ret.object.index,
        flags: mayBeNull ? Flag.NULLABLE : 0,
      });
    }
  }
}
