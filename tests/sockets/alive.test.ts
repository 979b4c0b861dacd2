/** What keeps a process alive, by processes that end or do not. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { assert, suite } from '../support/suite.js';

const test = suite('sockets: alive');
const CHILD = fileURLToPath(new URL('alive_child.ts', import.meta.url));
/** How long a process that is kept alive is watched after it has nothing more to do, ms. */
const WATCH_MS = 400;

/** Whether a process with that in it ends by itself, and its exit code. */
function ends(what: string): Promise<number | 'goes on'> {
  return new Promise((done, fail) => {
    const child = fork(CHILD, [what], { execArgv: ['--import', 'tsx'] });
    let ready = false;
    let timer: NodeJS.Timeout | undefined;
    child.once('message', () => {
      ready = true;
      // One that ends takes some time to.
      timer = setTimeout(() => child.kill('SIGKILL'), expected(what) === 0 ? 10_000 : WATCH_MS);
    });
    child.once('exit', code => {
      clearTimeout(timer);
      if (ready) done(code ?? 'goes on');
      else fail(new Error(`${what}: ended with ${code} before it was ready`));
    });
  });
}

const CASES: [what: string, result: number | 'goes on'][] = [
  ['server', 'goes on'],
  ['server unref', 0],
  ['server closed', 0],
  ['socket', 'goes on'],
  ['socket ref', 'goes on'],
  ['socket unref', 0],
  ['socket timeout', 0],
];
const expected = (what: string): number | 'goes on' => CASES.find(([name]) => name === what)![1];

test(
  'a server that listens and a socket that is connected do; unref, close and a timeout do not',
  async () => {
    const told: typeof CASES = [];
    // Two at a time: each compiles the source first.
    const left = [...CASES];
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next; next = left.shift()) told.push([next[0], await ends(next[0])]);
    };
    await Promise.all([work(), work()]);
    assert.equal(told.sort(), [...CASES].sort());
  },
  { timeoutMs: 60_000 },
);
