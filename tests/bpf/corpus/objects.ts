/**
 * The C side of the corpus: c/*.c with their committed objects; every program of an object is an entry, its name the
 * claim. c/verdicts.md holds the recorded verdicts, one line a program.
 *   tsx tests/bpf/corpus/objects.ts [OUT_DIR]    compiles them with clang-19
 */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { loadElf } from '../../../host/bpf/elf/load.js';
import type { ProgramSpec } from '../../../host/bpf/spec.js';

export const C_FOLDER = fileURLToPath(new URL('./c/', import.meta.url));
export const VERDICTS = `${C_FOLDER}verdicts.md`;
export const CLANG = 'clang-19';
const STRIP = 'llvm-strip-19';
/** No path of the building machine gets into an object. */
const FLAGS = ['-O2', '-g', '-target', 'bpf', '-mcpu=v3', '-Wall', '-Werror', '-ffile-compilation-dir=.'];

export const sources = (): string[] => readdirSync(C_FOLDER).filter(name => name.endsWith('.c'));
export const objectOf = (source: string): string => source.replace(/\.c$/, '.bpf.o');

export function buildObject(source: string, outDir: string): void {
  execFileSync(CLANG, [...FLAGS, '-c', source, '-o', `${outDir}/${objectOf(source)}`], {
    cwd: C_FOLDER,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  // DWARF counts the lines of every header; BTF stays.
  execFileSync(STRIP, ['-g', `${outDir}/${objectOf(source)}`]);
}

export interface ObjectProgram {
  /** `c_` and the name of the source. */
  rule: string;
  spec: ProgramSpec;
  /** The verdict as text, '' when there is none yet. */
  verdict: string;
  /** Line of the program in verdicts.md, from 1; 0 when it has none. */
  line: number;
}

export function objectPrograms(): ObjectProgram[] {
  const recorded = new Map<string, { verdict: string; line: number }>();
  readFileSync(VERDICTS, 'utf8')
    .split('\n')
    .forEach((text, i) => {
      const match = /^- (\S+) → (.*)$/.exec(text);
      if (match) recorded.set(match[1], { verdict: match[2], line: i + 1 });
    });
  return sources().flatMap(source => {
    const object = objectOf(source);
    const { programs } = loadElf(readFileSync(`${C_FOLDER}${object}`), object);
    return Object.values(programs).map(spec => ({
      rule: `c_${source.replace(/\.c$/, '')}`,
      spec,
      ...(recorded.get(spec.name) ?? { verdict: '', line: 0 }),
    }));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href)
  for (const source of sources()) buildObject(source, process.argv[2] ?? C_FOLDER);
