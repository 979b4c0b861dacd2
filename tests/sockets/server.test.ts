/** Servers: where they listen, whom they take, when they are closed. */
import { EventEmitter, once } from 'node:events';
import type { AddressInfo, DropArgument, Server, Socket } from 'node:net';
import { assert } from '../support/suite.js';
import { both, type Place } from './hosts.js';
import { codeOf, errorOf, finish, gather, listening, portOf, recorded, until, withPair } from './pairs.js';

const { test, end } = both('sockets: servers');

const closed = async (server: Server): Promise<void> => {
  const done = once(server, 'close');
  server.close();
  await done;
};
const failed = async (server: Server): Promise<NodeJS.ErrnoException & { address: string; port: number }> =>
  (await once(server, 'error'))[0];

test('a server is an EventEmitter that listens, has an address, and has none afterwards', async ({
  server: net,
  host,
}) => {
  const server = net.createServer();
  assert.ok(server instanceof EventEmitter && new net.Server() instanceof EventEmitter);
  assert.equal([server.listening, server.address()], [false, null]);
  assert.is(server.listen(0, host), server);
  await once(server, 'listening');
  const { address, family, port } = server.address() as AddressInfo;
  assert.equal([address, family, server.listening], [host, 'IPv4', true]);
  assert.ok(port > 1023 && port < 65_536);
  await closed(server);
  assert.equal([server.listening, server.address()], [false, null]);
});

test('every form of listen listens, and tells its callback', async ({ server: net, host }) => {
  const forms: ((server: Server, done: () => void) => void)[] = [
    (s, done) => s.listen(0, done),
    (s, done) => s.listen(done),
    (s, done) => s.listen(0, host, done),
    (s, done) => s.listen(0, host, 5, done),
    (s, done) => s.listen({ port: 0, host, backlog: 5 }, done),
    (s, done) => s.listen({ port: '0' as unknown as number, host }, done),
    (s, done) => s.listen({ port: undefined, host }, done),
  ];
  for (const form of forms) {
    const server = net.createServer();
    await new Promise<void>(done => form(server, done));
    assert.is(server.listening, true);
    assert.is(server.listenerCount('listening'), 0);
    await closed(server);
  }
});

test('without an address it listens at all of them', async ({ server: net, client, host }) => {
  const server = net.createServer(s => s.end('here'));
  server.listen(0);
  await once(server, 'listening');
  assert.equal(Object.keys(server.address() as object).sort(), ['address', 'family', 'port']);
  assert.is((server.address() as AddressInfo).address, '::');
  assert.is((await gather(client.connect(portOf(server), host))).toString(), 'here');
  await closed(server);
});

/** What a server at the port says, or the error. */
const said = (place: Place, host: string, port: number): Promise<string> =>
  gather(place.client.connect(port, host)).then(String, error => (error as NodeJS.ErrnoException).code ?? '');

test('any address of IPv4, and of IPv6 only, are two servers at a port; any address of both is a third way', async place => {
  const serving = (what: string): Server => place.server.createServer(s => s.end(what));
  const four = serving('four').listen(0, '0.0.0.0');
  await once(four, 'listening');
  const port = portOf(four);
  assert.is((four.address() as AddressInfo).address, '0.0.0.0');
  assert.is(await said(place, place.host6, port), 'ECONNREFUSED');
  assert.is((await failed(serving('both').listen(port, '::'))).code, 'EADDRINUSE');
  const six = serving('six').listen({ port, host: '::', ipv6Only: true });
  await once(six, 'listening');
  assert.equal([await said(place, place.host, port), await said(place, place.host6, port)], ['four', 'six']);
  await closed(four);
  assert.is(await said(place, place.host, port), 'ECONNREFUSED');
  await closed(six);
  // Without an address it is not heard.
  const both = serving('both').listen({ port, ipv6Only: true });
  await once(both, 'listening');
  assert.equal([await said(place, place.host, port), await said(place, place.host6, port)], ['both', 'both']);
  assert.is((await failed(serving('four').listen(port, '0.0.0.0'))).code, 'EADDRINUSE');
  await closed(both);
});

test('EADDRINUSE names call, address and port; the server may listen elsewhere then', async ({
  server: net,
  host,
}) => {
  const first = net.createServer().listen(0, host);
  await once(first, 'listening');
  const port = portOf(first);
  const second = net.createServer().listen(port, host);
  const e = await failed(second);
  assert.equal([e.code, e.syscall, e.address, e.port, e.errno], ['EADDRINUSE', 'listen', host, port, -98]);
  assert.is(e.message, `listen EADDRINUSE: address already in use ${host}:${port}`);
  assert.is(second.listening, false);
  second.listen(0, host);
  await once(second, 'listening');
  await closed(first);
  await closed(second);
});

