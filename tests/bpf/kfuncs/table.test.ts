/** The engine's own table: what it says is so in the core, in the header, in the README. */
import { readFileSync } from 'node:fs';
import { helperExports, helperListMarkdown, helpers } from '../../../host/bpf/helpers.js';
import { kfuncsHeader } from '../../../host/bpf/kfuncs/c_header.js';
import { kfuncListMarkdown, kfuncs } from '../../../host/bpf/kfuncs.js';
import { assert, suite } from '../../support/suite.js';
import { exportedSignatures } from '../../support/wasm_exports.js';

const test = suite('kfuncs: the table');

test('every row has its export in the core, with the signature that its prototype gives', () => {
  const exports = exportedSignatures(readFileSync(new URL('../../../build/etherloom.wasm', import.meta.url)));
  const wrong = kfuncs.flatMap(({ name, wasm }) => {
    const args = [...wasm.args].map(l => (l === 'd' ? 'I' : 'i')).join('');
    const expected = `${args}→${{ p: 'i', w: 'i', i: 'i', d: 'I', v: '' }[wasm.result]}`;
    const is = exports.get(wasm.name);
    return is === expected ? [] : [`${name}: ${wasm.name} is ${is ?? 'missing'}, not ${expected}`];
  });
  assert.equal(wrong, []);
});

test('an export belongs to one row, and to no helper', () => {
  const names = [...helpers.flatMap(helperExports), ...kfuncs.map(k => k.wasm.name)];
  const twice = kfuncs.filter(k => names.indexOf(k.wasm.name) !== names.lastIndexOf(k.wasm.name));
  assert.equal(
    twice.map(k => k.name),
    [],
  );
});

test('the committed C header is what the table gives', () => {
  const committed = readFileSync(new URL('../../../bpf-progs/include/kfuncs.gen.h', import.meta.url), 'utf8');
  assert.is(committed, kfuncsHeader(), 'npm run build:bpf');
});

test('the README list has a row for each kfunc, apart from the helpers', () => {
  const rows = (text: string): number => text.split('\n').filter(l => l.startsWith('| `')).length;
  assert.is(rows(kfuncListMarkdown()), kfuncs.length);
  assert.is(rows(helperListMarkdown()), helpers.length);
});
