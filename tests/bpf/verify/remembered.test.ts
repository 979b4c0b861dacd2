/** Programs that are loaded again: the same one is not walked twice, and nothing else passes for it. */
import { readFileSync } from 'node:fs';
import { assembleSpec } from '../../../host/bpf/asm/spec.js';
import { loadElf } from '../../../host/bpf/elf/load.js';
import type { Insn } from '../../../host/bpf/insn.js';
import { compileProgram } from '../../../host/bpf/jit/compile.js';
import type { MapSpec, ProgramSpec } from '../../../host/bpf/spec.js';
import { requireVerified } from '../../../host/bpf/stages.js';
import { fingerprint } from '../../../host/bpf/verify/remembered.js';
import { VerifierError, verify, verifyOnce } from '../../../host/bpf/verify/verify.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('verify: remembered');
const FORWARD = new URL('../../../bpf-progs/obj/forward.bpf.o', import.meta.url);

const text = (n: number): string => `r0 = ${n}\nr1 = 7\nr0 += r1\nexit`;
const program = (n: number): ProgramSpec => assembleSpec(text(n), { type: 'xdp' });

/** A program with a map whose contents decide a branch. */
function withMap(change: Partial<MapSpec> = {}): ProgramSpec {
  const rodata: MapSpec = {
    ...{ name: '.rodata', type: 'array', keySize: 4, valueSize: 8, maxEntries: 1, flags: 0x80 },
    ...{ frozen: true, contents: new Uint8Array(8).fill(1) },
    ...change,
  };
  const insn = (op: number, dst: number, src: number, off: number, imm: number): Insn => ({
    ...{ op, dst, src, off, imm },
  });
  return {
    ...{ name: 'p', type: 'xdp', license: 'GPL', maps: { 1: rodata } },
    insns: [insn(0x18, 1, 2, 0, 1), insn(0, 0, 0, 0, 0), insn(0x79, 0, 1, 0, 0), insn(0x95, 0, 0, 0, 0)],
  };
}

const isRemembered = (spec: ProgramSpec, first: ProgramSpec): boolean =>
  verifyOnce(spec).facts === verifyOnce(first).facts;

test('an equal program has the facts of the first, its own spec, and compiles to the same bytes', () => {
  const load = (): ProgramSpec =>
    Object.values(loadElf(new Uint8Array(readFileSync(FORWARD)), 'forward').programs)[0];
  const first = verifyOnce(load());
  const again = verifyOnce(load());
  assert.is(again.facts, first.facts);
  assert.is.not(again.spec, first.spec);
  requireVerified(again);
  assert.is(again.stats.processed, first.stats.processed);
  assert.is.not(again.facts, verify(load()).facts, 'verify() itself walks each time');
  const bytes = [verify(program(5)), verifyOnce(program(5)), verifyOnce(program(5))].map(v =>
    Buffer.from(compileProgram(v, {}).bytes).toString('hex'),
  );
  assert.equal(bytes.slice(1), [bytes[0], bytes[0]]);
});

test('a difference in any member of an instruction, a map or the program is another program', () => {
  const base = withMap();
  assert.ok(isRemembered(withMap(), base));
  const changed = (change: (s: ProgramSpec) => void): ProgramSpec => {
    const spec = withMap();
    change(spec);
    return spec;
  };
  const others: [what: string, ProgramSpec][] = [
    ['contents', withMap({ contents: new Uint8Array(8).fill(2) })],
    ['room', withMap({ maxEntries: 2, frozen: false, contents: undefined })],
    ['flags', withMap({ flags: 0x480 })],
    ['frozen', withMap({ frozen: false })],
    ['name', changed(s => (s.name = 'q'))],
    ['licence', changed(s => (s.license = 'BSD'))],
    ['section', changed(s => (s.section = 'xdp/devmap'))],
    ['kfuncs', changed(s => (s.kfuncs = { 7: 'bpf_xdp_metadata' }))],
    ['imm', changed(s => (s.insns[0].imm = 2))],
    ['type', changed(s => (s.type = 'tc'))],
    ['BTF', changed(s => (s.btf = { types: [{ kind: 'void' }] }))],
  ];
  const prints = [base, ...others.map(([, s]) => s)].map(fingerprint);
  assert.is(
    new Set(prints).size,
    others.length + 1,
    others.map(([what], i) => `${what} ${prints[i + 1]}`).join(),
  );
});

test('numbers that an encoding would take for the same are not: 2³² + 1, the text of a number, a register 256', () => {
  const other = (change: Partial<Record<keyof Insn, unknown>>): ProgramSpec => {
    const spec = program(1);
    Object.assign(spec.insns[0], change);
    return spec;
  };
  const prints = [{}, { imm: 2 ** 32 + 1 }, { imm: '1' }, { imm: 1.5 }, { dst: 256 }, { off: 65536 }].map(c =>
    fingerprint(other(c)),
  );
  assert.is(new Set(prints).size, prints.length);
});

test('what is refused is walked again, and refused with the same words', () => {
  const words = (): string => {
    try {
      verifyOnce(assembleSpec('r0 = *(u64 *)(r1 + 4096)\nexit', { type: 'xdp' }));
    } catch (error) {
      if (error instanceof VerifierError) return error.message;
      throw error;
    }
    return 'taken';
  };
  const first = words();
  assert.match(first, /context|ctx/);
  assert.is(words(), first);
});

test('a spec that is changed after it was taken changes nothing of what is remembered', () => {
  const given = withMap();
  const first = verifyOnce(given);
  given.maps[1].contents!.fill(9);
  given.insns[3].op = 0x05;
  assert.is(verifyOnce(withMap()).facts, first.facts);
  assert.is(verifyOnce(withMap()).spec.insns[3].op, 0x95);
  assert.throws(() => verifyOnce(given), /./, 'what it is now is not what was taken');
});

test('a spec that is no plain data has no fingerprint, and is walked each time', () => {
  const odd = (): ProgramSpec => Object.assign(program(6), { note: () => 0 });
  assert.is(fingerprint(odd()), undefined);
  assert.not(isRemembered(odd(), odd()));
});

test('there is room for so many instructions: what was not asked for longest is walked again', () => {
  const long = (n: number): ProgramSpec =>
    assembleSpec(`r0 = ${n}\n${'r0 += 1\n'.repeat(20_000)}exit`, { type: 'xdp' });
  const first = verifyOnce(program(77));
  const second = verifyOnce(program(78));
  for (let n = 0; n < 3; n++) {
    verifyOnce(long(n));
    assert.is(verifyOnce(program(77)).facts, first.facts, 'asked for all the time');
  }
  verifyOnce(long(3));
  assert.is.not(verifyOnce(program(78)).facts, second.facts);
  assert.is(verifyOnce(program(77)).facts, first.facts);
});
