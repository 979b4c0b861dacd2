import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from '../../host/bpf/asm/assemble.js';
import { disassemble } from '../../host/bpf/asm/disassemble.js';
import { readElf, Shf } from '../../host/bpf/elf/reader.js';
import { decodeInsns, encodeInsns, type Insn, OP_LDDW } from '../../host/bpf/insn.js';
import { CLANG, compilerFlags, FIXTURES, fixtures } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('asm/clang');
const OBJDUMP = 'llvm-objdump-19';
const have = (tool: string): string | undefined =>
  spawnSync(tool, ['--version']).status === 0 ? undefined : `${tool} is not installed`;

interface Code {
  name: string;
  insns: Insn[];
  /** Slots that a relocation patches: the compiler's text has the symbol there. */
  patched: Set<number>;
}

function codeOf(object: string): Code[] {
  const elf = readElf(readFileSync(object), object);
  return elf.sections
    .filter(s => s.flags & Shf.EXECINSTR && s.size > 0)
    .map(s => ({
      name: s.name,
      insns: decodeInsns(s.data.bytes),
      patched: new Set((elf.relocs.get(s.index) ?? []).map(r => r.offset / 8)),
    }));
}

/** One side without what the linker fills in, as bytes by line. */
function masked(insns: readonly Insn[], patched: ReadonlySet<number>): string {
  const slots = insns.map((insn, i) => {
    const second = patched.has(i - 1) && insns[i - 1].op === OP_LDDW;
    if (second) return { ...insn, imm: 0 };
    return patched.has(i) ? { ...insn, src: 0, imm: 0 } : insn;
  });
  return Buffer.from(encodeInsns(slots)).toString('hex').replaceAll(/.{16}/g, '$&\n');
}

test(
  "the assembler's bytes for clang's -S output are clang's own",
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'etherloom-asm-'));
    try {
      let compared = 0;
      for (const fixture of fixtures()) {
        const flags = compilerFlags(fixture);
        const text = execFileSync(CLANG, [...flags, '-S', fixture.source, '-o', '-'], {
          cwd: FIXTURES,
          encoding: 'utf8',
        });
        const object = join(dir, fixture.object);
        execFileSync(CLANG, [...flags, '-c', fixture.source, '-o', object], { cwd: FIXTURES });
        const externs = text.replaceAll(
          /\bcall (bpf_strong_kfunc|bpf_weak_kfunc|elsewhere)\b/g,
          'call kfunc $1',
        );
        const assembly = assemble(externs, { file: fixture.source });
        for (const code of codeOf(object)) {
          const mine = assembly.sections
            .filter(s => s.name === code.name)
            .flatMap(s => assembly.insns.slice(s.start, s.end));
          assert.equal(
            masked(mine, code.patched),
            masked(code.insns, code.patched),
            `${fixture.object} ${code.name}`,
          );
          compared += mine.length;
        }
      }
      assert.ok(compared > 800, `${compared} slots`);
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
  { missing: have(CLANG), timeoutMs: 60_000 },
);

/** Instruction texts of an objdump listing, by section. */
function objdump(object: string, ...flags: string[]): Map<string, string[]> {
  const sections = new Map<string, string[]>();
  let current: string[] = [];
  for (const line of execFileSync(OBJDUMP, ['-d', '--no-show-raw-insn', ...flags, object], {
    encoding: 'utf8',
  }).split('\n')) {
    const heading = /^Disassembly of section (.+):$/.exec(line);
    if (heading) sections.set(heading[1], (current = []));
    const insn = /^\s+\d+:\s+(\S.*?)(\s+<[^<>]*>)?$/.exec(line);
    if (insn) current.push(insn[1]);
  }
  return sections;
}

test(
  "the disassembly of an object is llvm-objdump's, calls of subprograms and maps apart",
  () => {
    let compared = 0;
    for (const { object } of fixtures()) {
      const path = join(FIXTURES, object);
      const theirs = objdump(path);
      // The default CPU leaves 32-bit atomics unknown.
      const newest = objdump(path, '--mcpu=v4');
      for (const code of codeOf(path)) {
        const mine = disassemble(code.insns, { notation: 'clang', labels: false }).trimEnd().split('\n');
        const late = newest.get(code.name) ?? [];
        const expected = (theirs.get(code.name) ?? []).map((text, i) =>
          text === '<unknown>' ? late[i] : text,
        );
        assert.is(mine.length, expected.length, `${object} ${code.name}`);
        mine.forEach((text, i) => {
          // Ours says that a call is local (`call +0x7`); objdump leaves that to the reader of the bytes.
          assert.is(
            text.trim().replace(/^call \+/, 'call '),
            expected[i],
            `${object} ${code.name} line ${i}`,
          );
          compared++;
        });
      }
    }
    assert.ok(compared > 800, `${compared} instructions`);
  },
  { missing: have(OBJDUMP), timeoutMs: 60_000 },
);

test(
  "llvm-objdump's listing with relocations assembles to the bytes of the object",
  () => {
    for (const { object } of fixtures()) {
      if (/externs|unknown_call/.test(object)) continue;
      const path = join(FIXTURES, object);
      const listing = execFileSync(OBJDUMP, ['-dr', path], { encoding: 'utf8' });
      const assembly = assemble(listing, { file: object });
      for (const code of codeOf(path)) {
        const mine = assembly.sections
          .filter(s => s.name === code.name)
          .flatMap(s => assembly.insns.slice(s.start, s.end));
        assert.equal(masked(mine, code.patched), masked(code.insns, code.patched), `${object} ${code.name}`);
      }
    }
  },
  { missing: have(OBJDUMP), timeoutMs: 60_000 },
);
