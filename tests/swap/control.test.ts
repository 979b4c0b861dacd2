/** The control socket of an engine, and `etherloom swap` at its other end. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { words } from '../../host/cli/commands/swap.js';
import { ask } from '../../host/cli/control_client.js';
import type { UpgradeReport } from '../../host/engine/transports.js';
import type { EtherloomError } from '../../host/errors.js';
import { TCP_OBJECT } from '../../host/transports/tcp/control.js';
import { type Wired, wired } from '../stack/rig.js';
import { MAIN, ROOT } from '../support/attached.js';
import { assert, suite } from '../support/suite.js';

const test = suite('swap: the control socket');

interface Answer {
  id: unknown;
  result?: { transports?: { name: string; stack: string; generation: number }[]; generation?: number };
  error?: { code: string; message: string };
}

/** Says something to a socket; resolves with so many answers, or those that came before it was closed. */
function speak(path: string, text: string | Buffer, answers: number): Promise<Answer[]> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    let heard = '';
    const lines = (): string[] => heard.split('\n').slice(0, -1);
    const done = (): void => {
      socket.destroy();
      resolve(lines().map(l => JSON.parse(l)));
    };
    socket.on('connect', () => socket.write(text));
    socket.on('data', piece => {
      heard += piece;
      if (lines().length >= answers) done();
    });
    socket.on('close', done);
    socket.on('error', reject);
  });
}

