/** Sockets from createSocket to close: bind, connect, options, and what is refused when. */
import { once } from 'node:events';
import { assert } from '../support/suite.js';
import { both, bound, codeOf, freePort, message, portOf, shut, stacks, withPair } from './hosts.js';

const { test, engineOnly, end } = both('datagrams: life');

test('what is no type is ERR_SOCKET_BAD_TYPE; bad options are refused by code', async ({ client }) => {
  const make = client.createSocket as (...a: unknown[]) => unknown;
  assert.equal(
    [
      codeOf(() => make('udp5')),
      codeOf(() => make(undefined)),
      codeOf(() => make({ type: 'tcp' })),
      codeOf(() => make({ type: 'udp4', lookup: 5 })),
      codeOf(() => make({ type: 'udp4', signal: {} })),
    ],
    [
      'ERR_SOCKET_BAD_TYPE',
      'ERR_SOCKET_BAD_TYPE',
      'ERR_SOCKET_BAD_TYPE',
      'ERR_INVALID_ARG_TYPE',
      'ERR_INVALID_ARG_TYPE',
    ],
  );
});

test('bind to port 0: listening, then an ephemeral port of any address', async ({ client }) => {
  for (const [kind, any, family] of [
    ['udp4', '0.0.0.0', 'IPv4'],
    ['udp6', '::', 'IPv6'],
  ] as const) {
    const s = client.createSocket(kind);
    let listening = false;
    s.bind(() => {
      listening = true;
    });
    assert.is(listening, false);
    await once(s, 'listening');
    assert.is(listening, true);
    const { address, family: shown, port } = s.address();
    assert.equal([address, shown], [any, family]);
    assert.ok(port >= 1024 && port <= 65535);
    await shut(s);
  }
});

test('bind takes port, address and callback in every form', async place => {
  const { server, host } = place;
  const first = await bound(place);
  const port = portOf(first);
  await shut(first);
  const forms: ((s: ReturnType<typeof server.createSocket>, done: () => void) => void)[] = [
    (s, done) => s.bind(port, done),
    (s, done) => s.bind(port, host.udp4, done),
    (s, done) => s.bind({ port, address: host.udp4 }, done),
    (s, done) => void s.bind({ port }, done),
  ];
  for (const form of forms) {
    const s = server.createSocket('udp4');
    await new Promise<void>(done => form(s, done));
    assert.is(portOf(s), port);
    await shut(s);
  }
});

test('a port that is taken is EADDRINUSE, an address of somebody else EADDRNOTAVAIL: error, and bind can be tried again', async place => {
  const { server, host, foreign } = place;
  const one = await bound(place);
  const two = server.createSocket('udp4');
  const failed = async (port: number, address: string): Promise<NodeJS.ErrnoException> => {
    const error = once(two, 'error');
    two.bind(port, address);
    return (await error)[0];
  };
  const inUse = await failed(portOf(one), host.udp4);
  assert.equal(
    [inUse.code, inUse.syscall, (inUse as unknown as { port: number }).port],
    ['EADDRINUSE', 'bind', portOf(one)],
  );
  assert.is((await failed(0, foreign)).code, 'EADDRNOTAVAIL');
  two.bind(0, host.udp4);
  await once(two, 'listening');
  await shut(one, two);
  const again = server.createSocket('udp4').bind(inUse ? portOfClosed(inUse) : 0, host.udp4);
  await once(again, 'listening');
  await shut(again);
});

const portOfClosed = (error: NodeJS.ErrnoException): number => (error as unknown as { port: number }).port;

test('a second bind is ERR_SOCKET_ALREADY_BOUND, before listening and after', async ({ client }) => {
  const s = client.createSocket('udp4');
  s.bind(0);
  assert.is(
    codeOf(() => s.bind(0)),
    'ERR_SOCKET_ALREADY_BOUND',
  );
  await once(s, 'listening');
  assert.is(
    codeOf(() => s.bind(0)),
    'ERR_SOCKET_ALREADY_BOUND',
  );
  await shut(s);
});

test('send and connect bind by themselves: listening comes first', async place => {
  const server = await bound(place);
  const heard: string[] = [];
  const s = place.client.createSocket('udp4');
  for (const name of ['listening', 'connect', 'close']) s.on(name, () => heard.push(name));
  s.connect(portOf(server), place.host.udp4);
  await once(s, 'connect');
  assert.equal(heard, ['listening', 'connect']);
  await shut(s, server);
  assert.equal(heard, ['listening', 'connect', 'close']);
});

