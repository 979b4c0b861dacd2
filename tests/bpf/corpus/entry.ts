/**
 * The corpus: small programs, each a claim about one rule of the verifier, with the verdict of a real kernel.
 * One Markdown file a rule:
 *
 *   ## a claim
 *   ```bpf TYPE MAP… license=…       MAP as maps.ts reads it
 *   assembly in clang's or the kernel's notation; `raw OP DST SRC OFF IMM` for what assembly cannot say
 *   ```
 *   → accept · 5 insns
 *   → reject at 3 · 4 insns · EACCES: R6 !read_ok
 *
 * The last line is what the kernel said when the corpus was recorded (record.ts). C programs: objects.ts.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { assemble } from '../../../host/bpf/asm/assemble.js';
import { encodeInsns } from '../../../host/bpf/insn.js';
import type { ProgramSpec, ProgramType } from '../../../host/bpf/spec.js';
import '../../support/kernel_kfuncs.js';
import { mapsOf } from './maps.js';
import { objectPrograms } from './objects.js';

export interface Recorded {
  accepted: boolean;
  /** Instructions processed. */
  processed: number;
  /** Instruction of a rejection. */
  insn?: number;
  errno?: string;
  line?: string;
}

export interface Entry {
  /** Name of the file without its ending. */
  rule: string;
  claim: string;
  spec: ProgramSpec;
  recorded: Recorded | undefined;
  /** Line of the heading in its file. */
  line: number;
}

export const FOLDER = fileURLToPath(new URL('.', import.meta.url));
const ENTRY = /^## (.+)\n+```bpf ?(.*)\n([\s\S]*?)\n```\n→ (.*)$/gm;
const VERDICT = /^(accept|reject)(?: at (\d+))?(?: · (\d+) insns)?(?: · (E\w+): (.*))?$/;
export function readVerdict(text: string): Recorded {
  const match = VERDICT.exec(text);
  if (!match) throw new Error(`no verdict: ${text}`);
  const [, word, insn, processed, errno, line] = match;
  return {
    accepted: word === 'accept',
    processed: Number(processed ?? 0),
    insn: insn === undefined ? undefined : Number(insn),
    errno,
    line,
  };
}

/** Inverse of readVerdict. */
export function writeVerdict(v: Recorded): string {
  if (v.accepted) return `accept · ${v.processed} insns`;
  const at = v.insn === undefined ? '' : ` at ${v.insn}`;
  return `reject${at} · ${v.processed} insns · ${v.errno}: ${v.line}`;
}

/** `raw OP DST SRC OFF IMM` as the assembler's `.8byte`. */
function rawSlots(text: string): string {
  return text.replace(/^\s*raw (.*)$/gm, (_, fields: string) => {
    const [op, dst, src, off, imm] = fields.trim().split(/\s+/).map(Number);
    const slot = Buffer.from(encodeInsns([{ op, dst, src, off, imm }])).readBigUInt64LE();
    return `.8byte 0x${slot.toString(16)}`;
  });
}

export function readEntries(rule: string, text: string): Entry[] {
  return [...text.matchAll(ENTRY)].map(match => {
    const [, claim, info, asm, verdict] = match;
    const line = text.slice(0, match.index).split('\n').length;
    const words = info.split(' ').filter(Boolean);
    const option = (name: string) => words.find(w => w.startsWith(`${name}=`))?.slice(name.length + 1);
    const maps = mapsOf(words.slice(1).filter(w => !w.startsWith('license=')));
    const keys = Object.fromEntries(Object.entries(maps).map(([key, map]) => [map.name, Number(key)]));
    const made = assemble(rawSlots(asm), { file: `${rule}.md:${line}`, maps: keys });
    const spec: ProgramSpec = {
      name: claim.replace(/\W+/g, '_').slice(0, 15),
      type: words[0] as ProgramType,
      license: option('license') ?? 'GPL',
      insns: made.insns,
      maps,
      funcs: made.funcs,
      ...(Object.keys(made.kfuncs).length ? { kfuncs: made.kfuncs } : {}),
    };
    return { rule, claim, spec, recorded: verdict ? readVerdict(verdict) : undefined, line };
  });
}

/** Files of the corpus, in order. */
export const ruleFiles = (): string[] =>
  readdirSync(FOLDER)
    .filter(name => name.endsWith('.md') && !['README.md', 'differences.md'].includes(name))
    .sort();

/** The C programs (objects.ts). */
export function readObjects(): Entry[] {
  return objectPrograms().map(({ rule, spec, verdict, line }) => ({
    rule,
    claim: spec.name.replaceAll('_', ' '),
    spec,
    recorded: verdict ? readVerdict(verdict) : undefined,
    line,
  }));
}

/** Every entry: those of the Markdown files, then the C programs. */
export function readCorpus(): Entry[] {
  const assembly = ruleFiles().flatMap(name =>
    readEntries(name.replace(/\.md$/, ''), readFileSync(`${FOLDER}${name}`, 'utf8')),
  );
  return [...assembly, ...readObjects()];
}
