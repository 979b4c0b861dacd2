import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildFixture, CLANG, FIXTURES, fixtures } from '../fixtures/elf/build.js';
import { assert, suite } from '../support/suite.js';

const test = suite('elf/fixtures');
const missing = spawnSync(CLANG, ['--version']).status === 0 ? undefined : `${CLANG} is not installed`;

test(
  'the committed objects are what clang-19 makes of the committed sources',
  () => {
    const dir = mkdtempSync(join(tmpdir(), 'etherloom-elf-'));
    try {
      for (const fixture of fixtures()) {
        buildFixture(fixture, dir);
        const built = readFileSync(join(dir, fixture.object));
        const committed = readFileSync(join(FIXTURES, fixture.object));
        assert.ok(built.equals(committed), `${fixture.object} differs: tsx tests/fixtures/elf/build.ts`);
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  },
  { missing, timeoutMs: 60_000 },
);

test('no object names a directory of the machine that built it', () => {
  for (const { object } of fixtures()) {
    const text = readFileSync(join(FIXTURES, object)).toString('latin1');
    const path = /\/(home|root|work|tmp|usr|build|Users)\/[\w./-]*/.exec(text);
    assert.is(path, null, `${object}: ${path?.[0]}`);
  }
});
