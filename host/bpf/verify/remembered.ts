/**
 * Programs that this process verified, so that the second stack, hop or engine with the same program need not walk it again.
 * verifyOnce() is the only one who asks. What is remembered is found by a fingerprint of all that the walk may look at, of the
 * frozen copy itself: a difference anywhere, even in what decides nothing, is another program. Refusals are not kept.
 */
import { createHash } from 'node:crypto';
import { serialize } from 'node:v8';
import type { MapSpec, ProgramSpec } from '../spec.js';
import type { JitFacts, VerifierStats } from './verified.js';

/** What a walk found out. */
export interface Verdict {
  readonly facts: JitFacts;
  readonly stats: VerifierStats;
  readonly notes: readonly string[];
}

/** Most instruction slots of all programs kept: one takes some 250 bytes, so 16 MB. */
const MOST_INSNS = 1 << 16;

/** In order of their last use. */
const verdicts = new Map<string, { verdict: Verdict; insns: number }>();
let kept = 0;

/** A map with BTF as `Btf` has it: who read it from a file leaves a function there. */
const plain = ({ btf, inner, ...rest }: MapSpec): object => ({
  ...rest,
  btf: btf && [btf.types.types, btf.keyId, btf.valueId],
  inner: inner && plain(inner),
});

/**
 * Sha256 over the program as a structured clone: values with their types, so that 1, '1' and 2³² + 1 are three. Lines only
 * say where an error is. Undefined for what is no plain data.
 */
export function fingerprint(spec: ProgramSpec): string | undefined {
  const { insns, lines: _, maps, btf, ...rest } = spec;
  const code = insns.flatMap(({ op, dst, src, off, imm }) => [op, dst, src, off, imm]);
  const used = Object.entries(maps).map(([key, map]) => [key, plain(map)]);
  try {
    const bytes = serialize([code, rest, used, btf?.types]);
    return createHash('sha256').update(bytes).digest('base64');
  } catch {
    return undefined;
  }
}

export function recall(key: string): Verdict | undefined {
  const found = verdicts.get(key);
  if (!found) return undefined;
  verdicts.delete(key);
  verdicts.set(key, found);
  return found.verdict;
}

/** Keeps it as long as there is room: what was not asked for longest goes first. */
export function remember(key: string, verdict: Verdict, insns: number): void {
  if (insns > MOST_INSNS || verdicts.has(key)) return;
  verdicts.set(key, { verdict, insns });
  kept += insns;
  for (const [oldest, { insns: freed }] of verdicts) {
    if (kept <= MOST_INSNS) return;
    verdicts.delete(oldest);
    kept -= freed;
  }
}
