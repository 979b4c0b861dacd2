/** What keeps a process alive, told by a process that has it: with Node's sockets, and with those of an inline engine. */
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

for (const place of ['node', 'engine'] as const)
  test(
    `sockets and servers keep a process alive, unless they are unref'd or over; it ends with such alone (${place})`,
    async () => {
      // One that does not end is ended, which rejects.
      const { stdout } = await run(process.execPath, [CHILD, place], { timeout: 60_000 });
      assert.equal(JSON.parse(stdout), EXPECTED);
    },
    { timeoutMs: 70_000 },
  );
