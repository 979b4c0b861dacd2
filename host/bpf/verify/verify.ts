/**
 * verify(): the only way to a VerifiedProgram. Walks every path of a program with the kernel's rules and limits
 * (kernel/bpf/verifier.c of Linux 6.18, for a loader with CAP_BPF and CAP_PERFMON).
 *
 *   form, functions, reachability ─ cfg.ts      live registers ─ liveness.ts
 *   walk: alu · jumps · memory · calls          prune.ts decides where a path needs no further walk
 */
import { EtherloomError } from '../../errors.js';
import { Class, classOf, type Insn, OP_CALL, OP_EXIT, OP_JA, OP_JA32, OP_LDDW, Pseudo } from '../insn.js';
import { bindKfuncs } from '../kfuncs.js';
import { checkSpec } from '../maps/check.js';
import { type StructRecords, structRecords } from '../objects/fields.js';
import { isRunnable } from '../program_types.js';
import type { LineInfo, MapSpec, ProgramSpec } from '../spec.js';
import { trustAsVerified } from '../stages.js';
import { noMember, opsMember } from '../struct_ops.js';
import { walkAlu } from './alu.js';
import { checkNothingHeld, clobberCallerSaved, walkCall } from './calls.js';
import { buildCfg, type Cfg, type Fail, jumpTarget, MAX_INSNS, Point } from './cfg.js';
import { disassembleInsn } from './disasm.js';
import { type Rule, VerifierError } from './errors.js';
import { FactTable } from './facts.js';
import { walkJump } from './jumps.js';
import { liveRegisters } from './liveness.js';
import { printState, WalkLog } from './log.js';
import { mapInfo } from './maps.js';
import { walkLegacyLoad, walkLoad, walkStore, walkWide } from './memory.js';
import { Backtrack } from './precision.js';
import { endPath, hottest, isVisited } from './prune.js';
import { constReg, Kind, pointer, UNKNOWN_REG } from './regs.js';
import { fingerprint, recall, remember } from './remembered.js';
import { scalarFacts } from './scalar_facts.js';
import { checkStackDepth } from './stack_depth.js';
import { Frame, State } from './state.js';
import { enterGlobal, returnEarly, walkExit } from './subprogs.js';
import type { VerifiedProgram } from './verified.js';
import { Walk } from './walk.js';

export { VerifierError } from './errors.js';

export interface VerifyOptions {
  /** 1: the path to a rejection, 2: every path. Costs some 10 µs an instruction. Default 0. */
  log?: 0 | 1 | 2;
  /** Most instructions walked. Default 1,000,000, as in the kernel. */
  insnLimit?: number;
  /** Most checkpoints kept. Default 200,000. */
  stateLimit?: number;
  /** The only mode there is: of a loader with CAP_BPF and CAP_PERFMON. */
  privileged?: true;
}

export interface VerifyResult extends VerifiedProgram {
  /** With log ≥ 1. */
  readonly log?: string;
}

const STATE_LIMIT = 200_000;

function lineTable(spec: ProgramSpec): (LineInfo | undefined)[] {
  const table: (LineInfo | undefined)[] = new Array(spec.insns.length);
  const rows = [...(spec.lines ?? [])].sort((a, b) => a.insn - b.insn);
  let row = 0;
  let current: LineInfo | undefined;
  for (let at = 0; at < table.length; at++) {
    while (row < rows.length && rows[row].insn <= at) current = rows[row++];
    table[at] = current;
  }
  return table;
}

/** A copy that nobody can change: what is compiled later is what was walked. Kfuncs have the table's numbers in it. */
function frozenCopy(spec: ProgramSpec): ProgramSpec {
  const insns = spec.insns.map(({ op, dst, src, off, imm }) => ({ op, dst, src, off, imm }));
  const kfuncs = Object.freeze(bindKfuncs(insns, spec.kfuncs));
  insns.forEach(Object.freeze);
  const copyMap = (m: MapSpec): MapSpec =>
    Object.freeze({
      ...m,
      ...(m.frozen && m.contents ? { contents: m.contents.slice() } : {}),
      ...(m.inner ? { inner: copyMap(m.inner) } : {}),
    });
  const maps = Object.fromEntries(Object.entries(spec.maps).map(([key, m]) => [key, copyMap(m)]));
  return Object.freeze({
    ...spec,
    insns: Object.freeze(insns) as Insn[],
    maps: Object.freeze(maps),
    ...(spec.kfuncs ? { kfuncs } : {}),
  });
}

