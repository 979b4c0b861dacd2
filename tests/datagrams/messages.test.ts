/** What `send` takes, in all its forms, and what `message` tells. */
import { once } from 'node:events';
import { assert } from '../support/suite.js';
import { both, codeOf, message, portOf, shut, withPair } from './hosts.js';

const { test, end } = both('datagrams: messages');

for (const kind of ['udp4', 'udp6'] as const)
  test(
    `a message and its answer, with address, family, port and size of the sender (${kind})`,
    withPair(async ({ server, client, port }, { host, from }) => {
      server.on('message', (data, { port: to, address }) => server.send(`${data}!`, to, address));
      client.send('hello', port, host[kind]);
      const [answer, info] = await message(client);
      assert.is(answer, 'hello!');
      const family = kind === 'udp4' ? 'IPv4' : 'IPv6';
      assert.equal({ ...info }, { address: host[kind], family, port, size: 6 });
      client.send('again', port, host[kind]);
      const [, back] = await message(server);
      assert.equal([back.address, back.port], [from[kind], portOf(client)]);
      await message(client);
    }, kind),
  );

test(
  'a part of a buffer: offset and length; with and without a callback',
  withPair(async ({ server, client, port }, { host }) => {
    const got = message(server);
    const n = await new Promise<number>((done, failed) =>
      client.send(Buffer.from('abcdef'), 2, 3, port, host.udp4, (error, bytes) =>
        error ? failed(error) : done(bytes),
      ),
    );
    assert.is(n, 3);
    assert.is((await got)[0], 'cde');
    client.send(Buffer.from('abcdef'), 1, 2, port, host.udp4);
    assert.is((await message(server))[0], 'bc');
  }),
);

test(
  'a list of pieces is one message; strings, typed arrays and views are bytes; an empty list is an empty message',
  withPair(async ({ server, client, port }, { host }) => {
    const send = async (what: unknown): Promise<string> => {
      const got = message(server);
      client.send(what as string, port, host.udp4);
      return (await got)[0];
    };
    assert.is(await send([Buffer.from('one '), 'two ', new Uint8Array([51])]), 'one two 3');
    assert.is(await send('grüße'), 'grüße');
    assert.is(await send(new Uint16Array([0x4241])), 'AB');
    assert.is(await send(new DataView(Uint8Array.from([88, 89, 90]).buffer, 1, 2)), 'YZ');
    assert.is(await send([]), '');
    assert.is(await send(''), '');
  }),
);

test(
  'the callback is told how many bytes went, and never before send has returned',
  withPair(async ({ server, client, port }, { host }) => {
    server.on('message', () => {});
    for (const bind of [false, true]) {
      let returned = false;
      const told = new Promise<unknown[]>(done =>
        client.send('12345', port, host.udp4, (...a) => done([returned, ...a])),
      );
      returned = true;
      assert.equal(await told, [true, null, 5], `bound: ${bind}`);
    }
  }),
);

test('what is no message, no port and no address is refused by code', async place => {
  const s = place.client.createSocket('udp4');
  const send = s.send.bind(s) as (...a: unknown[]) => void;
  const codes = [
    codeOf(() => send(5, 1, 'x')),
    codeOf(() => send([5], 1, 'x')),
    codeOf(() => send(null, 1, 'x')),
    codeOf(() => send('x', 0, place.host.udp4)),
    codeOf(() => send('x', 65536, place.host.udp4)),
    codeOf(() => send('x', -1, place.host.udp4)),
    codeOf(() => send('x')),
    codeOf(() => send(Buffer.from('abc'), 4, 1, 9, place.host.udp4)),
    codeOf(() => send(Buffer.from('abc'), 1, 3, 9, place.host.udp4)),
    codeOf(() => send('x', 9, 5)),
  ];
  assert.equal(codes, [
    ...['ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE', 'ERR_INVALID_ARG_TYPE'],
    ...['ERR_SOCKET_BAD_PORT', 'ERR_SOCKET_BAD_PORT', 'ERR_SOCKET_BAD_PORT', 'ERR_SOCKET_BAD_PORT'],
    ...['ERR_BUFFER_OUT_OF_BOUNDS', 'ERR_BUFFER_OUT_OF_BOUNDS', 'ERR_INVALID_ARG_TYPE'],
  ]);
  await shut(s);
});

