/** The addon: built by one compiler call, absent without harm. */
import { spawnSync } from 'node:child_process';
import { readFileSync, unlinkSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
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

const missing = loaded.ok ? undefined : loaded.reason;
const addon = () => (loaded as Extract<typeof loaded, { ok: true }>).native;
/** struct pollfd for one descriptor, readable wanted. */
const pollfd = (fd: number) => {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, 1, true);
  return { bytes, revents: () => view.getInt16(6, true) };
};

test(
  'poll ends at once when an eventfd was raised, and after its time when none was',
  () => {
    const fd = addon().eventfd();
    assert.ok(fd > 0);
    const { bytes, revents } = pollfd(fd);
    const from = performance.now();
    assert.is(addon().poll(bytes, 5), 0);
    assert.ok(performance.now() - from >= 4.9, 'it waited');
    assert.is(addon().write(fd, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0)), 8);
    assert.is(addon().poll(bytes, 5000), 1);
    assert.is(revents() & 1, 1);
    const count = new Uint8Array(8);
    assert.is(addon().read(fd, count), 8);
    assert.is(count[0], 1);
    assert.is(addon().read(fd, count), -11, 'EAGAIN');
    addon().close(fd);
  },
  { missing },
);

test(
  'a file mapped over shared WebAssembly memory is seen by Atomics, and gone after unmapFixed',
  () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const u8 = new Uint8Array(memory.buffer);
    u8[4096] = 7;
    const path = `/dev/shm/etherloom-native-${process.pid}`;
    writeFileSync(path, new Uint8Array(8192).fill(3));
    try {
      const fd = addon().open(new TextEncoder().encode(`${path}\0`), 2);
      assert.ok(fd > 0);
      assert.is(addon().mapFixed(fd, 4096, u8.subarray(4096, 8192)), 0);
      assert.is(u8[4096], 3);
      assert.is(u8[8192], 0, 'the page after it is untouched');
      Atomics.store(u8, 4097, 9);
      assert.is(readFileSync(path)[4097], 9);
      assert.is(addon().unmapFixed(u8.subarray(4096, 8192)), 0);
      assert.is(u8[4097], 0);
      assert.is(addon().close(fd), 0);
    } finally {
      unlinkSync(path);
    }
    assert.throws(() => addon().mapFixed(1, 0, u8.subarray(1, 4097)), /page/);
    assert.throws(() => addon().unmapFixed(u8.subarray(0, 100)), /page/);
  },
  { missing },
);

test(
  'a file that refuses to be mapped leaves memory behind, not a hole',
  () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const u8 = new Uint8Array(memory.buffer);
    // An AF_XDP socket without rings where there is AF_XDP, else a UDP socket: neither can be mapped.
    const fd = Math.max(addon().socket(44, 3, 0), addon().socket(2, 2, 0));
    assert.ok(fd > 0);
    assert.ok(addon().mapFixed(fd, 0x80000000, u8.subarray(4096, 8192)) < 0);
    // In a hole this ends the process.
    u8[4096] = 5;
    assert.is(u8[4096], 5);
    addon().close(fd);
  },
  { missing },
);

test(
  'read and write keep inside the bytes they were given',
  () => {
    const fd = addon().open(new TextEncoder().encode('/dev/zero\0'), 0);
    const bytes = new Uint8Array(8).fill(1);
    assert.is(addon().read(fd, bytes, 2, 3), 3);
    assert.equal([...bytes], [1, 1, 0, 0, 0, 1, 1, 1]);
    assert.throws(() => addon().read(fd, bytes, 9), /inside/);
    assert.throws(() => addon().read(fd, bytes, 4, 5), /inside/);
    assert.throws(() => addon().open(new TextEncoder().encode('/dev/zero'), 0), /ends with 0/);
    addon().close(fd);
  },
  { missing },
);

test(
  'it loads in worker threads, too',
  async () => {
    const worker = new Worker(
      `const { parentPort, workerData } = require('node:worker_threads');
       parentPort.postMessage(require(workerData).close(-1));`,
      { eval: true, workerData: fileURLToPath(new URL('../../build/etherloom.node', import.meta.url)) },
    );
    const answer = await new Promise((done, failed) => worker.once('message', done).once('error', failed));
    assert.is(answer, -9);
    await worker.terminate();
  },
  { missing },
);