/**
 * Verifies a program: a frozen copy of it, so that changes of `given` afterwards are not part of what was verified.
 * @throws VerifierError ERR_VERIFIER_<RULE> with rule, instruction, source line and state
 * @throws MapError ERR_MAP_<ERRNO> for a map that could not be made
 */
export function verify(given: ProgramSpec, options: VerifyOptions = {}): VerifyResult {
  return walk(frozenCopy(given), options);
}

/**
 * verify() for who loads programs: one that this process verified before, with the same maps, is not walked again.
 * @throws as verify()
 */
export function verifyOnce(given: ProgramSpec): VerifiedProgram {
  const started = performance.now();
  const spec = frozenCopy(given);
  const key = fingerprint(spec);
  const known = key === undefined ? undefined : recall(key);
  if (known) {
    const timeUs = Math.round((performance.now() - started) * 1000);
    const verified = { ...known, spec, stats: { ...known.stats, timeUs } };
    return trustAsVerified(verified as unknown as VerifiedProgram);
  }
  const verified = walk(spec, {});
  const { facts, stats, notes } = verified;
  if (key !== undefined) remember(key, { facts, stats, notes }, spec.insns.length);
  return verified;
}

function walk(spec: ProgramSpec, options: VerifyOptions): VerifyResult {
  const started = performance.now();
  const lines = lineTable(spec);
  const fail = (rule: Rule, insn: number, reason: string): never => {
    throw new VerifierError({
      program: spec.name,
      rule,
      insn,
      reason,
      text: disassembleInsn(spec, insn),
      line: lines[insn],
      state: '',
      log: options.log ? '' : undefined,
    });
  };
  if (!isRunnable(spec.type))
    fail(
      'program-type',
      0,
      spec.section
        ? `programs of section "${spec.section}" are not of a type that this engine runs`
        : 'a program without type cannot be verified',
    );
  if (spec.type === 'struct_ops' && !opsMember(spec)) fail('struct-ops', 0, noMember(spec));
  for (const map of Object.values(spec.maps)) checkSpec(map);
  const structs = structsOf(spec, fail);
  const cfg = buildCfg(spec, fail);
  const maps = new Map(
    Object.entries(spec.maps).map(([key, map]) => [Number(key), mapInfo(map, Number(key))]),
  );
  const facts = new FactTable(spec.insns, cfg);
  const v = new Walk(
    spec,
    cfg,
    liveRegisters(spec.insns, cfg),
    maps,
    facts,
    { insns: options.insnLimit ?? MAX_INSNS, states: options.stateLimit ?? STATE_LIMIT },
    options.log ? new WalkLog(options.log) : undefined,
    new Backtrack(),
    lines,
    structs,
  );
  try {
    walkAll(v);
  } catch (error) {
    if (error instanceof VerifierError) {
      error.processed = v.processed;
      error.timeUs = Math.round((performance.now() - started) * 1000);
    }
    throw error;
  }
  checkStackDepth(spec.insns, cfg, fail);
  facts.finish();
  scalarFacts(spec.insns, cfg, facts);
  return finish(v, cfg, started);
}

/** Structures of which objects can be made. One that is malformed refuses the whole file, as the kernel does. */
function structsOf(spec: ProgramSpec, fail: Fail): StructRecords {
  if (!spec.btf) return new Map();
  try {
    return structRecords(spec.btf);
  } catch (error) {
    if (!(error instanceof EtherloomError) || error.code !== 'ERR_BTF_FIELD') throw error;
    return fail('object-type', 0, error.message);
  }
}