test('before bind there is no address and no buffer; sizes must be numbers', async ({ client }) => {
  const s = client.createSocket('udp4');
  assert.equal(
    [
      codeOf(() => s.address()),
      codeOf(() => s.setTTL(5)),
      codeOf(() => s.setBroadcast(true)),
      codeOf(() => s.getRecvBufferSize()),
      codeOf(() => s.setRecvBufferSize(-1)),
      codeOf(() => s.setSendBufferSize('1' as never)),
      codeOf(() => s.setSendBufferSize(5000)),
      codeOf(() => s.remoteAddress()),
      codeOf(() => s.disconnect()),
    ],
    [
      ...['EBADF', 'EBADF', 'EBADF', 'ERR_SOCKET_BUFFER_SIZE', 'ERR_SOCKET_BAD_BUFFER_SIZE'],
      ...['ERR_SOCKET_BAD_BUFFER_SIZE', 'ERR_SOCKET_BUFFER_SIZE'],
      ...['ERR_SOCKET_DGRAM_NOT_CONNECTED', 'ERR_SOCKET_DGRAM_NOT_CONNECTED'],
    ],
  );
  assert.equal([s.getSendQueueSize(), s.getSendQueueCount()], [0, 0]);
  await shut(s);
});

test('sizes of buffers are told, and at least what was asked for when the socket was made', async ({
  client,
}) => {
  const s = client.createSocket({ type: 'udp4', recvBufferSize: 20_000, sendBufferSize: 10_000 });
  s.bind(0);
  await once(s, 'listening');
  assert.ok(s.getRecvBufferSize() >= 20_000);
  assert.ok(s.getSendBufferSize() >= 10_000);
  s.setRecvBufferSize(10_000);
  s.setSendBufferSize(5_000);
  await shut(s);
});

test('setTTL returns it; one that cannot be is EINVAL, what is no number ERR_INVALID_ARG_TYPE', async place => {
  const s = await bound(place);
  assert.is(s.setTTL(3) as unknown, 3);
  assert.equal(
    [codeOf(() => s.setTTL(0)), codeOf(() => s.setTTL(256)), codeOf(() => s.setTTL('5' as never))],
    ['EINVAL', 'EINVAL', 'ERR_INVALID_ARG_TYPE'],
  );
  await shut(s);
});

test(
  'a connected socket needs no address, tells its peer, and hears of nobody else',
  withPair(async ({ server, client, port }, place) => {
    const stranger = place.server.createSocket('udp4');
    client.connect(port, place.host.udp4);
    await once(client, 'connect');
    assert.equal({ ...client.remoteAddress() }, { address: place.host.udp4, family: 'IPv4', port });
    assert.is(client.address().address, place.from.udp4);
    const heard: string[] = [];
    client.on('message', m => heard.push(String(m)));
    const sent = new Promise<void>(done =>
      stranger.send('who?', portOf(client), place.from.udp4, () => done()),
    );
    await sent;
    server.on('message', (m, { port: to, address }) => server.send(`${m}`, to, address));
    client.send('a');
    await message(client);
    client.send(Buffer.from('xbx'), 1, 1);
    await message(client);
    await new Promise<void>(done => client.send(['c', 'd'], () => done()));
    await message(client);
    assert.equal(heard, ['a', 'b', 'cd']);
    await shut(stranger);
  }),
);

test(
  'a connected socket: another address is ERR_SOCKET_DGRAM_IS_CONNECTED, so is a second connect; disconnect frees it',
  withPair(async ({ client, port }, { host }) => {
    client.connect(port, host.udp4);
    assert.is(
      codeOf(() => client.connect(port, host.udp4)),
      'ERR_SOCKET_DGRAM_IS_CONNECTED',
    );
    await once(client, 'connect');
    assert.equal(
      [
        codeOf(() => client.connect(port, host.udp4)),
        codeOf(() => client.send('x', 0, 1, port, host.udp4)),
        codeOf(() => client.send('x', port, host.udp4, () => {})),
      ],
      Array(3).fill('ERR_SOCKET_DGRAM_IS_CONNECTED'),
    );
    client.disconnect();
    assert.equal(
      [
        codeOf(() => client.remoteAddress()),
        codeOf(() => client.disconnect()),
        codeOf(() => client.send('x')),
      ],
      ['ERR_SOCKET_DGRAM_NOT_CONNECTED', 'ERR_SOCKET_DGRAM_NOT_CONNECTED', 'ERR_SOCKET_BAD_PORT'],
    );
    await new Promise<void>(done => client.connect(port, host.udp4, done));
  }),
);

test(
  'after disconnect the socket hears of everybody again',
  withPair(async ({ server, client, port }, place) => {
    // A port that was asked for stays; Linux gives others back.
    const own = await freePort(place);
    client.bind(own);
    await new Promise<void>(done => client.connect(port, place.host.udp4, done));
    client.disconnect();
    const stranger = place.server.createSocket('udp4');
    const got = message(client);
    stranger.send('hello', own, place.from.udp4);
    assert.is((await got)[0], 'hello');
    server.on('message', () => {});
    await shut(stranger);
  }),
);

