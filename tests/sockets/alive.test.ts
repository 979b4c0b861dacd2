/** What keeps a process alive, told by a process that has it: with Node's sockets, and with those of engines, inline and with lanes. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { assert, suite } from '../support/suite.js';

const test = suite('sockets: alive');
const CHILD = fileURLToPath(new URL('alive_child.mjs', import.meta.url));
const run = promisify(execFile);

const EXPECTED = {
  'a server that listens': 'goes on',
  'a server, unref': 'ends',
  'a server, unref and ref': 'goes on',
  'a server that was closed': 'ends',
  'a connected socket': 'goes on',
  'a connected socket, unref': 'ends',
  'a connected socket, unref and ref': 'goes on',
  'a socket, unref while it connects': 'ends',
  'a socket with a timeout, unref': 'ends',
  'a socket that is read, unref': 'ends',
  'a socket that was destroyed': 'ends',
  'a socket whose peer ended': 'ends',
  'a bound dgram': 'goes on',
  'a bound dgram, unref': 'ends',
  'a bound dgram, unref and ref': 'goes on',
  'a dgram, unref before it is bound': 'ends',
  'a dgram that was closed': 'ends',
};

/** What Node has none of. */
const OF_LANES = {
  'an engine with a stack': 'ends',
  'an engine with a stack, ref': 'goes on',
  'a burst application that waits': 'goes on',
  'a burst application that does not wait': 'ends',
  'an in-lane application': 'goes on',
  'an in-lane application, unref': 'ends',
  'a lane that is being replaced': 'ends',
};

for (const place of ['node', 'inline', 'lanes'] as const)
  test(
    `sockets and servers keep a process alive, unless they are unref'd or over; it ends with such alone (${place})`,
    async () => {
      // One that does not end is ended, which rejects.
      const { stdout } = await run(process.execPath, [CHILD, place], { timeout: 60_000 });
      assert.equal(JSON.parse(stdout), place === 'lanes' ? { ...EXPECTED, ...OF_LANES } : EXPECTED);
    },
    { timeoutMs: 70_000 },
  );

const ENGINE = fileURLToPath(new URL('alive_engine.mjs', import.meta.url));

test('an engine with lanes and without a stack keeps its process alive: it forwards', async () => {
  const { stdout } = await run(process.execPath, [ENGINE, 'runs'], { timeout: 20_000 });
  assert.is(stdout, 'ran stopped');
});

test("one that is unref'd lets it end, and its lanes stop with it", async () => {
  const from = performance.now();
  const { stdout } = await run(process.execPath, [ENGINE, 'unref'], { timeout: 20_000 });
  assert.is(stdout, ' stopped');
  assert.ok(performance.now() - from < 15_000);
});

test('process.exit ends a process whose lanes run, with its code', async () => {
  const error = await run(process.execPath, [ENGINE, 'exit'], { timeout: 20_000 }).then(
    () => undefined,
    (e: { code: number; stdout: string }) => e,
  );
  assert.is(error?.code, 7);
  assert.is(error?.stdout, ' stopped');
});
