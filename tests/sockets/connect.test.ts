/** Sockets from `connect` to `connect`ed, and what keeps them from it. */
import { once } from 'node:events';
import type { AddressInfo, LookupFunction, Socket } from 'node:net';
import { keepAliveOf } from '../../host/net/sockets/arguments.js';
import { assert } from '../support/suite.js';
import { both } from './hosts.js';
import {
  codeOf,
  errorOf,
  finish,
  gather,
  heard,
  listening,
  portOf,
  recorded,
  until,
  withPair,
} from './pairs.js';

const { test, engineOnly, end } = both('sockets: connecting');
const HANDS_OFF = ['lookup', 'connect', 'ready', 'end', 'error', 'close'];

test('a new socket is neither connecting nor connected', async ({ client }) => {
  const s = new client.Socket();
  assert.equal(
    [s.connecting, s.pending, s.destroyed, s.readyState, s.bytesRead, s.bytesWritten, s.bufferSize],
    [false, true, false, 'open', 0, 0, undefined],
  );
  assert.equal([s.remoteAddress, s.remotePort, s.localAddress, s.localPort], Array(4).fill(undefined));
  assert.equal(s.address(), {});
  s.destroy();
  await once(s, 'close');
  assert.is(s.destroyed, true);
});

test('connecting: opening and pending, then connect, then ready', async place => {
  const server = await listening(place);
  const s = place.client.connect(portOf(server), place.host);
  const heard = recorded(s, HANDS_OFF);
  assert.equal([s.connecting, s.pending, s.readyState], [true, true, 'opening']);
  await once(s, 'ready');
  assert.equal([s.connecting, s.pending, s.readyState], [false, false, 'open']);
  assert.equal(heard, ['connect', 'ready']);
  await finish(server, s);
});

test('the callback of connect is a listener of connect, for every form of the call', async place => {
  const server = await listening(place);
  const port = portOf(server);
  const { client, host } = place;
  const made = await Promise.all([
    new Promise<Socket>(done => {
      const s = client.connect(port, host, () => done(s));
    }),
    new Promise<Socket>(done => {
      const s = client.createConnection({ port, host }, () => done(s));
    }),
    new Promise<Socket>(done => {
      const s = new client.Socket().connect({ port: String(port) as unknown as number, host }, () => done(s));
    }),
  ]);
  assert.ok(made.every(s => s.readyState === 'open' && s.listenerCount('connect') === 0));
  await finish(server, ...made);
});

test('ECONNREFUSED names call, address and port; close says that there was an error', async place => {
  const server = await listening(place);
  const port = portOf(server);
  await finish(server);
  const s = place.client.connect({ host: place.host, port });
  const heard = recorded(s, HANDS_OFF);
  const e = (await errorOf(s)) as NodeJS.ErrnoException & { address: string; port: number };
  await once(s, 'close');
  assert.equal(
    [e.code, e.syscall, e.address, e.port, e.errno],
    ['ECONNREFUSED', 'connect', place.host, port, -111],
  );
  assert.is(e.message, `connect ECONNREFUSED ${place.host}:${port}`);
  assert.equal(heard, ['error', 'close true']);
  assert.equal([s.connecting, s.destroyed, s.readyState, s.pending], [false, true, 'closed', true]);
});

test('what is written while it connects arrives, and counts as written at once', async place => {
  const server = await listening(place);
  const s = place.client.connect(portOf(server), place.host);
  const told: string[] = [];
  assert.is(s.write('one '), true);
  s.write('two ', () => told.push('two'));
  s.end('three', () => told.push('three'));
  assert.is(s.bytesWritten, 13);
  const [far] = await once(server, 'connection');
  assert.is((await gather(far)).toString(), 'one two three');
  await until('both callbacks', () => told.length === 2);
  assert.equal(told, ['two', 'three']);
  await finish(server, s, far);
});

test('destroyed while it connects: closed without an error, and the write under way hears why', async place => {
  const server = await listening(place);
  const s = place.client.connect(portOf(server), place.host);
  const heard = recorded(s, HANDS_OFF);
  const refused = new Promise<NodeJS.ErrnoException>(done =>
    s.write('x', e => done(e as NodeJS.ErrnoException)),
  );
  s.destroy();
  assert.is((await refused).code, 'ERR_SOCKET_CLOSED_BEFORE_CONNECTION');
  await until('close', () => heard.length > 0);
  assert.equal(heard, ['close false']);
  await finish(server);
});

