/**
 * The program before any path is walked: instructions well formed, subprograms split, every slot reachable,
 * jumps inside their subprogram (kernel: check_subprogs, check_cfg). Marks where walks may be pruned.
 */
import { calleeOf } from '../callee.js';
import { helperById } from '../helpers.js';
import {
  CallKind,
  Class,
  classOf,
  type Insn,
  Jmp,
  OP_CALL,
  OP_EXIT,
  OP_JA,
  OP_JA32,
  OP_LDDW,
  Pseudo,
} from '../insn.js';
import { kfuncById } from '../kfuncs.js';
import type { FuncInfo, ProgramSpec } from '../spec.js';
import type { Rule } from './errors.js';
import { formProblem } from './form.js';

export interface Subprog {
  index: number;
  start: number;
  /** One past its last slot. */
  end: number;
  name: string;
  info: FuncInfo | undefined;
  /** Verified on its own, by its argument types. */
  isGlobal: boolean;
  hasTailCall: boolean;
  hasLegacyLoad: boolean;
  /** Moves packet data, itself or through what it calls. */
  changesPacket: boolean;
  /** A timer calls it, on a stack of its own. Found while walking. */
  isAsync: boolean;
  /** Functions that helpers call back on top of its stack. Found while walking. */
  callsBack: Set<number>;
  /** Bytes of stack that it uses, found while walking. */
  stackDepth: number;
}

/** What happens at a slot, for pruning. */
export const Point = { PRUNE: 1, CHECKPOINT: 2, CALLS_CALLBACK: 4, MAY_GOTO: 8, SECOND: 16 } as const;

export interface Cfg {
  subprogs: Subprog[];
  /** Subprogram that each slot belongs to. */
  owner: Uint16Array;
  /** Point bits by slot. */
  points: Uint8Array;
}

export type Fail = (rule: Rule, insn: number, reason: string) => never;

/** BPF_COMPLEXITY_LIMIT_INSNS. */
export const MAX_INSNS = 1_000_000;
const MAX_SUBPROGS = 256;

export const isConditional = (insn: Insn): boolean => {
  const cls = classOf(insn.op);
  if (cls !== Class.JMP && cls !== Class.JMP32) return false;
  const op = insn.op & 0xf0;
  return op !== Jmp.JA && op !== Jmp.CALL && op !== Jmp.EXIT;
};
export const jumpTarget = (insn: Insn, at: number): number =>
  at + 1 + (insn.op === OP_JA32 ? insn.imm : insn.off);
export const isLocalCall = (insn: Insn): boolean => insn.op === OP_CALL && insn.src === CallKind.LOCAL;
export const isFuncAddress = (insn: Insn): boolean => insn.op === OP_LDDW && insn.src === Pseudo.FUNC;
/** The callback is called by the call, any number of times. */
export const callsCallback = (insn: Insn): boolean => {
  if (insn.op === OP_CALL && insn.src === CallKind.KFUNC)
    return kfuncById(insn.imm)?.args.some(a => a.kind === 'callback') === true;
  if (insn.op !== OP_CALL || insn.src !== CallKind.HELPER) return false;
  const helper = helperById.get(insn.imm);
  return helper !== undefined && !helper.asyncCallback && helper.args.some(a => a.type === 'func');
};
/** The callback is called later, by itself. */
const setsCallback = (insn: Insn): boolean =>
  insn.op === OP_CALL && insn.src === CallKind.HELPER && helperById.get(insn.imm)?.asyncCallback === true;

function checkForm(insns: readonly Insn[], points: Uint8Array, fail: Fail): void {
  for (let at = 0; at < insns.length; at++) {
    const problem = formProblem(insns[at]);
    if (problem) fail(problem[0], at, problem[1]);
    if (insns[at].op !== OP_LDDW) continue;
    const second = insns[at + 1];
    if (!second || second.op || second.dst || second.src || second.off)
      fail('opcode', at, 'the second half of LDDW is missing or not zero but for its immediate');
    points[++at] |= Point.SECOND;
  }
}

function split(spec: ProgramSpec, points: Uint8Array, fail: Fail): Subprog[] {
  const { insns } = spec;
  const starts = new Set([0]);
  insns.forEach((insn, at) => {
    if (points[at] & Point.SECOND || !(isLocalCall(insn) || isFuncAddress(insn))) return;
    const to = at + 1 + insn.imm;
    if (to < 0 || to >= insns.length || points[to] & Point.SECOND)
      fail('jump-range', at, `calls slot ${to}, which is no instruction of the program`);
    starts.add(to);
    if (starts.size > MAX_SUBPROGS) fail('program-size', at, `more than ${MAX_SUBPROGS} subprograms`);
  });
  const sorted = [...starts].sort((a, b) => a - b);
  const known = new Map(spec.funcs?.map(f => [f.insn, f]));
  return sorted.map((start, index) => {
    const info = known.get(start);
    return {
      index,
      start,
      end: sorted[index + 1] ?? insns.length,
      name: info?.name ?? (index === 0 ? spec.name : `subprog_${start}`),
      info,
      isGlobal: index > 0 && info?.linkage === 'global' && spec.btf !== undefined && info.typeId > 0,
      hasTailCall: false,
      hasLegacyLoad: false,
      changesPacket: false,
      isAsync: false,
      callsBack: new Set(),
      stackDepth: 0,
    };
  });
}

const TAIL_CALL = 12;

