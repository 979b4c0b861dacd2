/**
 * Makes a failing program small: instructions are taken out, in runs and then one by one, for as long as it fails.
 * Jumps are retargeted to the next instruction that is left.
 */
import { type Insn, OP_LDDW } from '../../../host/bpf/insn.js';
import { jumpsByImm, jumpsByOff } from './code.js';

/**
 * The program with each slot replaced by what `replace` gives for it: nothing, itself, or itself and more behind it.
 * The second slot of an LDDW goes with its first; jumps keep their targets.
 */
export function edit(insns: readonly Insn[], replace: (insn: Insn, slot: number) => Insn[]): Insn[] {
  const second = (slot: number) => slot > 0 && insns[slot - 1].op === OP_LDDW;
  const parts: Insn[][] = [];
  insns.forEach((insn, i) => {
    parts.push(!second(i) ? replace({ ...insn }, i) : parts[i - 1].length ? [{ ...insn }] : []);
  });
  /** New number of a slot, or of the next one left. */
  const renumbered = [0];
  for (const part of parts) renumbered.push(renumbered[renumbered.length - 1] + part.length);
  const distance = (slot: number, old: number): number => {
    const target = slot + 1 + old;
    const to = target < 0 || target > insns.length ? target : renumbered[target];
    return to - renumbered[slot] - 1;
  };
  return parts.flatMap((part, i) => {
    const [first, ...rest] = part;
    if (!first || second(i)) return part;
    if (jumpsByOff(first)) return [{ ...first, off: distance(i, first.off) }, ...rest];
    if (jumpsByImm(first)) return [{ ...first, imm: distance(i, first.imm) }, ...rest];
    return part;
  });
}

/** The program without the slots for which `drop` answers true. */
export function without(insns: readonly Insn[], drop: (slot: number) => boolean): Insn[] {
  return edit(insns, (insn, slot) => (drop(slot) ? [] : [insn]));
}

/**
 * @param fails must be deterministic, and true for `insns`
 * @param keep slots at the start that stay: without its inputs a program may fail for another reason
 * @param tries calls of `fails` allowed
 */
export function shrink(
  insns: readonly Insn[],
  fails: (insns: Insn[]) => boolean,
  keep = 0,
  tries = 2000,
): Insn[] {
  let best = insns.map(insn => ({ ...insn }));
  for (let run = Math.ceil(best.length / 2); run >= 1; run = Math.floor(run / 2)) {
    for (let again = true; again; ) {
      again = false;
      for (let at = best.length - run; at >= keep && tries > 0; at -= run) {
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