test('a socket that has not begun to connect refuses to be written to', async ({ client }) => {
  const s = new client.Socket();
  const e = errorOf(s);
  const told = new Promise<NodeJS.ErrnoException>(done =>
    s.write('x', error => done(error as NodeJS.ErrnoException)),
  );
  assert.equal([(await e).code, (await told).code], ['ERR_SOCKET_CLOSED', 'ERR_SOCKET_CLOSED']);
});

test('resetAndDestroy of a socket that never connected is refused', async ({ client }) => {
  const s = new client.Socket();
  const e = errorOf(s);
  assert.is(s.resetAndDestroy(), s);
  assert.is((await e).code, 'ERR_SOCKET_CLOSED');
});

test(
  'both ends agree about their addresses',
  withPair(async ({ near, far, server }, { host, from }) => {
    assert.equal([near.remoteAddress, near.remotePort, near.remoteFamily], [host, portOf(server), 'IPv4']);
    assert.equal([far.localAddress, far.localPort, far.localFamily], [host, portOf(server), 'IPv4']);
    assert.equal([near.localAddress, near.localFamily], [from, 'IPv4']);
    assert.equal([far.remoteAddress, far.remotePort], [from, near.localPort]);
    assert.equal(near.address(), { address: from, family: 'IPv4', port: near.localPort });
  }),
);

test(
  'after the end: peer’s address for who asked before, counts, but no address of one’s own',
  withPair(async ({ near, far }, { host }) => {
    assert.is(near.remoteAddress, host);
    near.write('12345');
    await once(far, 'data');
    near.destroy();
    far.destroy();
    await Promise.all([once(near, 'close'), once(far, 'close')]);
    assert.equal([near.remoteAddress, near.localAddress, near.bytesWritten], [host, undefined, 5]);
    assert.equal([far.remoteAddress, far.bytesRead], [undefined, 5]);
  }),
);

test('bad arguments are thrown, by their codes', async ({ client, host }) => {
  const to = (more: object): string | undefined =>
    codeOf(() => client.connect({ host, port: 1, ...more } as never));
  assert.equal(
    [-1, 65_536, 1.5, 'x', '', '0x10000', Number.NaN].map(port => to({ port })),
    Array(7).fill('ERR_SOCKET_BAD_PORT'),
  );
  assert.equal(
    [null, true, {}, []].map(port => to({ port })),
    Array(4).fill('ERR_INVALID_ARG_TYPE'),
  );
  assert.is(
    codeOf(() => client.connect({} as never)),
    'ERR_MISSING_ARGS',
  );
  assert.is(
    codeOf(() => (client.connect as unknown as () => void)()),
    'ERR_MISSING_ARGS',
  );
  assert.is(to({ localAddress: 'here' }), 'ERR_INVALID_IP_ADDRESS');
  assert.is(to({ localPort: '80' }), 'ERR_INVALID_ARG_TYPE');
  assert.is(to({ host: 'name.test', lookup: 'dns' }), 'ERR_INVALID_ARG_TYPE');
  assert.is(to({ keepAliveInitialDelay: 'x' }), 'ERR_INVALID_ARG_TYPE');
});

test('sockets are of bytes: object modes are refused', async ({ client }) => {
  for (const mode of ['objectMode', 'readableObjectMode', 'writableObjectMode'])
    assert.is(
      codeOf(() => new client.Socket({ [mode]: true } as never)),
      'ERR_INVALID_ARG_VALUE',
    );
});

/** A lookup that knows one name. */
const knows = (name: string, address: string, asked: string[]): LookupFunction =>
  ((hostname: string, options: { all?: boolean }, found: (...answer: unknown[]) => void) => {
    asked.push(hostname);
    const refused = Object.assign(new Error(`no ${hostname}`), { code: 'ENOTFOUND' });
    if (hostname !== name) process.nextTick(found, refused);
    else if (options.all) process.nextTick(found, null, [{ address, family: 4 }]);
    else process.nextTick(found, null, address, 4);
  }) as LookupFunction;

