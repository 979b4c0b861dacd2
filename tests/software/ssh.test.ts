/** ssh2, as it comes: client and server of a binary protocol on sockets of a stack. */
import { once } from 'node:events';
import type { Server, Socket } from 'node:net';
import { both, type Place } from '../sockets/hosts.js';
import { finish, gather, heard, listening, portOf } from '../sockets/pairs.js';
import { pattern, sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';
import { makeServer, NOWHERE, run } from './ssh_ends.js';
import { type Channel, missingSsh2, type SshClient, ssh2 } from './ssh2.js';

const { test, end } = both('software: ssh2');
const needs = { missing: missingSsh2 };

/** A server that knows one password. */
async function sshServer(place: Place): Promise<Server> {
  const server = makeServer(ctx => ctx.method === 'password' && ctx.password === 'secret');
  return listening(place, {}, s => server.injectSocket(s));
}

const raw = (place: Place, server: Server): Socket => place.client.connect(portOf(server), place.host);

/** A client that is let in. */
async function enter(sock: Socket, password = 'secret'): Promise<SshClient> {
  const c = new ssh2.Client();
  const ready = once(c, 'ready');
  c.connect({ sock, username: 'weaver', password });
  await ready;
  return c;
}

/** Does something with a client that is let in; afterwards both ends are closed. */
const withSsh = (work: (c: SshClient, sock: Socket) => Promise<void>) => async (place: Place) => {
  const server = await sshServer(place);
  const sock = raw(place, server);
  const c = await enter(sock);
  await work(c, sock);
  if (!sock.destroyed) {
    const closed = heard(sock, 'close');
    c.end();
    await closed;
  }
  await finish(server);
};

test(
  'two megabytes through a command and back, encrypted, come back as they were',
  withSsh(async c => {
    const data = pattern(2_000_000, 9);
    const { out, code } = await run(c, 'cat', data);
    assert.equal([sha(out), code], [sha(data), 0]);
  }),
  needs,
);

test(
  'a command that is not there: its words on the error stream, its code at the end',
  withSsh(async c => {
    const { out, err, code } = await run(c, 'weave');
    assert.equal([out.length, err, code], [0, 'weave: no such thing', 127]);
  }),
  needs,
);

test(
  'twenty channels at a time in one connection do not mix; a forward that is refused says so',
  withSsh(async c => {
    const forward = (host: string): Promise<Channel> =>
      new Promise((done, fail) => c.forwardOut('here', 1, host, 80, (e, ch) => (e ? fail(e) : done(ch))));
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const data = pattern(60_000, i);
        if (i % 2) return assert.is(sha((await run(c, 'cat', data)).out), sha(data));
        const channel = await forward('there.test');
        const back = gather(channel);
        channel.end(data);
        assert.is(sha(await back), sha(data));
      }),
    );
    const refused = await forward(NOWHERE).catch((e: Error) => e.message);
    assert.match(refused as string, /Channel open failure/);
  }),
  needs,
);

test(
  'a wrong password is an error of authentication, and the connection ends',
  async place => {
    const server = await sshServer(place);
    const sock = raw(place, server);
    const c = new ssh2.Client();
    const told = heard<[Error & { level: string }]>(c, 'error');
    const closed = heard(c, 'close');
    c.connect({ sock, username: 'weaver', password: 'guess' });
    const [e] = await told;
    assert.is(e.level, 'client-authentication');
    await closed;
    await finish(server, sock);
  },
  needs,
);

test(
  'a server that leaves ends the client; one that is cut off makes ECONNRESET',
  async place => {
    const server = await sshServer(place);
    const polite = await enter(raw(place, server));
    const left = heard(polite, 'close');
    polite.exec('leave', () => {});
    await left;
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    const cut = await enter(raw(place, server));
    const told = heard<[NodeJS.ErrnoException]>(cut, 'error');
    const closed = heard(cut, 'close');
    (await accepted)[0].resetAndDestroy();
    assert.is((await told)[0].code, 'ECONNRESET');
    await closed;
    await finish(server);
  },
  needs,
);

end();
