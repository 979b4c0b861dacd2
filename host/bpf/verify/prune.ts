/**
 * Pruning: a path that meets a checkpoint whose paths all ended well, in a state at least as known, needs no
 * further walk (kernel: is_state_visited, states_equal). Also where endless loops are seen.
 */
import { Point } from './cfg.js';
import { passPrecision } from './precision.js';
import { Flag, isScalar, Kind, type Reg, scalarReg } from './regs.js';
import { same, UNKNOWN, within } from './scalar.js';
import { ALL_MISC, Byte, isSpill, type Slot, scalarOf, typeAt, withReg } from './stack.js';
import type { Frame, State } from './state.js';
import type { Walk } from './walk.js';

/** How closely a state must match a checkpoint. */
const Match = {
  /** What the checkpoint's paths relied on. */
  RELIED_ON: 0,
  /** Everything: the checkpoint's marks are not complete. */
  ALL: 1,
  /** Equal: nothing changed since, so the loop never ends. */
  EXACT: 2,
} as const;

/** Ids differ between paths; only which ones are equal counts. */
class IdMap {
  readonly #old: number[] = [];
  readonly #cur: number[] = [];
  #temporary = -1;

  /** Comparisons that the ids of one state took, about. */
  get cost(): number {
    return this.#old.length * this.#old.length;
  }

  reset(): void {
    this.#old.length = this.#cur.length = 0;
    this.#temporary = -1;
  }

