/**
 * Makes a failing program small: instructions are taken out, in runs and then one by one, for as long as it fails.
 * Jumps are retargeted to the next instruction that is left.
 */
import { type Insn, OP_LDDW } from '../../../host/bpf/insn.js';
import { jumpsByImm, jumpsByOff } from './code.js';

/** The program without the slots for which `drop` answers true. The two slots of an LDDW go together. */
export function without(insns: readonly Insn[], drop: (slot: number) => boolean): Insn[] {
  const gone = insns.map((_, i) => drop(i));
  for (let i = 0; i < insns.length - 1; i++) if (insns[i].op === OP_LDDW) gone[i + 1] = gone[i];
  /** New number of a slot, or of the next one left. */
  const renumbered: number[] = [];
  let next = 0;
  for (let i = 0; i <= insns.length; i++) {
    renumbered.push(next);
    if (!gone[i]) next++;
  }
  const target = (slot: number, distance: number): number => {
    const old = slot + 1 + distance;
    const to = old < 0 || old > insns.length ? old : renumbered[old];
    return to - renumbered[slot] - 1;
  };
  return insns.flatMap((insn, i) => {
    if (gone[i]) return [];
    const second = i > 0 && insns[i - 1].op === OP_LDDW;
    if (!second && jumpsByOff(insn)) return [{ ...insn, off: target(i, insn.off) }];
    if (!second && jumpsByImm(insn)) return [{ ...insn, imm: target(i, insn.imm) }];
    return [{ ...insn }];
  });
}

/**
 * @param fails must be deterministic, and true for `insns`
 * @param tries calls of `fails` allowed
 */
export function shrink(insns: readonly Insn[], fails: (insns: Insn[]) => boolean, tries = 2000): Insn[] {
  let best = insns.map(insn => ({ ...insn }));
  for (let run = Math.ceil(best.length / 2); run >= 1; run = Math.floor(run / 2)) {
    for (let again = true; again; ) {
      again = false;
      for (let at = best.length - run; at >= 0 && tries > 0; at -= run) {
        const candidate = without(best, i => i >= at && i < at + run);
        tries--;
        if (candidate.length < best.length && fails(candidate)) {
          best = candidate;
          again = run === 1;
        }
      }
    }
  }
  return best;
}
