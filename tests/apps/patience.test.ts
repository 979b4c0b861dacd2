/** Peers that take their time: each level is done with them when its patience ends, and serves the others meanwhile. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import net from 'node:net';
import { KvStore } from '../../host/apps/kv/store.js';
import { LEVELS, type Net, type Served, serve, serveDuplex } from '../../host/apps/levels.js';
import type { Limits } from '../../host/apps/patience.js';
import { limitsOf, type ServiceSpec } from '../../host/apps/specs.js';
import { assert, suite } from '../support/suite.js';
import { closeHosts, hosts, SERVER, until } from './rig.js';

const test = suite('apps: patience');

/** What a peer can be late with, and how long it may be, ms. */
const MS = 250;
/** No level may take longer to notice: a look is a quarter of the limit away, and the machine is shared. */
const LATE_MS = 5000;

const APPS: Record<ServiceSpec['app'], (limits: Partial<Limits>) => ServiceSpec> = {
  echo: limits => ({ app: 'echo', limits }),
  http: limits => ({ app: 'http', limits }),
  kv: limits => ({ app: 'kv', memory: KvStore.create({ items: 100, bytes: 1 << 20 }, true), limits }),
};

const GET = 'GET / HTTP/1.1\r\nHost: peer\r\n\r\n';
/** memcached's noop: a header of 24 bytes. */
const NOOP = Buffer.from(Uint8Array.from({ length: 24 }, (_, i) => (i === 0 ? 0x80 : i === 1 ? 0x0a : 0)));

type Dial = (options?: object) => net.Socket;

/** A peer with what it heard, and how it ended. */
class Peer {
  heard = '';
  bytes = 0;
  ended = false;
  closed = false;
  code: string | undefined;
  readonly since = performance.now();

  constructor(readonly socket: net.Socket) {
    socket.on('data', (d: Buffer) => {
      this.heard += d.toString('latin1');
      this.bytes += d.length;
    });
    socket.on('end', () => (this.ended = true));
    socket.on('close', () => (this.closed = true));
    socket.on('error', (e: NodeJS.ErrnoException) => (this.code = e.code));
  }

  get over(): boolean {
    return this.ended || this.closed;
  }

  /** That it was told this, or what else became of it. */
  heardFirst(what: RegExp): void {
    const { heard, ended, closed, code } = this;
    assert.match(
      heard,
      what,
      JSON.stringify({ heard, ended, closed, code, ms: performance.now() - this.since }),
    );
  }

  /** Says `text` a byte at a time, again and again, until it is done with. */
  async drip(text: string | Buffer, everyMs = 20): Promise<void> {
    const bytes = Buffer.from(text);
    for (let i = 0; !this.over; i = (i + 1) % bytes.length) {
      if (this.socket.writable) this.socket.write(bytes.subarray(i, i + 1));
      await new Promise(next => setTimeout(next, everyMs));
      assert.ok(performance.now() - this.since < LATE_MS, 'it is not done with');
    }
  }

  async waitsForEnd(least: number): Promise<void> {
    await until('it is done with', () => this.over, LATE_MS);
    const ms = performance.now() - this.since;
    assert.ok(ms >= least, `already after ${ms} ms`);
  }
}

interface Place {
  served: Served;
  dial: Dial;
}

const claim = (
  what: string,
  app: ServiceSpec['app'],
  limits: Partial<Limits>,
  body: (place: Place) => Promise<void>,
): void => {
  for (const level of LEVELS)
    test(`${app}, ${level}: ${what}`, async () => {
      const { client, server } = await hosts();
      const served = await serve(server, level, APPS[app](limits), { port: 0 }, [1]);
      const dial = (options: object = {}): net.Socket =>
        client.net.connect({ host: SERVER, port: served.port, ...options }) as unknown as net.Socket;
      try {
        await body({ served, dial });
      } finally {
        await served.close();
      }
    });
  test(`${app}, Node's net: ${what}`, async () => {
    const served = await serveDuplex(net as unknown as Net, APPS[app](limits), {
      ...{ port: 0, address: '127.0.0.1' },
    });
    try {
      await body({
        served,
        dial: (options = {}) => net.connect({ port: served.port, host: '127.0.0.1', ...options }),
      });
    } finally {
      await served.close();
    }
  });
};

/** What ends a connection that has served its purpose. */
async function leave(...peers: Peer[]): Promise<void> {
  for (const { socket } of peers) socket.destroy();
  await until('they are closed', () => peers.every(p => p.closed));
}

claim(
  'a head that drips is answered by 408 and ended; who asks at once is served meanwhile',
  'http',
  { headMs: MS },
  async ({ dial }) => {
    const slow = new Peer(dial());
    const good = new Peer(dial());
    const dripping = slow.drip(
      'GET / HTTP/1.1\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa',
    );
    let asked = 0;
    while (!slow.over) {
      good.socket.write(GET);
      asked++;
      await until('it is answered', () => good.heard.split('Hello').length - 1 === asked || good.over);
      assert.not(good.over, 'who asks is not done with');
      await new Promise(next => setTimeout(next, 30));
    }
    await dripping;
    slow.heardFirst(/^HTTP\/1.1 408 /);
    assert.ok(performance.now() - slow.since >= MS);
    await leave(slow, good);
  },
);

