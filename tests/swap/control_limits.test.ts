/** The control socket among strangers: who never reads, who never ends a line, who comes when all places are taken. */
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection, createServer, Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type Controlled, type ControlPlace, ControlSocket } from '../../host/engine/control_socket.js';
import { EtherloomError } from '../../host/errors.js';
import { assert, suite } from '../support/suite.js';

const test = suite('swap: limits of the control socket');
/** Requests and answers of a sound size. */
const LIST = '{"id":1,"method":"list"}\n';
const ABOUT = '{"id":2,"method":"about"}\n';

interface Served {
  folder: string;
  path: string;
  /** Lists that were asked for. */
  listed(): number;
}

function engineOf(listed: () => void = () => {}): Controlled {
  const list = () => {
    listed();
    return [{ name: 'tcp', pad: 'x'.repeat(1000) }];
  };
  return { transports: { list } as never, state: 'running', laneCount: 1, lostLanes: [] };
}

async function folderOf(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-control-'));
  try {
    await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const served = (patienceMs: number | undefined, work: (s: Served) => Promise<void>): Promise<void> =>
  folderOf(async folder => {
    let n = 0;
    const path = join(folder, 's');
    const socket = await ControlSocket.open(
      engineOf(() => n++),
      { path },
      patienceMs,
    );
    try {
      await work({ folder, path, listed: () => n });
    } finally {
      await socket.close();
    }
  });

/** Says something; `heard` resolves with all that came until the other end was closed. */
function call(path: string, text: string): { socket: Socket; heard: Promise<string> } {
  const socket = createConnection(path);
  socket.on('error', () => {});
  const heard = new Promise<string>(done => {
    let all = '';
    socket.on('data', piece => {
      all += piece;
    });
    socket.on('close', () => done(all));
  });
  socket.write(text);
  return { socket, heard };
}

/** Waits until a number has not risen for so many turns of the thread. */
async function settled(count: () => number): Promise<number> {
  for (let last = count(), same = 0; same < 10; ) {
    await new Promise(done => setTimeout(done, 50));
    same = count() === last && last > 0 ? same + 1 : 0;
    last = count();
  }
  return count();
}

/** Asks until there is a place: it is free when the engine, too, has seen that another has gone. */
async function asked(path: string): Promise<(string | undefined)[]> {
  for (;;) {
    const { socket, heard } = call(path, '');
    socket.end(ABOUT);
    const said = codes(await heard);
    if (said[0] !== 'ERR_CONTROL_BUSY') return said;
  }
}

const codes = (text: string): (string | undefined)[] =>
  text
    .split('\n')
    .slice(0, -1)
    .map(line => JSON.parse(line).error?.code);

test('whoever never reads is not served further, and what he asked for is not done', () =>
  served(undefined, async ({ path, listed }) => {
    const client = createConnection(path);
    client.on('error', () => {});
    client.pause();
    const asked = 40_000;
    client.write(LIST.repeat(asked));
    const n = await settled(listed);
    assert.ok(n < 5000, `${n} of ${asked}: each answer is of 1 kB`);
    client.destroy();
  }));

test('whoever reads nothing for long is cut off', () =>
  served(200, async ({ path }) => {
    const client = createConnection(path);
    client.on('error', () => {});
    client.pause();
    client.write(LIST.repeat(5000));
    const closed = new Promise(done => client.once('close', done));
    // What it writes then fails: it is not told by reading.
    const writing = setInterval(() => client.write(LIST), 20);
    await closed;
    clearInterval(writing);
  }));

test('many requests at once are answered in order, and others have their turn meanwhile', () =>
  served(undefined, async ({ path, listed }) => {
    const many = 20_000;
    const first = call(path, '');
    await new Promise(done => first.socket.once('connect', done));
    first.socket.end(LIST.repeat(many));
    let before = -1;
    const second = call(path, '');
    second.socket.once('data', () => {
      before = listed();
      second.socket.destroy();
    });
    await new Promise(done => second.socket.once('connect', done));
    second.socket.write(ABOUT);
    await second.heard;
    assert.ok(before >= 0 && before < many, `after ${before}`);
    assert.is(codes(await first.heard).length, many);
  }));

test('a request is answered though nothing follows, and its sender has ended', () =>
  served(undefined, async ({ path }) => {
    const { socket, heard } = call(path, LIST);
    socket.end(ABOUT);
    assert.equal(codes(await heard), [undefined, undefined]);
  }));

test('half a line does not keep a place: its sender is told and cut off', () =>
  served(100, async ({ path }) => {
    const idle = Array.from({ length: 16 }, () => call(path, '{'));
    for (const { heard } of idle) assert.equal(codes(await heard), ['ERR_CONTROL_IDLE']);
    assert.equal(await asked(path), [undefined]);
  }));

test('who comes when all places are taken is told so; when one is free again the next is served', () =>
  served(undefined, async ({ path }) => {
    const idle = Array.from({ length: 16 }, () => call(path, `${ABOUT}{`));
    for (const { socket } of idle) await new Promise(done => socket.once('data', done));
    assert.equal(codes(await call(path, ABOUT).heard), ['ERR_CONTROL_BUSY']);
    for (const { socket } of idle) socket.destroy();
    for (const { heard } of idle) await heard;
    assert.equal(await asked(path), [undefined]);
  }));

/** A socket that nobody listens at. */
async function stale(path: string): Promise<void> {
  const server = createServer();
  await new Promise<void>(done => server.listen(`${path}.other`, done));
  linkSync(`${path}.other`, path);
  await new Promise(done => server.close(done));
}

for (const there of ['nothing', 'a stale socket'] as const)
  test(`of several that open one path, ${there} being there, one gets it`, () =>
    folderOf(async folder => {
      const path = join(folder, 's');
      for (let round = 0; round < 20; round++) {
        if (there !== 'nothing') await stale(path);
        const all = await Promise.allSettled(
          Array.from({ length: 4 }, () => ControlSocket.open(engineOf(), { path })),
        );
        const got = all.flatMap(r => (r.status === 'fulfilled' ? [r.value] : []));
        const why = all.flatMap(r => (r.status === 'rejected' ? [r.reason] : []));
        assert.is(got.length, 1);
        for (const error of why) {
          assert.ok(error instanceof EtherloomError, String(error));
          assert.is((error as EtherloomError).code, 'ERR_CONTROL_IN_USE');
        }
        const { socket, heard } = call(path, '');
        socket.end(ABOUT);
        assert.equal(codes(await heard), [undefined]);
        assert.equal(readdirSync(folder), ['s']);
        await got[0].close();
        assert.not(existsSync(path));
      }
    }));

const refusal = (place: ControlPlace): Promise<string> =>
  ControlSocket.open(engineOf(), place).then(
    async socket => {
      await socket.close();
      return 'opened';
    },
    error => `${(error as EtherloomError).code}: ${(error as EtherloomError).message}`,
  );

test('a folder that others may write to is refused: they could put another socket in its place', () =>
  folderOf(async folder => {
    const directory = join(folder, 'd');
    const path = join(directory, 's');
    mkdirSync(directory);
    for (const [mode, owner, ofPath, ofDirectory] of [
      [0o700, undefined, /^opened$/, /^opened$/],
      [0o755, undefined, /^opened$/, /^opened$/],
      [0o777, undefined, /others may write .*mode 0777/, /others may write .*mode 0777/],
      [0o770, undefined, /others may write .*mode 0770/, /others may write .*mode 0770/],
      // As /tmp: there nobody takes away what is another's, but a folder of its own is to be that.
      [0o1777, undefined, /^opened$/, /others may write .*mode 1777.*chmod 700/],
      ...(process.geteuid!() === 0 ? [[0o700, 1, /another user/, /another user/] as const] : []),
    ] as const) {
      chmodSync(directory, mode);
      if (owner !== undefined) chownSync(directory, owner, owner);
      assert.match(await refusal({ path }), ofPath);
      assert.match(await refusal({ directory }), ofDirectory);
      assert.equal(readdirSync(directory), []);
    }
  }));

test('until it has its permissions it lies where nobody else can enter, and no link can be put in its place', () =>
  folderOf(async folder => {
    const { listen } = Server.prototype;
    const modes: string[] = [];
    const umask = process.umask(0);
    Server.prototype.listen = function (this: Server, made: unknown, ...rest: unknown[]) {
      modes.push((statSync(dirname(made as string)).mode & 0o777).toString(8));
      assert.is.not(dirname(made as string), folder);
      return listen.call(this, made as string, ...(rest as [() => void]));
    } as typeof listen;
    chmodSync(folder, 0o755);
    try {
      const path = join(folder, 's');
      const socket = await ControlSocket.open(engineOf(), { path });
      assert.equal(modes, ['700']);
      assert.is(lstatSync(path).mode & 0o777, 0o600);
      assert.equal(readdirSync(folder), ['s']);
      await socket.close();
      assert.equal(readdirSync(folder), []);
    } finally {
      Server.prototype.listen = listen;
      process.umask(umask);
    }
  }));

test('a file of its second name, which is no socket, stays', () =>
  folderOf(async folder => {
    const path = join(folder, 's');
    await stale(path);
    writeFileSync(`${path}.old`, 'mine');
    const error = await ControlSocket.open(engineOf(), { path }).catch(e => e);
    assert.is(error.code, 'ERR_CONTROL_PATH');
    assert.equal(readdirSync(folder), ['s', 's.old']);
  }));