async function controlled(work: (w: Wired, path: string, folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-control-'));
  const path = join(folder, 'engine.sock');
  try {
    await wired(
      async w => {
        await w.engine.openControl({ path });
        await work(w, path, folder);
      },
      { a: { name: 'a' }, b: { name: 'b' } },
    );
    assert.not(existsSync(path), 'it ended with the engine');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const codeOf = async (work: () => Promise<unknown>): Promise<string> => {
  try {
    await work();
    return 'none';
  } catch (error) {
    return (error as EtherloomError).code;
  }
};

test('it is its owner’s alone; lists transports, upgrades one, and answers in order', () =>
  controlled(async (_, path) => {
    assert.is(statSync(path).mode & 0o777, 0o600);
    const upgrade = JSON.stringify({
      id: 'u',
      method: 'upgrade',
      params: { transport: 'a/tcp', object: TCP_OBJECT },
    });
    const said = await speak(path, `{"id":1,"method":"list"}\n${upgrade}\n{"id":3,"method":"list"}\n`, 3);
    assert.equal(
      said.map(a => a.id),
      [1, 'u', 3],
    );
    assert.is(said[1].result!.generation, 2);
    const states = (a: Answer) => a.result!.transports!.map(t => `${t.stack}/${t.name} ${t.generation}`);
    assert.equal(states(said[0]), ['a/tcp 1', 'a/udp 1', 'b/tcp 1', 'b/udp 1']);
    assert.equal(states(said[2]), ['a/tcp 2', 'a/udp 1', 'b/tcp 1', 'b/udp 1']);
  }));

test('who asks before the socket is there waits for it', () =>
  controlled(async ({ engine }, _, folder) => {
    const path = join(folder, 'later.sock');
    const asked = ask(path, 'list');
    await new Promise(next => setTimeout(next, 100));
    await engine.openControl({ path });
    assert.is((await asked).transports.length, 4);
  }));

test(
  'what is at the path and no engine, or does not answer as one, is said',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-strange-'));
    const messageOf = async (path: string, ms?: number): Promise<string> => {
      const error = await ask(path, 'list', {}, ms).then(
        () => assert.unreachable(),
        (e: EtherloomError) => e,
      );
      return `${error!.code}: ${error!.message}`;
    };
    try {
      for (const [says, wanted, ms] of [
        ['HTTP/1.1 400 Bad\r\n\r\n', /^ERR_CONTROL_ANSWER: an answer that is no JSON/, undefined],
        ['null\n', /^ERR_CONTROL_ANSWER: an answer to about without pid/, undefined],
        ['{"id":0}\n', /^ERR_CONTROL_ANSWER: an answer to about without pid/, undefined],
        [
          '{"id":0,"result":{"pid":1}}\n{"id":1}\n',
          /^ERR_CONTROL_ANSWER: .* list without transports/,
          undefined,
        ],
        ['{', /^ERR_CONTROL_ANSWER: it was closed before/, undefined],
        [undefined, /^ERR_CONTROL_ANSWER: no answer in 0\.1 s/, 100],
      ] as const) {
        const path = join(folder, 'strange.sock');
        const server = createServer(socket => {
          socket.on('error', () => {}).resume();
          if (says !== undefined) socket.end(says);
        });
        await new Promise<void>(done => server.listen(path, done));
        assert.match(await messageOf(path, ms), wanted);
        await new Promise(done => server.close(done));
      }
      const file = join(folder, 'file');
      writeFileSync(file, 'x');
      assert.match(await messageOf(file), /^ERR_CONTROL_CONNECT: it is no socket/);
      assert.match(await messageOf(folder), /^ERR_CONTROL_CONNECT: it is no socket/);
      assert.match(
        await messageOf(join(folder, 'x'.repeat(200))),
        /^ERR_CONTROL_CONNECT: a path of \d+ bytes/,
      );
      assert.is(etherloom('swap', '--control', '', '--list').code, 2);
      assert.is(etherloom('swap', '--control', file, 'tcp', '').code, 2);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { timeoutMs: 180_000 },
);

test('a report of a roll-back says which programs are at work, and which errors were too many', () => {
  const report: UpgradeReport = {
    ...{ transport: 'near/tcp', object: '/o/bad.o', generation: 3, pausesNs: [], ranNs: [], stops: [] },
    ...{ newMaps: [], migrated: [], tookMs: 1 },
    probation: { ms: 400, counters: { InErrs: { risen: 12, expected: 0 } }, rolledBack: ['InErrs'] },
  };
  assert.is(
    words(report),
    'near/tcp: the programs of before were put back (generation 3), /o/bad.o is not in use\n' +
      'probation of 400 ms: errors\n  InErrs 12, 0 expected: too many',
  );
});

test('a copy of an object that was used before is called by its own name', () =>
  controlled(async ({ engine }, _, folder) => {
    const copy = join(folder, 'copy.o');
    writeFileSync(copy, readFileSync(TCP_OBJECT));
    const label = (): string =>
      engine.transports.list().find(t => t.stack === 'a' && t.name === 'tcp')!.object;
    assert.is((await engine.transports.upgrade('a/tcp', copy)).object, copy);
    assert.is(label(), copy);
    await engine.transports.upgrade('a/tcp', TCP_OBJECT);
    assert.is(label(), TCP_OBJECT);
  }));

const WRONG: readonly [line: string, code: string, id: unknown][] = [
  ['nonsense', 'ERR_CONTROL_JSON', null],
  ['[1]', 'ERR_CONTROL_REQUEST', null],
  ['{"id":1,"id":2,"method":"list"}', 'ERR_CONTROL_JSON', null],
  ['{"method":"list"}', 'ERR_CONTROL_REQUEST', null],
  ['{"id":{},"method":"list"}', 'ERR_CONTROL_REQUEST', null],
  ['{"id":4,"method":"stop"}', 'ERR_CONTROL_METHOD', 4],
  ['{"id":5,"method":"list","params":{"x":1}}', 'ERR_CONTROL_REQUEST', 5],
  ['{"id":6,"method":"upgrade","params":{"transport":"tcp"}}', 'ERR_CONTROL_REQUEST', 6],
  ['{"id":7,"method":"upgrade","params":{"transport":"tcp","object":"tcp.bpf.o"}}', 'ERR_CONTROL_REQUEST', 7],
  ['{"id":8,"method":"upgrade","params":{"transport":"tcp","object":"/o"}}', 'ERR_TRANSPORT_AMBIGUOUS', 8],
  ['{"id":9,"method":"upgrade","params":{"transport":"a/tcp","object":"/nowhere.o"}}', 'ERR_FILE_READ', 9],
];

test('what is wrong with a request is said, and the next is served', () =>
  controlled(async (_, path) => {
    const text = WRONG.map(([line]) => `${line}\n`).join('');
    const said = await speak(path, `${text}\n{"id":10,"method":"about"}\n`, WRONG.length + 1);
    assert.equal(
      said.map(a => [a.error?.code, a.id]),
      [...WRONG.map(([, code, id]) => [code, id]), [undefined, 10]],
    );
  }));

test('a line without end is refused and the connection closed; others go on', () =>
  controlled(async (_, path) => {
    const said = await speak(path, Buffer.alloc(200_000, 'x'), 9);
    assert.equal(
      said.map(a => a.error?.code),
      ['ERR_CONTROL_LINE'],
    );
    assert.is((await speak(path, '{"id":1,"method":"about"}\n', 1))[0].id, 1);
  }));

test('a socket that nobody listens at is taken over, one that is in use is not, nor a file', () =>
  controlled(async ({ engine }, path, folder) => {
    assert.is(await codeOf(() => engine.openControl({ path })), 'ERR_CONTROL_IN_USE');
    const stale = join(folder, 'stale.sock');
    const child = spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(stale)},()=>process.kill(process.pid,'SIGKILL'))`,
    ]);
    assert.is(child.signal, 'SIGKILL');
    assert.ok(existsSync(stale));
    const second = await engine.openControl({ path: stale });
    assert.is((await speak(stale, '{"id":1,"method":"about"}\n', 1))[0].id, 1);
    await second.close();
    assert.not(existsSync(stale));
    const file = join(folder, 'file');
    writeFileSync(file, 'mine');
    assert.is(await codeOf(() => engine.openControl({ path: file })), 'ERR_CONTROL_PATH');
    assert.is(
      await codeOf(() => engine.openControl({ path: join(folder, 'x'.repeat(200)) })),
      'ERR_CONTROL_PATH',
    );
    assert.is(await codeOf(() => engine.openControl({} as never)), 'ERR_CONTROL_PATH');
    const named = await engine.openControl({ directory: join(folder, 'run') });
    assert.is(named.path, join(folder, 'run', `etherloom-${process.pid}.sock`));
    assert.is(statSync(join(folder, 'run')).mode & 0o777, 0o700);
    // Whoever has taken its place meanwhile keeps it.
    rmSync(named.path);
    const other = createServer();
    await new Promise<void>(done => other.listen(named.path, done));
    await named.close();
    assert.ok(existsSync(named.path));
    await new Promise(done => other.close(done));
  }));

function etherloom(...args: string[]) {
  const r = spawnSync(process.execPath, [MAIN, ...args], { cwd: ROOT, encoding: 'utf8', timeout: 60_000 });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

test(
  'etherloom swap lists and upgrades the transports of an engine in another process, and says what is wrong',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-swap-'));
    const path = join(folder, 's');
    const line = `echo client --nic model -f 4 -w 0 --duration 300 --json --control ${path}`;
    const echo = spawn(process.execPath, [MAIN, ...line.split(' ')], {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let heard = '';
    echo.stdout.on('data', piece => {
      heard += piece;
    });
    const ended = new Promise(done => echo.once('close', done));
    try {
      const late = Date.now() + 60_000;
      while (!heard.includes('"interval"') && Date.now() < late)
        await new Promise(next => setTimeout(next, 50));
      const listed = etherloom('swap', '--control', path, '--list', '--json');
      assert.is(listed.code, 0, listed.err);
      const names = (JSON.parse(listed.out) as { stack: string; name: string }[]).map(
        t => `${t.stack}/${t.name}`,
      );
      assert.equal(names, ['near/tcp', 'near/udp', 'far/tcp', 'far/udp']);
      const swapped = etherloom('swap', '--control', path, 'near/tcp', TCP_OBJECT, '--probation', '300ms');
      assert.is(swapped.code, 0, swapped.err);
      assert.match(swapped.out, /near\/tcp: .*tcp\.bpf\.o, generation 2/);
      assert.match(swapped.out, /longest standstill of a lane: 0: [\d.]+ µs, 1: /);
      assert.match(swapped.out, /probation of \d+ ms: /);
      const twice = etherloom('swap', '--control', path, 'tcp', TCP_OBJECT);
      assert.is(twice.code, 1);
      assert.match(twice.err, /2 stacks have a transport "tcp"; expected one of near\/tcp, far\/tcp/);
      assert.is(etherloom('swap', '--control', path, 'near/tcp').code, 2);
      assert.is(etherloom('swap', '--control', path, 'tcp', 'x', '--probation', 'soon').code, 2);
    } finally {
      echo.kill('SIGINT');
      await ended;
    }
    const last = JSON.parse(heard.trim().split('\n').at(-1)!);
    assert.equal([last.event, last.errors], ['stopped', []]);
    assert.not(existsSync(path));
    const gone = etherloom('swap', '--control', path, '--list');
    assert.is(gone.code, 1);
    assert.match(gone.err, /there is no engine at .* \(yet\)/);
    rmSync(folder, { recursive: true, force: true });
  },
  { timeoutMs: 180_000 },
);
