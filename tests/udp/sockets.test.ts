/** Sockets of two stacks with a wire between: who hears what, ports, batches, and lanes that hand over, die, or are given up. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramSocket } from '../../host/net/burst/datagram_socket.js';
import type { DatagramNews } from '../../host/net/burst/datagrams.js';
import { HostNic } from '../../host/nic/index.js';
import { udp } from '../../host/transports/udp/index.js';
import { AT, type Host, until, wired } from '../stack/rig.js';
import { handMade, udpFrame } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('udp: sockets');

const text = (d: Datagram): string => Buffer.from(d.data).toString();
/** What a call is refused for. */
function refusal(call: () => unknown): string {
  try {
    call();
    return 'none';
  } catch (error) {
    const { errno, code } = error as { errno?: string; code: string };
    return errno ?? code;
  }
}

for (const family of [4, 6] as const)
  test(`IPv${family}: a datagram and its answer`, () =>
    wired(async ({ a, b }) => {
      const server = b.stack.burst.bind({ port: 53 });
      const client = a.stack.burst.bind();
      const got: Datagram[] = [];
      assert.ok(client.send(Buffer.from('ping'), client.peer(AT.b[family], 53)));
      await until([a, b], () => server.readable);
      assert.is(server.receive(got), 1);
      assert.is(text(got[0]), 'ping');
      assert.equal([got[0].address, got[0].port], [AT.a[family], client.port]);
      assert.ok(server.send(Buffer.from('pong'), got[0]));
      await until([a, b], () => client.readable);
      assert.is(client.receive(got), 1);
      assert.is(text(got[0]), 'pong');
    }));

test('a batch goes out with one call and comes in with one, in order; its objects are used again', () =>
  wired(async ({ a, b }) => {
    const server = b.stack.burst.bind({ port: 53 });
    const client = a.stack.burst.bind();
    client.connect(AT.b[4], 53);
    const list = Array.from({ length: 40 }, (_, i) => ({ data: Buffer.from(`message ${i}`) }));
    const got: Datagram[] = [];
    for (let round = 0; round < 3; round++) {
      assert.is(client.sendAll(list), 40);
      const heard: string[] = [];
      const first = got[0];
      await until([a, b], () => {
        for (let n = server.receive(got); n > 0; n = server.receive(got))
          for (const d of got.slice(0, n)) heard.push(text(d));
        return heard.length === 40;
      });
      assert.equal(
        heard,
        list.map(({ data }) => `${data}`),
      );
      if (round > 0) assert.is(got[0], first);
    }
  }));

test('a send ring that is full takes no more; news of room follow, and all arrives', () =>
  wired(async ({ a, b }) => {
    const server = b.stack.burst.bind({ port: 53 });
    const client = a.stack.burst.bind({ sendBuffer: 4096 });
    client.connect(AT.b[4], 53);
    const news: DatagramNews[] = [];
    const got: Datagram[] = [];
    // While the neighbour is asked for the ring empties into the lane's slots.
    client.send(Buffer.alloc(500));
    await until([a, b], () => server.receive(got) === 1);
    server.receive(got);
    let sent = 0;
    let heard = 0;
    let full = 0;
    let writable = true;
    await until([a, b], () => {
      const n = a.stack.burst.news(news);
      for (const e of news.slice(0, n)) if (e.socket === client && e.writable) writable = true;
      while (writable && sent < 300) {
        if (client.send(Buffer.alloc(500, sent))) sent++;
        else {
          writable = false;
          full++;
        }
      }
      for (let k = server.receive(got); k > 0; k = server.receive(got)) heard += k;
      return heard === 300;
    });
    assert.ok(full > 10, `${full}`);
    assert.is(client.queued, 0);
  }));