test('names are looked up by the function that is given, and the event tells', async place => {
  const server = await listening(place);
  const asked: string[] = [];
  const s = place.client.connect({
    host: 'peer.test',
    port: portOf(server),
    lookup: knows('peer.test', place.host, asked),
  });
  const [error, address, family, host] = await once(s, 'lookup');
  assert.equal([error, address, family, host], [null, place.host, 4, 'peer.test']);
  await once(s, 'connect');
  assert.equal(asked, ['peer.test']);
  assert.is(s.remoteAddress, place.host);
  await finish(server, s);
});

test('a name that nobody knows: the lookup’s error is the socket’s', async ({ client }) => {
  const s = client.connect({ host: 'other.test', port: 80, lookup: knows('peer.test', '', []) });
  const e = await errorOf(s);
  assert.is(e.code, 'ENOTFOUND');
  assert.is(s.connecting, false);
});

test('destroyed while a name is looked up: the answer begins nothing', async place => {
  const server = await listening(place);
  let answer: (() => void) | undefined;
  const lookup = ((_: string, o: { all?: boolean }, found: (...answer: unknown[]) => void) => {
    answer = () => (o.all ? found(null, [{ address: place.host, family: 4 }]) : found(null, place.host, 4));
  }) as LookupFunction;
  const s = place.client.connect({ host: 'slow.test', port: portOf(server), lookup });
  s.destroy();
  await once(s, 'close');
  answer!();
  await new Promise(setImmediate);
  assert.equal([s.connecting, s.destroyed], [false, true]);
  await finish(server);
});

test('localPort is where it comes from', async place => {
  const server = await listening(place);
  const probe = place.client.createServer().listen(0, place.from);
  await once(probe, 'listening');
  const localPort = portOf(probe);
  await finish(probe);
  const s = place.client.connect({
    host: place.host,
    port: portOf(server),
    localPort,
    localAddress: place.from,
  });
  const [far] = await once(server, 'connection');
  assert.equal([far.remotePort, far.remoteAddress], [localPort, place.from]);
  await finish(server, s, far);
});

test('localAddress that is nobody’s: EADDRNOTAVAIL of bind', async ({ client, host, foreign }) => {
  const s = client.connect({ host, port: 80, localAddress: foreign });
  const e = (await errorOf(s)) as NodeJS.ErrnoException & { address: string };
  assert.equal([e.code, e.syscall, e.address, e.errno], ['EADDRNOTAVAIL', 'bind', foreign, -99]);
});

test('a signal that is aborted ends the socket with AbortError, before and while it lives', async place => {
  const server = await listening(place, {}, far => far.on('error', () => {}).resume());
  const to = { host: place.host, port: portOf(server) };
  const before = place.client.connect({ ...to, signal: AbortSignal.abort() });
  const e = await errorOf(before);
  assert.equal([e.name, e.code], ['AbortError', 'ABORT_ERR']);
  const controller = new AbortController();
  const while_ = place.client.connect({ ...to, signal: controller.signal });
  await once(while_, 'connect');
  const later = errorOf(while_);
  controller.abort();
  assert.is((await later).name, 'AbortError');
  assert.is(while_.destroyed, true);
  await finish(server, before, while_);
});

test('a socket that is through connects again', async place => {
  const heard: string[] = [];
  const server = await listening(place, {}, far => {
    far.on('data', d => heard.push(String(d)));
    far.on('end', () => far.end());
  });
  const s = new place.client.Socket();
  for (const word of ['first', 'second']) {
    s.connect(portOf(server), place.host);
    await once(s, 'connect');
    s.end(word);
    s.resume();
    await once(s, 'close');
    assert.is(s.destroyed, true);
  }
  assert.equal(heard, ['first', 'second']);
  await finish(server);
});

test('options may be set before, while and after it connects, and are chained', async place => {
  const server = await listening(place);
  const s = new place.client.Socket({
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: 2000,
  } as object);
  const all = (): Socket =>
    s.setNoDelay().setNoDelay(false).setKeepAlive(true, 5000).setKeepAlive(false).setTimeout(0);
  assert.is(all(), s);
  s.connect(portOf(server), place.host);
  assert.is(all(), s);
  await once(s, 'connect');
  assert.is(all().ref().unref().ref(), s);
  await finish(server, s);
});

