/** Threads of lanes start from what was built, if that is what the source says now. */
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isBuilt, laneFile } from '../../host/engine/lane_file.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: what lanes start from');

test('a build counts when every file of it is newer than its source, or holds the same source', () => {
  const root = mkdtempSync(join(tmpdir(), 'etherloom-built-'));
  try {
    const [source, built] = [join(root, 'host'), join(root, 'dist')];
    const write = (file: string, text: string, at: number): void => {
      mkdirSync(join(root, file, '..'), { recursive: true });
      writeFileSync(join(root, file), text);
      utimesSync(join(root, file), at, at);
    };
    const map = (of: string): string => JSON.stringify({ version: 3, sourcesContent: [of] });
    assert.not(isBuilt(source, built), 'nothing there');
    write('host/a.ts', 'a', 100);
    write('host/part/b.ts', 'b', 100);
    write('host/README.md', 'no source', 900);
    write('dist/a.js', 'a', 200);
    assert.not(isBuilt(source, built), 'b is missing');
    write('dist/part/b.js', 'b', 200);
    assert.ok(isBuilt(source, built));
    write('host/part/b.ts', 'b', 300);
    assert.not(isBuilt(source, built), 'touched, and no map that says it is the same');
    write('dist/part/b.js.map', map('b'), 200);
    assert.ok(isBuilt(source, built), 'touched only');
    write('host/part/b.ts', 'changed', 300);
    assert.not(isBuilt(source, built), 'changed');
    write('dist/part/b.js', 'changed', 400);
    assert.ok(isBuilt(source, built));
  } finally {
    rmSync(root, { recursive: true });
  }
});

test('this process has one of the two', () => {
  assert.match(laneFile(), /\/host\/engine\/lane_worker\.ts$|\/dist\/engine\/lane_worker\.js$/);
});
