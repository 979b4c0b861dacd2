import { readFileSync } from 'node:fs';
import {
  type HelperWasm,
  helperById,
  helperExports,
  helperId,
  helperListMarkdown,
  helperName,
  helpers,
  kernelHelperNames,
} from '../../../host/bpf/helpers.js';
import { assert, suite } from '../../support/suite.js';
import { exportedSignatures } from '../../support/wasm_exports.js';

const test = suite('helpers: the table');

/** Wasm type that the letters of an entry stand for. */
const signature = (w: HelperWasm): string =>
  `${[...w.args].map(l => (l === 'd' ? 'I' : 'i')).join('')}→${{ p: 'i', w: 'i', i: 'i', d: 'I', v: '' }[w.result]}`;

test('every entry has its exports in the core, with the signature that it states', () => {
  const exports = exportedSignatures(readFileSync(new URL('../../../build/etherloom.wasm', import.meta.url)));
  const wrong: string[] = [];
  for (const h of helpers)
    for (const name of helperExports(h)) {
      const is = exports.get(name);
      if (is !== signature(h.wasm))
        wrong.push(`${h.name}: ${name} is ${is ?? 'missing'}, not ${signature(h.wasm)}`);
    }
  assert.equal(wrong, []);
});

test('numbers and names are the kernel’s, and each stands once', () => {
  assert.is(helperById.size, helpers.length);
  for (const h of helpers) assert.is(kernelHelperNames[h.id], h.name);
  assert.is(kernelHelperNames.length, 212);
});

test('an entry passes Wasm exactly the arguments of its prototype', () => {
  for (const h of helpers) assert.is(h.wasm.args.length, h.args.length, h.name);
});

test('a size argument follows every piece of sized memory', () => {
  for (const h of helpers)
    h.args.forEach((arg, i) => {
      if (/^(uninit_)?mem(_write)?(_or_null)?$/.test(arg.type))
        assert.ok(h.args[i + 1]?.type.startsWith('const_size'), `${h.name} argument ${i + 1}`);
    });
});

test('helpers that the engine does not provide have names too', () => {
  assert.is(helperName(84), 'sk_lookup_tcp');
  assert.is(helperName(9999), 'helper#9999');
  assert.is(helperName(0), 'helper#0');
  assert.is(helperId('bpf_map_lookup_elem'), 1);
  assert.is(helperId('no_such_helper'), undefined);
});

test('the README list has a row for each helper', () => {
  const list = helperListMarkdown();
  assert.is(list.split('\n').filter(l => l.startsWith('| `')).length, helpers.length);
});
