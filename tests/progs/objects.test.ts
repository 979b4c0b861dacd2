/** The committed objects are what the sources give, and say nothing about the machine that made them. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { compile, findClang, findStrip, folderOf, programs } from '../../bpf-progs/build.mjs';
import { configuration, maglev, print } from '../../bpf-progs/filters/l4lb/config.mjs';
import { helpersHeader } from '../../host/bpf/helpers/c_header.js';
import { FILTERS, loadObject, OBJECTS } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bpf-progs: objects');
const PROGRAMS = join(FILTERS, '..');

test('each program has its source, README and object, and no object is left over', () => {
  for (const name of programs()) {
    for (const file of [`${name}.bpf.c`, 'README.md'])
      assert.ok(existsSync(join(PROGRAMS, folderOf(name), file)), `${folderOf(name)}/${file}`);
    const object = loadObject(name);
    assert.ok(Object.keys(object.programs).length > 0, name);
    assert.ok(object.btf, `${name} has its BTF`);
  }
  assert.equal(
    readdirSync(OBJECTS)
      .filter(f => f.endsWith('.o'))
      .sort(),
    programs().map(n => `${n}.bpf.o`),
  );
});

test('no object names a path of the machine that compiled it', () => {
  for (const name of programs()) {
    const text = readFileSync(`${OBJECTS}${name}.bpf.o`, 'latin1');
    const paths = text.match(/\/[\w.-]+\/[\w./-]+\.[ch]\b/g) ?? [];
    for (const path of paths) assert.match(path, /^\/(filters|transports|congestion|nic|include)\//);
  }
});

const clang = findClang();
const missing =
  !clang || !findStrip()
    ? 'no clang'
    : clang.major !== 19
      ? `clang ${clang.major}, objects are made by 19`
      : undefined;

test(
  'compiling again gives the committed bytes',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-'));
    try {
      for (const name of programs())
        assert.ok(
          readFileSync(compile(name, folder)).equals(readFileSync(`${OBJECTS}${name}.bpf.o`)),
          `obj/${name}.bpf.o differs from its source: npm run build:bpf`,
        );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { missing, timeoutMs: 60_000 },
);

test('helpers.gen.h is what the helper table gives', () => {
  const file = fileURLToPath(new URL('../../bpf-progs/include/helpers.gen.h', import.meta.url));
  assert.is(readFileSync(file, 'utf8'), helpersHeader(), 'npm run build:bpf');
});

test("the balancer's config.json is what config.mjs writes", () => {
  assert.is(readFileSync(`${FILTERS}l4lb/config.json`, 'utf8'), print(configuration()));
});

test('a Maglev ring is fair, and losing a backend moves little else', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const ring = maglev(names);
  for (const n of names) {
    const share = ring.filter(x => x === n).length;
    assert.ok(share === 50 || share === 51, `${n} has ${share} of 251`);
  }
  const less = maglev(names.filter(n => n !== 'c'));
  const moved = ring.filter((n, i) => n !== 'c' && less[i] !== n).length;
  assert.ok(moved < 60, `${moved} of 200 entries moved though their backend stayed`);
  assert.not.ok(less.includes('c'));
});