  check(old: number, cur: number): boolean {
    if ((old === 0) !== (cur === 0)) return false;
    if (old === 0) return true;
    for (let i = 0; i < this.#old.length; i++) {
      if (this.#old[i] === old) return this.#cur[i] === cur;
      if (this.#cur[i] === cur) return false;
    }
    this.#old.push(old);
    this.#cur.push(cur);
    return true;
  }

  /** Scalars without a link are linked to themselves only. */
  checkScalar(old: number, cur: number): boolean {
    if (old === 0 && cur === 0) return true;
    return this.check(old || this.#temporary--, cur || this.#temporary--);
  }
}

const ids = new IdMap();

function regSafe(old: Reg, cur: Reg, precise: boolean, match: number): boolean {
  if (old.kind === Kind.NONE && match !== Match.EXACT) return true;
  if (old.kind !== cur.kind) return false;
  if (old.kind === Kind.SCALAR) {
    if (match === Match.RELIED_ON && !precise) return true;
    if ((old.flags & Flag.ADD_CONST) !== (cur.flags & Flag.ADD_CONST)) return false;
    if (old.flags & Flag.ADD_CONST && old.off !== cur.off) return false;
    if (!ids.checkScalar(old.id, cur.id)) return false;
    return match === Match.EXACT ? same(old.s, cur.s) : within(old.s, cur.s);
  }
  if (old.flags !== cur.flags || old.off !== cur.off || old.map !== cur.map) return false;
  if (old === cur && old.id === 0 && old.ref === 0 && old.uid === 0) return true;
  if (!ids.check(old.id, cur.id) || !ids.check(old.ref, cur.ref) || !ids.check(old.uid, cur.uid))
    return false;
  if (match === Match.EXACT) return old.size === cur.size && same(old.s, cur.s);
  switch (old.kind) {
    case Kind.PACKET:
    case Kind.PACKET_META:
      if (old.size < 0 || cur.size < 0 ? old.size !== cur.size : old.size > cur.size) return false;
      return within(old.s, cur.s);
    case Kind.MAP_VALUE:
    case Kind.MAP_KEY:
    case Kind.MEM:
      return old.size === cur.size && within(old.s, cur.s);
    default:
      return old.size === cur.size && same(old.s, cur.s);
  }
}

function slotSafe(old: Slot, cur: Slot, precise: boolean, match: number): boolean {
  if (match === Match.EXACT && old.types !== cur.types) return false;
  if (old.types === 0) return true;
  // Misc bytes were good enough: whatever is there now is, too.
  if (match !== Match.EXACT && old.types === ALL_MISC) return true;
  const oldScalar = scalarOf(old);
  const curScalar = oldScalar && scalarOf(cur);
  if (oldScalar && curScalar) return regSafe(oldScalar, curScalar, precise, match);
  let spilled = false;
  for (let i = 0; i < 8; i++) {
    const a = typeAt(old, i);
    const b = typeAt(cur, i);
    if (a === Byte.INVALID || a === Byte.MISC) continue;
    if (a !== b) return false;
    if (a === Byte.SPILL) spilled = true;
  }
  if (!spilled) return true;
  if (!isSpill(old) || !isSpill(cur)) return false;
  return regSafe(old.reg!, cur.reg!, precise, match);
}

function frameSafe(old: Frame, cur: Frame, live: number, match: number): boolean {
  if (old.callsite !== cur.callsite || old.callbackDepth > cur.callbackDepth) return false;
  if (old.inCallback !== cur.inCallback || old.subprog !== cur.subprog) return false;
  for (let i = 0; i < 10; i++) {
    if (!(live & (1 << i))) continue;
    if (!regSafe(old.regs[i], cur.regs[i], (old.precise & (1 << i)) !== 0, match)) return false;
  }
  const count = match === Match.EXACT ? Math.max(old.stack.length, cur.stack.length) : old.stack.length;
  for (let i = 0; i < count; i++) {
    if (match === Match.RELIED_ON && !old.isSlotRead(i)) continue;
    if (!slotSafe(old.slot(i), cur.slot(i), old.isSlotPrecise(i), match)) return false;
  }
  return true;
}

function statesEqual(v: Walk, old: State, cur: State, match: number): boolean {
  if ((old.asyncEntry === 0) !== (cur.asyncEntry === 0)) return false;
  if (old.frames.length !== cur.frames.length || old.refs.length !== cur.refs.length) return false;
  ids.reset();
  v.spend(old.frames.length * 16);
  if ((old.lock === undefined) !== (cur.lock === undefined)) return false;
  if (old.rcu < 0 !== cur.rcu < 0) return false;
  if (old.lock && cur.lock && (old.lock.map !== cur.lock.map || !ids.check(old.lock.id, cur.lock.id)))
    return false;
  for (let i = 0; i < old.refs.length; i++) if (!ids.check(old.refs[i].id, cur.refs[i].id)) return false;
  const top = old.frames.length - 1;
  for (let f = top; f >= 0; f--) {
    const at = f === top ? old.insn : old.frames[f + 1].callsite;
    if (!frameSafe(old.frames[f], cur.frames[f], v.live[at], match)) return false;
    v.spend(ids.cost);
  }
  return true;
}

/** Visits every scalar of a state that carries a link; `change` gives what stands there instead. */
function mapScalars(state: State, change: (r: Reg) => Reg): void {
  for (const frame of state.frames) {
    for (let i = 0; i < 10; i++) {
      const r = frame.regs[i];
      if (r.kind === Kind.SCALAR && r.id) frame.regs[i] = change(r);
    }
    for (let i = 0; i < frame.stack.length; i++) {
      const r = frame.stack[i].reg;
      if (r && r.kind === Kind.SCALAR && r.id) frame.stack[i] = withReg(frame.stack[i], change(r));
    }
  }
}

/** Links that nothing else shares say nothing, and would make states differ. */
function dropSingleIds(state: State): void {
  const seen = new Map<number, number>();
  mapScalars(state, r => {
    seen.set(r.id, (seen.get(r.id) ?? 0) + 1);
    return r;
  });
  if (seen.size) mapScalars(state, r => (seen.get(r.id) === 1 ? scalarReg(r.s) : r));
}

/** Takes a checkpoint: the walk goes on below it. */
function keep(v: Walk, list: State[]): void {
  const cur = v.cur;
  dropSingleIds(cur);
  const kept = cur.clone();
  kept.insn = v.pc;
  v.hold(kept);
  list.push(kept);
  cur.parent = kept;
  for (let f = 0; f < cur.frames.length; f++) {
    const frame = cur.frames[f];
    frame.parent = kept.frames[f];
    frame.wroteLo = frame.wroteHi = 0;
  }
  v.totalStates++;
  v.processedThen = v.processed;
  v.jumpsThen = v.jumps;
  if (list.length > v.peakStates) v.peakStates = list.length;
  if (v.totalStates > v.limits.states)
    v.fail('state-limit', `${v.limits.states} states are kept and the end is not in sight; ${hottest(v)}`);
}

/** Where the walk spent itself. */
export function hottest(v: Walk): string {
  let at = 0;
  for (let i = 1; i < v.visits.length; i++) if (v.visits[i] > v.visits[at]) at = i;
  const line = v.lines[at];
  const where = line ? ` (${line.file}:${line.line}: ${line.text.trim()})` : '';
  return `walked most often: instruction ${at}${where}, ${v.visits[at]} times`;
}

/** The end of a path: its checkpoints have one path less to wait for. */
export function endPath(v: Walk, state: State): void {
  let finished = false;
  for (let st: State | undefined = state; st; st = st.parent) {
    if (--st.branches > 0) break;
    finished = true;
  }
  if (finished && v.backEdges.length) settleLoops(v);
}

/** Passes marks along back edges until nothing is new; edges of loops that are through are forgotten. */
function settleLoops(v: Walk): void {
  const waiting = oldestLoop(v);
  if (waiting === v.loopSerial) return;
  for (let changed = true; changed; ) {
    changed = false;
    for (const { old, cur } of v.backEdges) {
      changed = passPrecision(v, old, cur) || changed;
      changed = passReads(old, cur) || changed;
    }
  }
  v.loopSerial = waiting;
  if (waiting === Number.POSITIVE_INFINITY) v.backEdges = [];
}

/** Serial of the oldest checkpoint that is still walked below and that some path went back to. */
function oldestLoop(v: Walk): number {
  let oldest = Number.POSITIVE_INFINITY;
  for (const { old } of v.backEdges) if (old.branches > 0 && old.serial < oldest) oldest = old.serial;
  return oldest;
}

/** What paths below `old` read, paths through `cur` read. True when that was new to the checkpoint above. */
function passReads(old: State, cur: State): boolean {
  let changed = false;
  for (let f = 0; f < old.frames.length; f++) {
    const { readLo, readHi } = old.frames[f];
    const frame = cur.frames[f];
    const parent = frame.parent;
    if ((readLo | readHi) === 0 || !parent) continue;
    const lo = parent.readLo;
    const hi = parent.readHi;
    frame.markRead(readLo, readHi);
    if (parent.readLo !== lo || parent.readHi !== hi) changed = true;
  }
  return changed;
}

function hit(v: Walk, old: State, unfinished: boolean): true {
  old.hits++;
  passPrecision(v, old, v.cur);
  passReads(old, v.cur);
  if (unfinished) {
    v.backEdges.push({ old, cur: v.cur });
    if (old.branches > 0 && old.serial < v.loopSerial) v.loopSerial = old.serial;
  }
  return true;
}

/**
 * At a pruning point: true when the path needs no further walk. Otherwise a checkpoint may be taken.
 * The thresholds are the kernel's, found there by measuring real programs.
 */
export function isVisited(v: Walk): boolean {
  const forced = v.hasPoint(Point.CHECKPOINT);
  const walked = v.processed - v.processedThen;
  const jumped = v.jumps - v.jumpsThen;
  let add = forced || (jumped >= 2 && walked >= 8) || walked > 200;
  const list = (v.explored[v.pc] ??= []);
  for (let i = list.length - 1; i >= 0; i--) {
    const old = list[i];
    if (old.branches > 0) {
      // Only a path that comes back from the callback converges here. One that jumped back to the call is an ordinary
      // loop; Linux 6.18 takes that for convergence too, and so accepts loops around bpf_loop that never end.
      if (v.hasPoint(Point.CALLS_CALLBACK) && v.cur.frame.callbackDepth > 0) {
        if (statesEqual(v, old, v.cur, Match.ALL)) return hit(v, old, true);
      } else if (v.hasPoint(Point.MAY_GOTO)) {
        if (old.mayGoto !== v.cur.mayGoto && statesEqual(v, old, v.cur, Match.ALL)) return hit(v, old, true);
      } else if (old.asyncEntry !== v.cur.asyncEntry) {
        // The same callback once more, set by itself or another: no loop, but its paths are not through yet.
      } else if (
        old.mayGoto === v.cur.mayGoto &&
        old.callbackUnroll === v.cur.callbackUnroll &&
        statesEqual(v, old, v.cur, Match.EXACT)
      ) {
        v.fail('infinite-loop', `back at instruction ${v.pc} with nothing changed: the loop never ends`);
      }
      if (!forced && jumped < 20 && walked < 100) add = false;
    } else {
      const unfinished = old.serial >= v.loopSerial;
      if (statesEqual(v, old, v.cur, unfinished ? Match.ALL : Match.RELIED_ON))
        return hit(v, old, unfinished);
    }
    if (add) old.misses++;
    const patience = forced && old.branches > 0 ? 64 : 3;
    if (old.misses > old.hits * patience + patience) list.splice(i, 1);
  }
  if (add) keep(v, list);
  return false;
}

/** Checkpoint of the same call or may_goto, in the frames of `cur`, that is still being walked below. */
export function previousEntry(from: State | undefined, cur: State, insn: number): State | undefined {
  for (let st = from; st; st = st.parent) {
    if (st.insn !== insn || st.branches === 0 || st.frames.length !== cur.frames.length) continue;
    if (st.frames.every((f, i) => f.callsite === cur.frames[i].callsite)) return st;
  }
  return undefined;
}

/** Scalars that change from round to round, and that nobody relied on, become unknown: so that rounds converge. */
export function widen(old: State, cur: State): void {
  ids.reset();
  const wide = (a: Reg | undefined, b: Reg, precise: boolean): Reg => {
    if (!a || !isScalar(a) || !isScalar(b) || precise) return b;
    const equal = same(a.s, b.s) && a.off === b.off && a.flags === b.flags && ids.check(a.id, b.id);
    return equal ? b : scalarReg(UNKNOWN);
  };
  for (let f = 0; f < cur.frames.length; f++) {
    const a = old.frames[f];
    const b = cur.frames[f];
    for (let i = 0; i < 10; i++) b.regs[i] = wide(a.regs[i], b.regs[i], (a.precise & (1 << i)) !== 0);
    for (let i = 0; i < b.stack.length; i++) {
      const s = b.stack[i];
      const o = a.slot(i);
      if (!isSpill(s) || !isSpill(o)) continue;
      b.stack[i] = withReg(s, wide(o.reg, s.reg!, a.isSlotPrecise(i)));
    }
  }
}
