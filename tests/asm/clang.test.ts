import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assemble } from '../../host/bpf/asm/assemble.js';
import { disassemble } from '../../host/bpf/asm/disassemble.js';
import { printInsn, slotsAt } from '../../host/bpf/asm/print.js';
import { readElf, Shf } from '../../host/bpf/elf/reader.js';
import {
  Atomic,
  Class,
  decodeInsns,
  encodeInsns,
  type Insn,
  Mode,
  OP_CALL,
  OP_JA32,
  OP_LDDW,
} from '../../host/bpf/insn.js';
import { CLANG, compilerFlags, FIXTURES, fixtures } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('asm/clang');
const OBJDUMP = 'llvm-objdump-19';
const MC = 'llvm-mc-19';
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
          /\bcall (bpf_strong_kfunc|bpf_weak_kfunc|bpf_not_there|bpf_nowhere|elsewhere)\b/g,
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
      if (/externs|unknown_call|kfuncs/.test(object)) continue;
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

/** What LLVM 19 has no spelling for: addresses of maps, kfuncs, subprograms by distance, acquire and release, IND + offset. */
function isOurs(insn: Insn): boolean {
  const { op, src, imm } = insn;
  if (op === OP_LDDW || op === OP_CALL) return src !== 0 || (op === OP_CALL && imm < 0);
  // Its parser takes 16 bits of the 32 that gotol has.
  if (op === OP_JA32) return imm !== (imm << 16) >> 16;
  if ((op & 0xe7) === (Class.STX | Mode.ATOMIC)) return imm === Atomic.LOAD_ACQ || imm === Atomic.STORE_REL;
  return (op & 0xe7) === (Class.LD | Mode.IND) && imm !== 0;
}

test(
  'llvm-mc makes the same bytes of every instruction as printed in its notation',
  () => {
    const program: Insn[] = [];
    const texts: string[] = [];
    for (let op = 0; op < 256; op++)
      for (const [dst, src] of [
        [0, 0],
        [3, 0],
        [1, 2],
        [0, 7],
        [10, 9],
      ])
        for (const off of [0, 1, -1, 8, 16, 32, 0x7fff])
          for (const imm of [0, 1, -1, 16, 32, 64, 0x50, 0xa1, 0xe1, 0xf1, 0x7fffffff, -0x80000000]) {
            const insns: Insn[] = [
              { op, dst, src, off, imm },
              { op: 0, dst: 0, src: 0, off: 0, imm: op === OP_LDDW ? -imm : 0 },
            ];
            const text = printInsn(insns, 0, 'clang');
            if (text.startsWith('.8byte') || isOurs(insns[0])) continue;
            program.push(...insns.slice(0, slotsAt(insns, 0)));
            texts.push(text);
          }
    const object = execFileSync(MC, ['-triple=bpfel', '-mcpu=v4', '-filetype=obj', '-o', '-'], {
      input: `${texts.join('\n')}\n`,
      maxBuffer: 64 << 20,
    });
    const theirs = readElf(object, 'llvm-mc').sections.find(s => s.name === '.text')!.data.bytes;
    assert.ok(texts.length > 2_000, `${texts.length} instructions`);
    assert.is(Buffer.from(theirs).toString('hex'), Buffer.from(encodeInsns(program)).toString('hex'));
  },
  { missing: have(MC) },
);
