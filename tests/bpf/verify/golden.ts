/**
 * Verdicts as Markdown: a heading is the claim, the indented block a program, the arrow line the verdict.
 *   → accept
 *   → reject at 1: r2 is packet+0 with 0 bytes proven, 13 needed   (rule: packet-bounds)
 * `.limit N` in a program sets the instruction budget.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import '../../support/kernel_kfuncs.js';
import '../../support/test_kfuncs.js';
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { VerifierError, verify } from '../../../host/bpf/verify/verify.js';

export const GOLDENS = fileURLToPath(new URL('../../golden/verifier/', import.meta.url));
export const ENTRY = /^## (.+)\n((?: {4}.*\n|\n)+)→ (.*)$/gm;

export interface Golden {
  file: string;
  claim: string;
  program: string;
  expected: string;
}

export const goldenFiles = (): string[] => readdirSync(GOLDENS).filter(name => name.endsWith('.md'));

export function readGoldens(file: string): Golden[] {
  const text = readFileSync(GOLDENS + file, 'utf8');
  return [...text.matchAll(ENTRY)].map(([, claim, program, expected]) => ({
    file,
    claim,
    program,
    expected,
  }));
}

/** The arrow line that our verifier gives. */
export function verdictOf(golden: Golden): string {
  const limit = /^ *\.limit (\d+)$/m.exec(golden.program);
  const text = golden.program.replace(/^ *\.limit .*$/m, '');
  const spec = assembleSpec(text, { file: golden.file });
  try {
    verify(spec, limit ? { insnLimit: Number(limit[1]) } : {});
    return 'accept';
  } catch (error) {
    if (!(error instanceof VerifierError)) throw error;
    return `reject at ${error.insn}: ${error.reason}   (rule: ${error.rule})`;
  }
}