test('ports: one socket each, by address and family; ephemeral ones are found; closed ones are free at once', () =>
  wired(async ({ b }) => {
    const { burst } = b.stack;
    const any = burst.bind({ port: 53 });
    assert.is(
      refusal(() => burst.bind({ port: 53, family: 4 })),
      'EADDRINUSE',
    );
    assert.is(
      refusal(() => burst.bind({ port: 53, address: AT.b[6] })),
      'EADDRINUSE',
    );
    any.close();
    const four = burst.bind({ port: 53, family: 4 });
    const six = burst.bind({ port: 53, family: 6 });
    assert.is(
      refusal(() => burst.bind({ port: 53 })),
      'EADDRINUSE',
    );
    four.close();
    six.close();
    const one = burst.bind({ port: 53, address: AT.b[4] });
    const other = burst.bind({ port: 53, address: AT.b[6] });
    assert.is(
      refusal(() => burst.bind({ port: 53, address: AT.b[4] })),
      'EADDRINUSE',
    );
    assert.is(
      refusal(() => one.send(Buffer.from('x'), one.peer(AT.a[6], 9))),
      'EAFNOSUPPORT',
    );
    assert.is(
      refusal(() => one.send(Buffer.from('x'))),
      'ENOTCONN',
    );
    assert.is(
      refusal(() => burst.bind({ address: AT.a[4] })),
      'EADDRNOTAVAIL',
    );
    assert.is(
      refusal(() => burst.bind({ port: -1 })),
      'ERR_STACK_OPTIONS',
    );
    assert.is(
      refusal(() => burst.bind({ ports: 1 } as never)),
      'ERR_STACK_OPTIONS',
    );
    assert.is(
      refusal(() => one.connect('192.0.2.1', 9)),
      'ENETUNREACH',
    );
    const ports = new Set(Array.from({ length: 20 }, () => burst.bind().port));
    assert.is(ports.size, 20);
    other.close();
    assert.is(
      refusal(() => other.send(Buffer.from('x'), one.peer(AT.a[6], 9))),
      'ERR_STACK_CLOSED',
    );
  }));

test('as many sockets as udp({ sockets }) says, and without a transport of datagrams none', () =>
  wired(
    async ({ a, b }) => {
      const two = [b.stack.burst.bind(), b.stack.burst.bind()];
      assert.is(
        refusal(() => b.stack.burst.bind()),
        'ERR_STACK_SOCKETS',
      );
      two[0].close();
      b.stack.burst.bind();
      assert.is(
        refusal(() => a.stack.burst.bind()),
        'ERR_STACK_DATAGRAMS',
      );
    },
    { a: { datagrams: false }, b: { datagrams: udp({ sockets: 2 }) } },
  ));

test('a connected socket hears its peer only; the same port of another peer is nobody’s', () =>
  wired(async ({ a, b }) => {
    const server = b.stack.burst.bind({ port: 53 });
    const [friend, stranger] = [a.stack.burst.bind(), a.stack.burst.bind()];
    server.connect(AT.a[4], friend.port);
    assert.equal([server.address, server.remote], [AT.b[4], { address: AT.a[4], port: friend.port }]);
    assert.is(
      refusal(() => server.connect(AT.a[4], 1)),
      'EISCONN',
    );
    stranger.send(Buffer.from('no'), stranger.peer(AT.b[4], 53));
    friend.send(Buffer.from('yes'), friend.peer(AT.b[4], 53));
    await until([a, b], () => server.readable);
    const got: Datagram[] = [];
    assert.equal([server.receive(got), text(got[0])], [1, 'yes']);
    server.disconnect();
    assert.is(
      refusal(() => server.disconnect()),
      'ENOTCONN',
    );
    stranger.send(Buffer.from('now'), stranger.peer(AT.b[4], 53));
    await until([a, b], () => server.readable);
    assert.equal([server.receive(got), text(got[0])], [1, 'now']);
    assert.is(b.stack.counters('datagrams').NoPorts, 1);
  }));

test('an address that the stack gets is heard at, one that it loses is not', () =>
  wired(async ({ a, b }) => {
    b.stack.addAddress('wire.b', { address: '10.0.0.22/24', dad: false });
    const server = b.stack.burst.bind({ port: 53 });
    const client = a.stack.burst.bind();
    const to = client.peer('10.0.0.22', 53);
    client.send(Buffer.from('x'), to);
    await until([a, b], () => server.readable);
    server.receive([]);
    server.done();
    b.stack.removeAddress('wire.b', '10.0.0.22');
    client.send(Buffer.from('x'), to);
    await a.stack.burst.wait(50);
    assert.is(server.readable, false);
  }));

// ── lanes ───────────────────────────────────────────────────────────────────────────────────────────────────────

const LANES = { inline: false, clock: 'real', lanes: 2 } as const;

/** Every client sends numbers, the server says them again; each number is sent until it comes back. */
class Dialogue {
  readonly #batch: Datagram[] = [];
  readonly clients: { socket: DatagramSocket; next: number; at: number }[];
  doubled = 0;

  constructor(
    readonly server: DatagramSocket,
    sockets: DatagramSocket[],
    readonly to: string,
    readonly count: number,
  ) {
    this.clients = sockets.map(socket => ({ socket, next: 0, at: 0 }));
  }

