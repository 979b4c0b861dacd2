/** The arrow of CONTRIBUTING.md: what runs in one layer uses those below it. A type may be named against it. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { assert, suite } from '../support/suite.js';

const test = suite('api: layers');
const HOST = fileURLToPath(new URL('../../host', import.meta.url));

/** From the bottom up; those of one line know nothing of each other. */
const LAYERS: readonly (readonly string[])[] = [
  ['errors.ts'],
  ['json_syntax.ts', 'files.ts'],
  ['json.ts'],
  ['layout'],
  ['native'],
  ['mem', 'wire'],
  ['bpf'],
  ['nic', 'responder', 'streams'],
  ['transports'],
  ['engine'],
  ['forward', 'net'],
  ['apps'],
  ['internals.ts', 'index.ts'],
  ['cli'],
];
const levelOf = (layer: string): number => LAYERS.findIndex(names => names.includes(layer));

const IMPORT = /^(?:import|export)\s+(type\s)?([^;'"]*?)\s*from\s+'(\.[^']+)'/gms;
/** `{ type A, type B }` goes away when it is compiled, as `import type` does. */
const onlyTypes = (names: string): boolean =>
  /^\{[^}]*\}$/.test(names) &&
  names
    .slice(1, -1)
    .split(',')
    .every(name => name.trim() === '' || name.trim().startsWith('type '));

test('every module of host/ imports from its own layer and from those below', () => {
  const wrong: string[] = [];
  let seen = 0;
  for (const entry of readdirSync(HOST, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
    const file = join(entry.parentPath, entry.name);
    const [own] = relative(HOST, file).split('/');
    assert.ok(levelOf(own) >= 0, `${own} has no layer: give it one here`);
    for (const [, typeOnly, names, from] of readFileSync(file, 'utf8').matchAll(IMPORT)) {
      if (typeOnly || onlyTypes(names.trim())) continue;
      const [other] = relative(HOST, join(dirname(file), from.replace(/\.js$/, '.ts'))).split('/');
      seen++;
      if (other === own || other === '..' || levelOf(other) < levelOf(own)) continue;
      wrong.push(`${relative(HOST, file)} imports ${other}`);
    }
  }
  assert.equal(wrong, []);
  assert.ok(seen > 500, `${seen} imports seen`);
});
