/** The generated code of small programs, as text. `GOLDEN=update npm run test:only tests/jit` rewrites it. */
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { compileGuarded, compileProgram } from '../../host/bpf/jit/compile.js';
import type { MapBinding } from '../../host/bpf/jit/compiled.js';
import { noFacts } from '../../host/bpf/jit/program.js';
import { formatWat } from '../../host/bpf/jit/wat.js';
import type { ProgramSpec } from '../../host/bpf/spec.js';
import type { FactKind, JitFacts } from '../../host/bpf/verify/verified.js';
import { claimVerified } from '../support/engines.js';
import { Golden } from '../support/golden.js';
import { assert, suite } from '../support/suite.js';

const test = suite('jit: goldens');

/** `facts PC REG KIND` lines, taken out of the text. */
function readFacts(text: string): { code: string; facts: JitFacts } {
  const kinds = new Map<string, FactKind>();
  const code = text.replace(/^facts (\d+) r(\d+) (\w+)\n/gm, (_all, pc, reg, kind) => {
    kinds.set(`${pc}/${reg}`, kind as FactKind);
    return '';
  });
  return {
    code,
    facts: {
      ...noFacts,
      fact: (pc, reg) => {
        const kind = kinds.get(`${pc}/${reg}`);
        return kind && { kind };
      },
    },
  };
}

function place(spec: ProgramSpec): MapBinding {
  return Object.fromEntries(
    Object.entries(spec.maps).map(([key, m]) => [
      key,
      {
        spec: m,
        addr: 65536,
        ...(m.type === 'hash' ? {} : { dataAt: 131072, stride: 8, laneStride: 64 }),
      },
    ]),
  );
}

/** The functions of a module, without imports, types and exports. */
const functions = (wat: string): string =>
  wat
    .split('\n')
    .filter(line => !/^\s*\((module|type|import|export|global|memory|table)/.test(line))
    .join('\n')
    .replace(/\)\s*$/, '\n')
    .replace(/^ {2}/gm, '');

for (const mode of ['verified', 'guarded'] as const) {
  const golden = new Golden(new URL(`../golden/jit/${mode}.md`, import.meta.url));
  for (const c of golden.cases)
    test(`${mode}: ${c.claim}`, async () => {
      const { code, facts } = readFacts(c.input);
      const spec = assembleSpec(code, { name: 'main' });
      const compiled =
        mode === 'verified' ? compileProgram(claimVerified(spec, facts), place(spec)) : compileGuarded(spec);
      golden.check(c, functions(await formatWat(compiled)));
    });
}

test('the text of a module has the names of functions and registers', async () => {
  const spec = assembleSpec('r0 = *(u32 *)(r1 + 0)\nexit', { name: 'first_word' });
  const wat = await formatWat(compileProgram(claimVerified(spec), {}));
  assert.match(wat, 'func $first_word');
  assert.match(wat, 'local.get $w1');
});