  turn(): void {
    const batch = this.#batch;
    for (let n = this.server.receive(batch); n > 0; n = this.server.receive(batch))
      for (let i = 0; i < n; i++) this.server.send(batch[i].data, batch[i]);
    for (const c of this.clients) {
      for (let n = c.socket.receive(batch); n > 0; n = c.socket.receive(batch))
        for (const d of batch.slice(0, n)) {
          if (Number(text(d)) !== c.next) continue;
          c.next++;
          c.at = 0;
        }
      // What a lane that died had in hand is lost: it is said again.
      if (c.next < this.count && performance.now() - c.at > 20) {
        if (c.socket.closed) continue;
        c.socket.send(Buffer.from(`${c.next}`), c.socket.peer(this.to, this.server.port));
        c.at = performance.now();
      }
    }
  }

  get done(): boolean {
    return this.clients.every(c => c.next >= this.count);
  }
}

test(
  'two lanes: datagrams that come in at the other lane are handed over, and so are errors',
  () =>
    wired(
      async ({ a, b }) => {
        const servers = [0, 1].map(lane => b.stack.burst.bind({ port: 53 + lane, lane }));
        const clients = Array.from({ length: 16 }, (_, i) => a.stack.burst.bind({ lane: i & 1 }));
        for (const server of servers) {
          const d = new Dialogue(server, clients, AT.b[server.port & 1 ? 4 : 6], 50);
          await until([a, b], () => {
            d.turn();
            return d.done;
          });
        }
        assert.ok((b.stack.counters('datagrams').OtherLane ?? 0) > 0);
        const news: DatagramNews[] = [];
        const refused = new Set<DatagramSocket>();
        for (const c of clients) c.connect(AT.b[4], 99);
        await until([a, b], () => {
          for (const c of clients) if (!refused.has(c)) c.send(Buffer.from('?'));
          for (const e of news.slice(0, a.stack.burst.news(news)))
            if (e.error === 'ECONNREFUSED') refused.add(e.socket);
          return refused.size === clients.length;
        });
      },
      { engine: LANES },
    ),
  { timeoutMs: 60_000 },
);

test(
  'two lanes killed in turn: sockets go on, every question is answered in the end, no frame is lost',
  () =>
    wired(
      async ({ a, b, engine }) => {
        const servers = [0, 1].map(lane => b.stack.burst.bind({ port: 53 + lane, lane }));
        const hosts: Host[] = [a, b];
        const dialogues = servers.map(
          s =>
            new Dialogue(
              s,
              Array.from({ length: 4 }, (_, i) => a.stack.burst.bind({ lane: i & 1 })),
              AT.b[4],
              400,
            ),
        );
        const said = (): number =>
          dialogues.reduce((sum, d) => sum + d.clients.reduce((n, c) => n + c.next, 0), 0);
        const goOn = (done: () => boolean): Promise<void> =>
          until(
            hosts,
            () => {
              for (const d of dialogues) d.turn();
              return done();
            },
            30_000,
          );
        for (let kill = 1; kill <= 4; kill++) {
          await goOn(() => said() >= kill * 500);
          engine.killLane(kill & 1);
        }
        await goOn(() => dialogues.every(d => d.done));
        await engine.settled();
        assert.is(engine.crashes.length, 4);
      },
      { engine: LANES },
    ),
  { timeoutMs: 90_000 },
);

test(
  'a lane that is given up: its sockets are told ENETDOWN and close, their ports are free, nobody else is told',
  () => {
    const killer = new HostNic({ name: 'killer' });
    return wired(
      async ({ a, b, engine }) => {
        // Traps on what comes in by queue 1: rx_queue_index of struct xdp_md.
        const body =
          '(if (i32.eq (i32.load offset=16 (local.get 0)) (i32.const 1)) (then unreachable)) i64.const 1';
        engine.attach(await engine.load(handMade(body, { name: 'trap' })), 'killer');
        const [kept, lost] = [0, 1].map(lane => b.stack.burst.bind({ port: 53 + lane, lane }));
        const news: DatagramNews[] = [];
        const told: { socket: DatagramSocket; error: string | undefined }[] = [];
        const failed = new Promise(done => engine.once('failed', done));
        for (let flow = 0; flow < 64; flow++) killer.send(udpFrame(flow));
        await failed;
        assert.equal(engine.lostLanes, [1]);
        await until([a, b], () => {
          for (const e of news.slice(0, b.stack.burst.news(news)))
            if (e.closed) told.push({ socket: e.socket, error: e.error });
          return told.length > 0;
        });
        assert.is(told.length, 1);
        assert.ok(told[0].socket === lost && lost.closed);
        assert.is(told[0].error, 'ENETDOWN');
        lost.close();
        assert.is(
          refusal(() => b.stack.burst.bind({ port: 54, lane: 1 })),
          'ENETDOWN',
        );
        b.stack.burst.bind({ port: 54 }).close();
        assert.is(kept.closed, false);
      },
      { engine: { ...LANES, restarts: 0 }, nics: [killer] },
    );
  },
  { timeoutMs: 60_000 },
);