test('EADDRNOTAVAIL for an address that is not its own', async ({ server: net, foreign }) => {
  const e = await failed(net.createServer().listen(8080, foreign));
  assert.equal([e.code, e.syscall, e.address, e.port], ['EADDRNOTAVAIL', 'listen', foreign, 8080]);
});

test('listen twice is refused; after close it is not', async place => {
  const server = await listening(place);
  assert.is(
    codeOf(() => server.listen(0, place.host)),
    'ERR_SERVER_ALREADY_LISTEN',
  );
  await closed(server);
  server.listen(0, place.host);
  await once(server, 'listening');
  await closed(server);
});

test('bad arguments of listen are thrown, by their codes', async ({ server: net }) => {
  const listen = (arg: unknown): string | undefined => codeOf(() => net.createServer().listen(arg as number));
  assert.equal([-1, 65_536, 1.5, Number.NaN].map(listen), Array(4).fill('ERR_SOCKET_BAD_PORT'));
  assert.equal([{ port: -1 }, { port: '65536' }].map(listen), Array(2).fill('ERR_SOCKET_BAD_PORT'));
  assert.equal(
    [{}, { host: 'x' }, { port: false }, true].map(listen),
    Array(4).fill('ERR_INVALID_ARG_VALUE'),
  );
  assert.is(listen({ port: 0, signal: 'x' }), 'ERR_INVALID_ARG_TYPE');
});

test('bad options of createServer are thrown, by their codes', async ({ server: net }) => {
  assert.equal(
    [1, 'x', true].map(wrong => codeOf(() => net.createServer(wrong as never))),
    Array(3).fill('ERR_INVALID_ARG_TYPE'),
  );
  assert.is(
    codeOf(() => net.createServer({ keepAliveInitialDelay: 'x' as never })),
    'ERR_INVALID_ARG_TYPE',
  );
  assert.is(
    codeOf(() => net.createServer({ highWaterMark: 'x' as never })),
    'ERR_INVALID_ARG_TYPE',
  );
});

test('closing what does not listen: the callback hears ERR_SERVER_NOT_RUNNING', async ({ server: net }) => {
  const e = await new Promise<NodeJS.ErrnoException | undefined>(done => net.createServer().close(done));
  assert.is(e?.code, 'ERR_SERVER_NOT_RUNNING');
});

test(
  'close comes when the last connection is gone, not before',
  withPair(async ({ server, near, far }) => {
    let done = false;
    const over = new Promise<Error | undefined>(resolve => server.close(resolve)).then(e => {
      done = true;
      return e;
    });
    assert.is(server.listening, false);
    for (let i = 0; i < 20; i++) await new Promise(setImmediate);
    assert.is(done, false);
    far.end('still here');
    assert.is((await gather(near)).toString(), 'still here');
    assert.is(await over, undefined);
  }),
);

test(
  'a closed server refuses; its connections live on',
  withPair(async ({ server, near, far }, { client, host }) => {
    const port = portOf(server);
    server.close();
    const s = client.connect(port, host);
    const e = await errorOf(s);
    assert.ok(['ECONNREFUSED', 'ECONNRESET'].includes(e.code!), e.code);
    near.write('on');
    assert.is(String((await once(far, 'data'))[0]), 'on');
  }),
);

test('getConnections counts those that are open', async place => {
  const server = await listening(place);
  const count = (): Promise<number> =>
    new Promise((done, fail) => server.getConnections((e, n) => (e ? fail(e) : done(n))));
  assert.is(await count(), 0);
  const far: Socket[] = [];
  server.on('connection', s => far.push(s.resume().on('error', () => {})));
  const near = [1, 2, 3].map(() => place.client.connect(portOf(server), place.host));
  await until('three', () => far.length === 3);
  assert.is(await count(), 3);
  near[0].destroy();
  await until('two', () => far.some(s => s.destroyed));
  assert.is(await count(), 2);
  await finish(server, ...near, ...far);
});