test('connect to port 0 or 70000 is ERR_SOCKET_BAD_PORT', async ({ client, host }) => {
  const s = client.createSocket('udp4');
  assert.equal(
    [codeOf(() => s.connect(0, host.udp4)), codeOf(() => s.connect(70_000, host.udp4))],
    ['ERR_SOCKET_BAD_PORT', 'ERR_SOCKET_BAD_PORT'],
  );
  await shut(s);
});

test('a port that nobody has: the connected socket is told ECONNREFUSED, and lives on', async place => {
  const gone = await bound(place);
  const port = portOf(gone);
  await shut(gone);
  const s = place.client.createSocket('udp4');
  await new Promise<void>(done => s.connect(port, place.host.udp4, done));
  const failed = once(s, 'error');
  s.send('anybody?');
  const [error] = (await failed) as [NodeJS.ErrnoException];
  assert.equal([error.code, error.syscall], ['ECONNREFUSED', 'recvmsg']);
  const server = await bound(place, 'udp4', port);
  const got = message(server);
  s.send('now?');
  assert.is((await got)[0], 'now?');
  await shut(s, server);
});

test('a socket that is not connected is not told', async place => {
  const gone = await bound(place);
  const port = portOf(gone);
  await shut(gone);
  const s = place.client.createSocket('udp4');
  const errors: unknown[] = [];
  s.on('error', e => errors.push(e));
  await new Promise<void>(done => s.send('anybody?', port, place.host.udp4, () => done()));
  await new Promise(done => setTimeout(done, 50));
  assert.equal(errors, []);
  await shut(s);
});

test('close: the event comes once, later, and to the callback; after it nothing runs', async ({
  client,
  host,
}) => {
  const s = client.createSocket('udp4');
  s.bind(0);
  await once(s, 'listening');
  let closed = 0;
  s.on('close', () => closed++);
  const done = new Promise<void>(told => s.close(told));
  assert.is(closed, 0);
  await done;
  assert.is(closed, 1);
  assert.equal(
    [
      codeOf(() => s.close()),
      codeOf(() => s.bind(0)),
      codeOf(() => s.send('x', 9, host.udp4)),
      codeOf(() => s.address()),
      codeOf(() => s.remoteAddress()),
    ],
    Array(5).fill('ERR_SOCKET_DGRAM_NOT_RUNNING'),
  );
});

test('close in the callback of send: the message has gone', async place => {
  const server = await bound(place);
  const s = place.client.createSocket('udp4');
  const got = message(server);
  s.send('last words', portOf(server), place.host.udp4, () => s.close());
  await once(s, 'close');
  assert.is((await got)[0], 'last words');
  await shut(server);
});

test('close while it binds: listening, then close', async ({ client, host }) => {
  const s = client.createSocket('udp4');
  const heard: string[] = [];
  for (const name of ['listening', 'close']) s.on(name, () => heard.push(name));
  s.connect(9, host.udp4);
  s.close();
  await once(s, 'close');
  assert.equal(heard, ['listening', 'close']);
});

engineOnly('what was sent before close goes, though the socket had no ring yet', async place => {
  const server = await bound(place);
  for (let i = 0; i < 50; i++) {
    const s = place.client.createSocket('udp4');
    const got = message(server);
    s.send(`last words ${i}`, portOf(server), place.host.udp4);
    s.close();
    await once(s, 'close');
    assert.is((await got)[0], `last words ${i}`);
  }
  await shut(server);
});

test('a socket that never was bound closes, too; asyncDispose closes one and takes a second time', async ({
  client,
}) => {
  const s = client.createSocket('udp4');
  s.close();
  await once(s, 'close');
  const t = client.createSocket('udp4');
  t.bind(0);
  await once(t, 'listening');
  let closed = 0;
  t.on('close', () => closed++);
  await t[Symbol.asyncDispose]();
  assert.is(closed, 1);
  await t[Symbol.asyncDispose]();
});

test('a signal closes it: one that is aborted already, and one that is later', async ({ client }) => {
  const early = client.createSocket({ type: 'udp4', signal: AbortSignal.abort() });
  await once(early, 'close');
  const controller = new AbortController();
  const s = client.createSocket({ type: 'udp4', signal: controller.signal });
  s.bind(0);
  await once(s, 'listening');
  controller.abort();
  await once(s, 'close');
});

