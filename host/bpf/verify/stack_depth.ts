/**
 * Stack of the longest call chain: 512 bytes in all, 8 functions, 256 bytes before a function with tail calls
 * (kernel: check_max_stack_depth).
 */

import type { Insn } from '../insn.js';
import { type Cfg, callsOf, type Fail, isLocalCall } from './cfg.js';
import { MAX_FRAMES } from './subprogs.js';

const MAX_STACK = 512;
const TAIL_CALL_STACK = 256;
/** The kernel's JIT rounds each frame up to 16 bytes. */
const roundUp = (bytes: number): number => Math.ceil(bytes / 16) * 16;

export function checkStackDepth(insns: readonly Insn[], cfg: Cfg, fail: Fail): void {
  // Timers call their callbacks on a stack of its own: there the count begins anew.
  const calls = callsOf(insns, cfg).map((list, from) =>
    list.filter(
      c => isLocalCall(insns[c.at]) || !cfg.subprogs[c.to].isAsync || cfg.subprogs[from].callsBack.has(c.to),
    ),
  );
  // Deepest stack and longest chain from each function down, by depth-first search that remembers.
  const state = new Uint8Array(cfg.subprogs.length);
  const below = cfg.subprogs.map(() => ({ bytes: 0, frames: 0 }));
  const visit = (root: number): void => {
    const path: { sub: number; next: number }[] = [{ sub: root, next: 0 }];
    state[root] = 1;
    while (path.length) {
      const top = path[path.length - 1];
      const call = calls[top.sub][top.next++];
      if (!call) {
        const own = roundUp(cfg.subprogs[top.sub].stackDepth);
        const b = below[top.sub];
        for (const c of calls[top.sub]) {
          b.bytes = Math.max(b.bytes, below[c.to].bytes);
          b.frames = Math.max(b.frames, below[c.to].frames);
        }
        b.bytes += own;
        b.frames++;
        state[top.sub] = 2;
        path.pop();
      } else if (state[call.to] === 1)
        fail(
          'call-depth',
          call.at,
          `${cfg.subprogs[call.to].name} calls itself in the end: recursion is not allowed`,
        );
      else if (state[call.to] === 0) {
        state[call.to] = 1;
        path.push({ sub: call.to, next: 0 });
      }
    }
  };
  cfg.subprogs.forEach(sub => {
    if (state[sub.index] === 0) visit(sub.index);
  });
  for (const sub of cfg.subprogs) {
    if (sub.index > 0 && !sub.isAsync) continue;
    const { bytes, frames } = below[sub.index];
    if (bytes > MAX_STACK)
      fail(
        'stack-depth',
        sub.start,
        `the functions called in one another use ${bytes} bytes of stack; ${MAX_STACK} is the most`,
      );
    if (frames > MAX_FRAMES)
      fail(
        'call-depth',
        sub.start,
        `${frames} functions are called in one another; ${MAX_FRAMES} is the most`,
      );
  }
  checkTailCalls(cfg, calls, fail);
}

/** A tail call keeps its callers' stack: at most 256 bytes of it. Longest distances in order of the call graph. */
function checkTailCalls(cfg: Cfg, calls: { at: number; to: number }[][], fail: Fail): void {
  if (!cfg.subprogs.some(s => s.index > 0 && s.hasTailCall)) return;
  const above = new Int32Array(cfg.subprogs.length).fill(-1);
  above[0] = 0;
  // The graph has no cycles: after as many rounds as there are functions nothing changes any more.
  for (let round = 0, changed = true; changed && round <= cfg.subprogs.length; round++) {
    changed = false;
    for (const sub of cfg.subprogs) {
      if (above[sub.index] < 0) continue;
      const bytes = above[sub.index] + roundUp(sub.stackDepth);
      for (const c of calls[sub.index]) {
        if (bytes <= above[c.to]) continue;
        above[c.to] = bytes;
        changed = true;
        if (cfg.subprogs[c.to].hasTailCall && bytes >= TAIL_CALL_STACK)
          fail(
            'stack-depth',
            c.at,
            `${bytes} bytes of stack lie under ${cfg.subprogs[c.to].name}, which tail-calls; less than ${TAIL_CALL_STACK} are allowed`,
          );
      }
    }
  }
}