claim('who connects and says nothing is done with', 'http', { headMs: MS }, async ({ dial }) => {
  const silent = new Peer(dial());
  await silent.waitsForEnd(MS);
  await leave(silent);
});

claim('a body that drips is ended', 'http', { headMs: MS, bodyMs: MS }, async ({ dial }) => {
  const slow = new Peer(dial());
  slow.socket.write('POST / HTTP/1.1\r\nHost: peer\r\nContent-Length: 100000\r\n\r\n');
  await slow.drip('x');
  assert.ok(performance.now() - slow.since >= MS);
  await leave(slow);
});

claim(
  'a connection that asks nothing more is ended, without a word',
  'http',
  { idleMs: MS },
  async ({ dial }) => {
    const idle = new Peer(dial());
    idle.socket.write(GET);
    await idle.waitsForEnd(MS);
    assert.is(idle.heard.split('HTTP/1.1').length - 1, 1);
    await leave(idle);
  },
);

claim('a request that drips is ended; whole ones are answered', 'kv', { headMs: MS }, async ({ dial }) => {
  const slow = new Peer(dial());
  const good = new Peer(dial());
  const dripping = slow.drip(Buffer.concat([Buffer.from([0x80, 0x00, 0x00, 0x80]), Buffer.alloc(10_000)]));
  for (let asked = 1; !slow.over; asked++) {
    good.socket.write(NOOP);
    await until('it is answered', () => good.bytes === 24 * asked || good.over);
    assert.not(good.over, 'who asks is not done with');
    await new Promise(next => setTimeout(next, 30));
  }
  await dripping;
  assert.ok(performance.now() - slow.since >= MS);
  await leave(slow, good);
});

for (const app of ['echo', 'kv'] as const)
  claim('who says nothing is done with, who speaks is not', app, { idleMs: MS }, async ({ dial }) => {
    const [silent, good] = [new Peer(dial()), new Peer(dial())];
    while (!silent.over) {
      good.socket.write(NOOP);
      await new Promise(next => setTimeout(next, 30));
      assert.ok(performance.now() - silent.since < LATE_MS, 'it is not done with');
    }
    assert.not(good.over);
    await silent.waitsForEnd(MS);
    await leave(silent, good);
  });

claim('who takes no answers is reset', 'echo', { stallMs: MS, lingerMs: MS }, async ({ dial }) => {
  const deaf = dial();
  const peer = new Peer(deaf);
  deaf.pause();
  await once(deaf, 'connect');
  const more = (error?: Error | null): void => {
    if (!error) deaf.write(Buffer.alloc(256 << 10), more);
  };
  more();
  await until('it is reset', () => peer.code !== undefined, LATE_MS);
  assert.ok(['ECONNRESET', 'EPIPE'].includes(peer.code!), peer.code);
  await leave(peer);
});

claim('who does not end when it was told to is reset', 'kv', { lingerMs: MS }, async ({ dial }) => {
  const peer = new Peer(dial({ allowHalfOpen: true }));
  // A byte that begins no request: there is nothing more to say to each other.
  peer.socket.write(Buffer.alloc(24, 1));
  await until('it is told', () => peer.ended);
  for (let i = 0; peer.code === undefined; i++) {
    peer.socket.write('more');
    await new Promise(next => setTimeout(next, 20));
    assert.ok(i < LATE_MS / 20, 'it is not reset');
  }
  assert.ok(['ECONNRESET', 'EPIPE'].includes(peer.code!), peer.code);
  await leave(peer);
});

for (const app of ['echo', 'http', 'kv'] as const)
  claim(
    'of three at a time the third is turned away, until one leaves',
    app,
    { connections: 2 },
    async ({ dial }) => {
      const words = app === 'http' ? GET : NOOP;
      const served = async (): Promise<Peer | undefined> => {
        const peer = new Peer(dial());
        peer.socket.write(words);
        await until('it is answered or ended', () => peer.bytes > 0 || peer.over);
        return peer.bytes > 0 ? peer : undefined;
      };
      const [one, two] = [await served(), await served()];
      assert.ok(one && two);
      assert.is(await served(), undefined);
      await leave(one);
      let three: Peer | undefined;
      for (let i = 0; !three && i < 100; i++) {
        three = await served();
        await new Promise(next => setTimeout(next, 10));
      }
      assert.ok(three, 'there is room again');
      await leave(two, three);
    },
  );

test('limits are those of Node for HTTP, and what is no limit is refused', () => {
  const { headersTimeout, keepAliveTimeout } = createServer();
  const { headMs, idleMs } = limitsOf({ app: 'http' });
  assert.equal([headMs, idleMs], [headersTimeout, keepAliveTimeout]);
  for (const limits of [{ idleMs: -1 }, { headMs: 'soon' }, { patience: 1 }])
    assert.throws(
      () => limitsOf({ app: 'echo', limits } as never),
      (e: { code: string }) => e.code === 'ERR_APP_OPTIONS',
    );
});

test('the hosts close, and leave no stream, no memory and no frame', closeHosts);