/** Jumps stay in their subprogram, which ends in an exit or jump. Notes what each subprogram does. */
function checkBounds(insns: readonly Insn[], sub: Subprog, points: Uint8Array, fail: Fail): void {
  let last = sub.start;
  for (let at = sub.start; at < sub.end; at++) {
    if (points[at] & Point.SECOND) continue;
    last = at;
    const insn = insns[at];
    if (insn.op === OP_CALL) {
      if (insn.src === CallKind.HELPER && insn.imm === TAIL_CALL) sub.hasTailCall = true;
      if (calleeOf(insn)?.changesPacket) sub.changesPacket = true;
    }
    if (classOf(insn.op) === Class.LD && insn.op !== OP_LDDW) sub.hasLegacyLoad = true;
    if (!isConditional(insn) && insn.op !== OP_JA && insn.op !== OP_JA32) continue;
    const to = jumpTarget(insn, at);
    if (to < sub.start || to >= sub.end || points[to] & Point.SECOND)
      fail('jump-range', at, `jump to slot ${to}, outside of its function or inside an LDDW`);
  }
  const op = insns[last].op;
  if (op !== OP_EXIT && op !== OP_JA && op !== OP_JA32)
    fail('missing-exit', last, `${sub.name} can run off its end: the last instruction is no exit or jump`);
}

/** Follows every edge once, subprograms called included, and marks points. */
function walkEdges(insns: readonly Insn[], points: Uint8Array, fail: Fail): Uint8Array {
  const seen = new Uint8Array(insns.length);
  const todo = [0];
  const go = (to: number, from: number): void => {
    if (to >= insns.length) fail('jump-range', from, 'control runs off the end of the program');
    if (!seen[to]) todo.push(to);
  };
  for (let at = todo.pop(); at !== undefined; at = todo.pop()) {
    if (seen[at]) continue;
    seen[at] = 1;
    const insn = insns[at];
    if (insn.op === OP_LDDW) {
      seen[at + 1] = 1;
      if (isFuncAddress(insn)) {
        points[at] |= Point.PRUNE;
        points[at + 1 + insn.imm] |= Point.PRUNE;
        go(at + 1 + insn.imm, at);
      }
      go(at + 2, at);
    } else if (insn.op === OP_EXIT) {
      // Ends here.
    } else if (insn.op === OP_CALL) {
      // Before the call, or each path to it would walk the callback anew.
      if (setsCallback(insn)) points[at] |= Point.PRUNE;
      if (callsCallback(insn)) points[at] |= Point.CALLS_CALLBACK | Point.CHECKPOINT | Point.PRUNE;
      if (isLocalCall(insn)) {
        points[at] |= Point.PRUNE;
        go(at + 1 + insn.imm, at);
      }
      if (at + 1 < insns.length) points[at + 1] |= Point.PRUNE;
      go(at + 1, at);
    } else if (insn.op === OP_JA || insn.op === OP_JA32) {
      const to = jumpTarget(insn, at);
      points[to] |= Point.PRUNE;
      go(to, at);
    } else if (isConditional(insn)) {
      points[at] |= Point.PRUNE;
      if ((insn.op & 0xf0) === Jmp.JCOND) points[at] |= Point.CHECKPOINT | Point.MAY_GOTO;
      points[jumpTarget(insn, at)] |= Point.PRUNE;
      go(at + 1, at);
      go(jumpTarget(insn, at), at);
    } else go(at + 1, at);
  }
  return seen;
}

/** Functions that each function calls, or whose address it takes. */
export function callsOf(insns: readonly Insn[], cfg: Cfg): { at: number; to: number }[][] {
  return cfg.subprogs.map(sub => {
    const calls: { at: number; to: number }[] = [];
    for (let at = sub.start; at < sub.end; at++) {
      if (cfg.points[at] & Point.SECOND || !(isLocalCall(insns[at]) || isFuncAddress(insns[at]))) continue;
      calls.push({ at, to: cfg.owner[at + 1 + insns[at].imm] });
    }
    return calls;
  });
}

/** A function moves packets when one that it calls does. */
function spreadEffects(insns: readonly Insn[], cfg: Cfg): void {
  const calls = callsOf(insns, cfg).map(list => [...new Set(list.map(c => c.to))]);
  for (let changed = true; changed; ) {
    changed = false;
    for (const sub of cfg.subprogs) {
      if (sub.changesPacket || !calls[sub.index].some(to => cfg.subprogs[to].changesPacket)) continue;
      changed = sub.changesPacket = true;
    }
  }
}

export function buildCfg(spec: ProgramSpec, fail: Fail): Cfg {
  const { insns } = spec;
  if (insns.length === 0 || insns.length > MAX_INSNS)
    fail('program-size', 0, `a program of ${insns.length} slots; 1 to ${MAX_INSNS} are allowed`);
  const points = new Uint8Array(insns.length);
  checkForm(insns, points, fail);
  const subprogs = split(spec, points, fail);
  const owner = new Uint16Array(insns.length);
  for (const sub of subprogs) {
    owner.fill(sub.index, sub.start, sub.end);
    checkBounds(insns, sub, points, fail);
  }
  const seen = walkEdges(insns, points, fail);
  const dead = seen.indexOf(0);
  if (dead >= 0) fail('unreachable', dead, 'no path leads here');
  for (const sub of subprogs) {
    if (sub.index === 0 || (spec.btf && sub.info?.typeId)) continue;
    if (sub.hasTailCall || sub.hasLegacyLoad)
      fail(
        'abnormal-return',
        sub.start,
        `${sub.name} may return early (tail call or LD_ABS) and has no type information`,
      );
  }
  const cfg = { subprogs, owner, points };
  spreadEffects(insns, cfg);
  return cfg;
}