test('delays of keepalive that no system takes are refused by nobody: server, connect, setKeepAlive', async place => {
  for (const delay of [-5000, 1e10, 1e12, 1e300, 2 ** 31, 32_768_000, Number.NaN]) {
    const keep = { keepAlive: true, keepAliveInitialDelay: delay };
    const server = await listening(place, keep);
    const s = place.client.connect({ ...keep, port: portOf(server), host: place.host });
    await once(s, 'connect');
    assert.is(s.setKeepAlive(false).setKeepAlive(true, delay), s);
    await finish(server, s);
  }
});

engineOnly(
  'a delay of keepalive is cut to seconds; one that no system takes leaves the usual times',
  async () => {
    const secondsOf = (delay: number): unknown => {
      const keep = keepAliveOf(true, delay);
      return typeof keep === 'object' ? keep.idleMs! / 1000 : keep;
    };
    assert.equal([999, 1000, 5999, 32_767_999, 32_768_000, -5000, 1e12, 1e300].map(secondsOf), [
      true,
      1,
      5,
      32_767,
      true,
      true,
      true,
      true,
    ]);
    assert.is(keepAliveOf(false, 5000), false);
  },
);

const FROM_CONNECT = ['connectionAttempt', 'connect', 'ready', 'error', 'close'];

test('connect twice at a time: EALREADY, the socket closes, and nothing stays open', async place => {
  const { client, host } = place;
  for (const later of [false, true]) {
    const server = await listening(place, {}, far => void far.on('error', () => {}).resume());
    const s = client.connect(portOf(server), host);
    const told = recorded(s, FROM_CONNECT);
    if (later) await new Promise(next => process.nextTick(process.nextTick, next));
    const error = errorOf(s);
    s.connect(portOf(server), host);
    assert.is(s.readyState, 'opening');
    const { code, syscall, address, port } = (await error) as NodeJS.ErrnoException & Partial<AddressInfo>;
    assert.equal([code, syscall, address, port], ['EALREADY', 'connect', host, portOf(server)]);
    await until('close', () => told.includes('close true'));
    assert.equal(told, ['connectionAttempt', 'connectionAttempt', 'error', 'close true']);
    // Also at the other end.
    await finish(server, s);
  }
});

test('connect of one that is connected: it stays so, is told so once, and is EISCONN from then on', async place => {
  const server = await listening(place, {}, far => far.on('error', () => {}).pipe(far));
  const [port, wrong] = [portOf(server), 1];
  const s = place.client.connect(port, place.host);
  await once(s, 'connect');
  const { localPort } = s;
  const told = recorded(s, FROM_CONNECT);
  let text = '';
  s.on('data', d => (text += d));
  s.connect(wrong, place.host);
  assert.equal([s.connecting, s.readyState], [true, 'opening']);
  s.write('x');
  await until('its echo', () => text === 'x');
  assert.equal([s.remotePort, s.localPort, s.readyState], [port, localPort, 'open']);
  assert.equal(told.splice(0), ['connectionAttempt', 'connect', 'ready']);
  const error = errorOf(s);
  s.connect(wrong, place.host);
  assert.is((await error).code, 'EISCONN');
  await until('close', () => told.includes('close true'));
  assert.equal(told, ['connectionAttempt', 'error', 'close true']);
  await finish(server, s);
});

test('connect of one that a server took: EISCONN, and it closes; then it connects as any other', async place => {
  const server = await listening(place);
  const near = place.client.connect(portOf(server), place.host);
  const [far] = await heard<[Socket]>(server, 'connection');
  const other = await listening({ ...place, server: place.client, host: place.from });
  const error = errorOf(far);
  far.connect(portOf(other), place.from);
  assert.is((await error).code, 'EISCONN');
  if (!far.closed) await heard(far, 'close');
  far.connect(portOf(other), place.from);
  await once(far, 'connect');
  await finish(server, near);
  await finish(other, far);
});

end();