test(
  'a message that is too long is EMSGSIZE, told to the callback; the longest that is not arrives whole',
  withPair(async ({ server, client, port }, { host, longest }) => {
    const got = once(server, 'message');
    const sent = (n: number): Promise<NodeJS.ErrnoException | null> =>
      new Promise(done => client.send(Buffer.alloc(n, 7), port, host.udp4, done));
    const error = await sent(longest + 1);
    assert.equal([error?.code, error?.syscall], ['EMSGSIZE', 'send']);
    assert.is(await sent(longest), null);
    const [data] = (await got) as [Buffer];
    assert.is(data.length, longest);
    assert.ok(data.every(b => b === 7));
  }),
);

test(
  'every length arrives as it was sent, in order',
  withPair(async ({ server, client, port }, { host }) => {
    const lengths = [0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 255, 256, 511, 1000, 1023, 1400, 1471, 1472];
    const got: Buffer[] = [];
    const all = new Promise<void>(done =>
      server.on('message', m => {
        if (got.push(m) === lengths.length) done();
      }),
    );
    for (const n of lengths) client.send(Buffer.alloc(n, n), port, host.udp4);
    await all;
    assert.equal(
      got.map(m => m.length),
      lengths,
    );
    for (const m of got) assert.ok(m.every(b => b === (m.length & 255)));
  }),
);

test(
  'a message is the listener’s own: what comes later does not change it',
  withPair(async ({ server, client, port }, { host }) => {
    const kept: Buffer[] = [];
    const all = new Promise<void>(done =>
      server.on('message', m => {
        if (kept.push(m) === 200) done();
      }),
    );
    for (let i = 0; i < 200; i++) client.send(Buffer.alloc(100, i), port, host.udp4);
    await all;
    for (const [i, m] of kept.entries()) assert.ok(m.every(b => b === i));
  }),
);

test(
  'sockets of two ports hear their own only',
  withPair(async ({ server, client, port }, { client: dgram, host }) => {
    const other = dgram.createSocket('udp4');
    server.on('message', (data, { port: to, address }) => server.send(`to ${data}`, to, address));
    const answers = [message(client), message(other)];
    client.send('one', port, host.udp4);
    other.send('two', port, host.udp4);
    assert.equal(
      (await Promise.all(answers)).map(([text]) => text),
      ['to one', 'to two'],
    );
    assert.is.not(portOf(client), portOf(other));
    await shut(other);
  }),
);

test(
  'a name is looked up by the option lookup',
  withPair(async ({ server, port }, { client: dgram, host }) => {
    const asked: unknown[] = [];
    const socket = dgram.createSocket({
      type: 'udp4',
      lookup: ((name: string, _: { family: number }, found: (e: null, a: string, f: number) => void) => {
        if (name !== 'server.test') return found(null, name, 4);
        asked.push(name);
        found(null, host.udp4, 4);
      }) as never,
    });
    const got = message(server);
    socket.send('by name', port, 'server.test');
    assert.is((await got)[0], 'by name');
    assert.equal(asked, ['server.test']);
    await shut(socket);
  }),
);

test('an IPv6 address of an IPv4 socket is EINVAL, told to the callback', async place => {
  const socket = place.client.createSocket('udp4');
  const error = await new Promise<NodeJS.ErrnoException | null>(done =>
    socket.send('x', 9, place.host.udp6, done),
  );
  assert.equal([error?.code, error?.syscall], ['EINVAL', 'send']);
  await shut(socket);
});

end();