/** The program, then every global function that it reaches. */
function walkAll(v: Walk): void {
  walkFunction(v, 0);
  const done = new Set<number>();
  for (let again = true; again; ) {
    again = false;
    for (const index of [...v.called]) {
      if (done.has(index)) continue;
      done.add(index);
      walkFunction(v, index);
      again = true;
    }
  }
}

function finish(v: Walk, cfg: Cfg, started: number): VerifyResult {
  const result = {
    spec: v.spec,
    facts: Object.freeze(v.facts),
    stats: {
      processed: v.processed,
      states: v.totalStates,
      peakStates: v.peakStates,
      timeUs: Math.round((performance.now() - started) * 1000),
      stackDepth: cfg.subprogs.map(s => s.stackDepth),
    },
    notes: v.notes,
    ...(v.log ? { log: v.log.text() } : {}),
  };
  return trustAsVerified(result as unknown as VerifyResult);
}

/** Walks the program, or a global function, from its first instruction. */
function walkFunction(v: Walk, index: number): void {
  v.root = index;
  let frame: Frame;
  if (index === 0) {
    frame = Frame.enter(-1, 0, 0, false);
    frame.regs[1] = pointer(Kind.CTX);
  } else frame = enterGlobal(v, index);
  v.cur = new State([frame]);
  v.explored.fill(undefined);
  v.backEdges = [];
  v.loopSerial = Number.POSITIVE_INFINITY;
  walkPath(v, v.cfg.subprogs[index].start);
  for (let p = v.pending.pop(); p; p = v.pending.pop()) {
    v.log?.rewind(p.logLength);
    v.cur = p.state;
    walkPath(v, p.insn);
  }
}

/** From `start` until the path ends. */
function walkPath(v: Walk, start: number): void {
  const { insns } = v;
  const { points } = v.cfg;
  v.pc = start;
  for (;;) {
    const pc = v.pc;
    if (++v.processed > v.limits.insns)
      v.fail(
        'instruction-limit',
        `${v.limits.insns} instructions were walked and the end is not in sight; ${hottest(v)}`,
      );
    v.visits[pc]++;
    if (points[pc] & Point.PRUNE && isVisited(v)) {
      v.log?.add(`${pc}: safe, as an earlier path from here`);
      break;
    }
    v.enterStep();
    v.facts.record(pc, v.cur.regs, v.cur.depth);
    if (v.log) v.log.add(`${pc}: ${disassembleInsn(v.spec, pc)}    ; ${printState(v.cur)}`);
    v.next = pc + 1;
    walkInsn(v, insns[pc]);
    if (v.next < 0) break;
    v.pc = v.next;
  }
  endPath(v, v.cur);
}

function walkInsn(v: Walk, insn: Insn): void {
  switch (classOf(insn.op)) {
    case Class.ALU:
    case Class.ALU64:
      return walkAlu(v, insn);
    case Class.LDX:
      return walkLoad(v, insn);
    case Class.ST:
    case Class.STX:
      return walkStore(v, insn);
    case Class.LD:
      if (insn.op !== OP_LDDW) return legacyLoad(v, insn);
      if (insn.src === Pseudo.FUNC) {
        v.next = v.pc + 2;
        v.regs[insn.dst] = pointer(Kind.FUNC, { size: v.cfg.owner[v.pc + 1 + insn.imm] });
        return;
      }
      return walkWide(v, insn);
  }
  v.jumps++;
  if (insn.op === OP_CALL) return walkCall(v, insn);
  if (insn.op === OP_EXIT) return walkExit(v);
  if (insn.op === OP_JA || insn.op === OP_JA32) {
    v.next = jumpTarget(insn, v.pc);
    return;
  }
  walkJump(v, insn);
}

/** LD_ABS outside of the packet ends its function with 0. */
function legacyLoad(v: Walk, insn: Insn): void {
  walkLegacyLoad(v, insn);
  checkNothingHeld(v, 'LD_ABS, which may end the program', true);
  clobberCallerSaved(v.regs);
  if (v.cur.depth > 0) returnEarly(v, constReg(0n), false);
  v.regs[0] = UNKNOWN_REG;
}
