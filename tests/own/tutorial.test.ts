/**
 * docs/own_transport.md does what it says: its C is the program of bpf-progs/transports/window, short as promised; its
 * commands compile it, and its JavaScript prints what it shows, in a folder that has the package and nothing else.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findClang } from '../../bpf-progs/build.mjs';
import { assert, suite } from '../support/suite.js';

const test = suite('own: tutorial');

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const DOCUMENT = readFileSync(join(ROOT, 'docs/own_transport.md'), 'utf8');
const SOURCE = readFileSync(join(ROOT, 'bpf-progs/transports/window/window.bpf.c'), 'utf8');
/** What README and tutorial promise. */
const MOST_LINES = 200;

/** Bodies of the document's blocks in a language, in order. */
const blocks = (language: string): string[] =>
  [...DOCUMENT.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(m => m[1]);

const C = blocks('c').join('\n');
const missing = findClang() ? undefined : 'clang with the BPF target';

test('its blocks of C are the program, line by line, in less than 200 lines', () => {
  assert.is(C, SOURCE);
  const lines = C.trimEnd().split('\n').length;
  assert.ok(lines < MOST_LINES, `${lines} lines`);
  assert.ok(C.split('\n').every(line => line.length <= 132));
});

test(
  'its commands and its script, in an empty folder, print what it shows',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'own-transport-'));
    try {
      mkdirSync(join(folder, 'node_modules'));
      symlinkSync(ROOT, join(folder, 'node_modules/etherloom'));
      writeFileSync(join(folder, 'window.bpf.c'), C);
      writeFileSync(join(folder, 'window.mjs'), blocks('js').join('\n'));
      let printed = '';
      let ran = 0;
      for (const line of blocks('sh').flatMap(block => block.trimEnd().split('\n'))) {
        // The package is there.
        if (line.startsWith('npm ')) continue;
        const command = line.replace(/^npx etherloom /, `node ${join(ROOT, 'dist/cli/main.js')} `);
        assert.match(command, /^(\$\{CC:-clang-19\}|sed|node) /);
        printed = execFileSync('/bin/sh', ['-ec', command], {
          ...{
            cwd: folder,
            env: { ...process.env, CC: findClang()!.name },
            encoding: 'utf8',
            timeout: 120_000,
          },
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        ran++;
      }
      assert.is(ran, 7);
      assert.is(printed, blocks('text')[0]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { missing, timeoutMs: 240_000 },
);