test('ref and unref return the socket; a listener given to createSocket hears messages', async place => {
  const server = await bound(place);
  let told = (_: string): void => {};
  const first = new Promise<string>(done => {
    told = done;
  });
  const s = place.client.createSocket('udp4', m => told(String(m)));
  assert.is(s.unref(), s);
  assert.is(s.ref(), s);
  s.bind(0);
  await once(s, 'listening');
  server.send('for you', portOf(s), place.from.udp4);
  assert.is(await first, 'for you');
  await shut(s, server);
});

test('an IPv6 socket of any address takes IPv4, too, as ::ffff:…; with ipv6Only it leaves the port to IPv4', async place => {
  const s = place.server.createSocket('udp6');
  s.bind(0);
  await once(s, 'listening');
  const client = place.client.createSocket('udp4');
  client.send('four', portOf(s), place.host.udp4);
  const [text, info] = await message(s);
  assert.equal([text, info.address, info.family], ['four', `::ffff:${place.from.udp4}`, 'IPv6']);
  const back = message(client);
  s.send('six', info.port, info.address);
  assert.is((await back)[0], 'six');
  await shut(s);
  const six = place.server.createSocket({ type: 'udp6', ipv6Only: true });
  six.bind(0);
  await once(six, 'listening');
  const four = place.server.createSocket('udp4');
  four.bind(portOf(six));
  await once(four, 'listening');
  await shut(six, four, client);
});

test('what a listener throws is an uncaught exception; the next message is told', async place => {
  const server = await bound(place);
  const s = place.client.createSocket('udp4');
  const heard: string[] = [];
  const both = new Promise<void>(done =>
    server.on('message', m => {
      heard.push(String(m));
      if (heard.length === 2) done();
      else throw new Error('from the listener');
    }),
  );
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const caught = new Promise<Error>(done => process.once('uncaughtException', done));
  try {
    s.send('one', portOf(server), place.host.udp4);
    s.send('two', portOf(server), place.host.udp4);
    assert.is((await caught).message, 'from the listener');
    await both;
  } finally {
    for (const l of others) process.on('uncaughtException', l);
  }
  assert.equal(heard, ['one', 'two']);
  await shut(s, server);
});

test('a listener that throws at each of many messages hears them all, and those after', async place => {
  const server = await bound(place);
  const s = place.client.createSocket('udp4');
  const heard: string[] = [];
  const errors: string[] = [];
  server.on('message', m => {
    heard.push(String(m));
    if (heard.length <= 5) throw new Error(`no. ${heard.length}`);
  });
  const others = process.listeners('uncaughtException');
  process.removeAllListeners('uncaughtException');
  const caught = (error: Error): unknown => errors.push(error.message);
  process.on('uncaughtException', caught);
  const heardOf = async (n: number): Promise<void> => {
    for (const end = Date.now() + 5000; heard.length < n && Date.now() < end; )
      await new Promise(next => setTimeout(next, 2));
  };
  try {
    for (let i = 0; i < 5; i++) s.send(`bad ${i}`, portOf(server), place.host.udp4);
    await heardOf(5);
    for (let i = 0; i < 5; i++) s.send(`good ${i}`, portOf(server), place.host.udp4);
    await heardOf(10);
  } finally {
    process.removeListener('uncaughtException', caught);
    for (const l of others) process.on('uncaughtException', l);
  }
  assert.equal(heard, [0, 1, 2, 3, 4].map(i => `bad ${i}`).concat([0, 1, 2, 3, 4].map(i => `good ${i}`)));
  assert.equal(
    errors,
    [1, 2, 3, 4, 5].map(i => `no. ${i}`),
  );
  await shut(s, server);
});

engineOnly('multicast and broadcast are not there, and say so', async place => {
  const s = (await bound(place)) as unknown as Record<string, (...a: unknown[]) => unknown> &
    NodeJS.EventEmitter;
  for (const call of [
    'addMembership',
    'dropMembership',
    'setMulticastTTL',
    'setMulticastLoopback',
    'setMulticastInterface',
  ])
    assert.is(
      codeOf(() => s[call]('224.0.0.114')),
      'EOPNOTSUPP',
      call,
    );
  const sent = (address: string): Promise<NodeJS.ErrnoException | null> =>
    new Promise(done => s.send('x', 9, address, done));
  assert.is((await sent('224.0.0.114'))?.code, 'ENETUNREACH');
  assert.is((await sent('255.255.255.255'))?.code, 'EACCES');
  s.setBroadcast(true);
  assert.is((await sent('255.255.255.255'))?.code, 'ENETUNREACH');
  await shut(s as never);
});

engineOnly('what was received, sent and refused is counted as Linux counts it', async () => {
  const { client, server } = await stacks();
  const sum = { ...client.counters('datagrams') };
  assert.ok(sum.OutDatagrams >= 5 && sum.InDatagrams >= 5, JSON.stringify(sum));
  assert.ok(server.counters('datagrams').NoPorts >= 1);
});

end();
