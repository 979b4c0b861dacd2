/** The addon: built by one compiler call, absent without harm. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { native } from '../../host/native/load.js';
import { assert, suite } from '../support/suite.js';

const test = suite('native: the addon');
const build = fileURLToPath(new URL('../../host/native/build.mjs', import.meta.url));

test('without a compiler the build says so in one line and does not fail an install', () => {
  const { status, stdout } = spawnSync(process.execPath, [build, '--quiet'], {
    env: { ...process.env, CC: '/nonexistent' },
    encoding: 'utf8',
  });
  assert.is(status, 0);
  assert.match(stdout, /^native addon not built.*ENOENT\n$/);
});

test('asked for by hand, a failing build fails', () => {
  const { status } = spawnSync(process.execPath, [build], { env: { ...process.env, CC: '/nonexistent' } });
  assert.is(status, 1);
});

test('loading gives the addon or a reason in words', () => {
  const loaded = native();
  if (loaded.ok) assert.type(loaded.native.bpf, 'function');
  else assert.match(loaded.reason, /addon/);
});

const loaded = native();
test(
  'wrong arguments are errors, not crashes',
  () => {
    if (!loaded.ok) return;
    const call = loaded.native.bpf as (...args: unknown[]) => number;
    assert.throws(() => call());
    assert.throws(() => call(0, 'no', []));
    assert.throws(() => call(0, new Uint8Array(300), []), /too long/);
    assert.throws(() => call(0, new Uint8Array(8), [4, new Uint8Array(1)]), /offset inside/);
    assert.throws(() => call(0, new Uint8Array(2), [0, new Uint8Array(1)]), /offset inside/);
    assert.throws(() => call(0, new Uint8Array(8), [0]), /too long|pointer/);
  },
  { missing: loaded.ok ? undefined : loaded.reason },
);

test(
  'a failing call answers -errno',
  () => {
    if (loaded.ok) assert.is(loaded.native.close(-1), -9);
  },
  { missing: loaded.ok ? undefined : loaded.reason },
);