test('maxConnections: one more is closed at once, and drop tells whose it was', async place => {
  const server = await listening(place);
  server.maxConnections = 1;
  let taken = 0;
  server.on('connection', () => taken++);
  const [first] = await Promise.all([
    place.client.connect(portOf(server), place.host),
    once(server, 'connection'),
  ]);
  const dropped = once(server, 'drop');
  const second = place.client.connect(portOf(server), place.host).on('error', () => {});
  const [data] = (await dropped) as [DropArgument];
  assert.equal(
    [data.localAddress, data.localPort, data.localFamily, data.remoteAddress, data.remoteFamily],
    [place.host, portOf(server), 'IPv4', place.from, 'IPv4'],
  );
  second.resume();
  if (!second.destroyed) await once(second, 'close');
  assert.is(taken, 1);
  first.destroy();
  await finish(server, first, second);
});

test(
  'pauseOnConnect: nothing is read until resume, and nothing is lost',
  withPair(
    async ({ near, far }) => {
      assert.is(far.isPaused(), true);
      near.end('kept');
      let early = 0;
      const got = new Promise<string>(done => {
        let text = '';
        far.on('data', d => {
          early++;
          text += d;
        });
        far.on('end', () => done(text));
      });
      for (let i = 0; i < 20; i++) await new Promise(setImmediate);
      assert.equal([early, far.bytesRead], [0, 0]);
      far.resume();
      assert.is(await got, 'kept');
    },
    { server: { pauseOnConnect: true } },
  ),
);

test(
  'allowHalfOpen of the server is that of its sockets',
  withPair(
    async ({ near, far, server }) => {
      assert.equal([far.allowHalfOpen, near.allowHalfOpen], [true, false]);
      assert.is((far as unknown as { server: Server }).server, server);
    },
    { server: { allowHalfOpen: true } },
  ),
);

test('every listener of connection gets the same socket', async place => {
  const server = await listening(place);
  const got: Socket[] = [];
  server.on('connection', s => got.push(s));
  server.prependListener('connection', s => got.push(s));
  const s = place.client.connect(portOf(server), place.host);
  await until('both', () => got.length === 2);
  assert.is(got[0], got[1]);
  await finish(server, s, got[0]);
});

test('a signal closes the server, before it listens and while', async ({ server: net, host }) => {
  const early = net.createServer();
  const heard = recorded(early, ['close']);
  early.listen({ port: 0, host, signal: AbortSignal.abort() });
  await until('close', () => heard.length > 0);
  assert.is(early.listening, false);
  const controller = new AbortController();
  const server = net.createServer().listen({ port: 0, host, signal: controller.signal });
  await once(server, 'listening');
  const done = once(server, 'close');
  controller.abort();
  await done;
  assert.is(server.listening, false);
});

test('Symbol.asyncDispose closes it; of one that does not listen it does nothing', async place => {
  const server = await listening(place);
  await server[Symbol.asyncDispose]();
  assert.is(server.listening, false);
  await server[Symbol.asyncDispose]();
});

test('ref and unref are chained, listening or not', async place => {
  const server = await listening(place);
  assert.is(server.unref().ref().unref(), server);
  await closed(server);
  assert.is(server.ref(), server);
});

test('closed by the first of many that came at a time: the others are not told of, and are reset', async place => {
  const got: Socket[] = [];
  const server = await listening(place, {}, far => {
    got.push(far);
    server.close();
  });
  const near = Array.from({ length: 8 }, () => place.client.connect(portOf(server), place.host));
  const ends = near.map(
    s =>
      new Promise<string>(done => {
        s.resume().once('error', e => done((e as NodeJS.ErrnoException).code!));
        s.once('data', () => done('here'));
      }),
  );
  // All of them are connected before anybody here has heard of one.
  process.nextTick(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100));
  await until('one', () => got.length > 0);
  got[0].write('here');
  assert.equal((await Promise.all(ends)).sort(), [...Array(7).fill('ECONNRESET'), 'here']);
  assert.is(got.length, 1);
  await finish(server, ...near, ...got);
});

test('a backlog that is negative, or larger than any, is as many as there can be', async ({
  server: net,
  host,
}) => {
  for (const backlog of [-1, 100_000, 2 ** 31, 2 ** 32, 0.5, 1e300, Number.NaN]) {
    const server = net.createServer().listen({ port: 0, host, backlog });
    await once(server, 'listening');
    await closed(server);
  }
  const server = net.createServer().listen(0, host, 1e10);
  await once(server, 'listening');
  await closed(server);
});

test('connections that wait when it begins to listen are taken one after the other', async place => {
  const got: number[] = [];
  const server = await listening(place, {}, s => {
    got.push(s.remotePort!);
    s.end();
  });
  const near = Array.from({ length: 10 }, () => place.client.connect(portOf(server), place.host).resume());
  await Promise.all(near.map(s => once(s, 'close')));
  assert.is(new Set(got).size, 10);
  await finish(server);
});

end();
