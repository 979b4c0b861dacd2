/** Transports that a stack is given while it runs, and that are taken out again: sockets by name, in this thread and others. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramNews } from '../../host/net/burst/datagrams.js';
import { StackApp } from '../../host/net/burst/stack_app.js';
import { tcp } from '../../host/transports/tcp/index.js';
import { udp } from '../../host/transports/udp/index.js';
import { AT, errnoOf, until, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { windowTransport } from './rig.js';

const test = suite('own: load');

const none = { a: { datagrams: false }, b: { datagrams: false } } as const;

test('a transport is loaded, used by its name, closed, and loaded again', () =>
  wired(async ({ a, b }) => {
    for (let round = 0; round < 3; round++) {
      const [at, bt] = [await a.stack.load(udp()), await b.stack.load(udp())];
      const server = b.stack.burst.bind({ port: 53, transport: 'udp' });
      const client = a.stack.burst.bind({ transport: 'udp' });
      assert.ok(client.send(Buffer.from('ping'), client.peer(AT.b[4], 53)));
      await until([a, b], () => server.readable);
      const got: Datagram[] = [];
      assert.is(server.receive(got), 1);
      assert.is(Buffer.from(got[0].data).toString(), 'ping');
      assert.is(bt.counters().InDatagrams, 1);
      await at.close();
      await bt.close();
      assert.ok(server.closed && client.closed);
      assert.is(
        errnoOf(() => b.stack.burst.bind({ transport: 'udp' })),
        'ERR_STACK_DATAGRAMS',
      );
    }
  }, none));

test('names and protocols are one transport’s each; of connections a stack has one', () =>
  wired(
    async ({ a, b }) => {
      const code = async (loading: Promise<unknown>): Promise<string> =>
        loading.then(
          () => 'none',
          e => (e as { code: string }).code,
        );
      assert.is(await code(a.stack.load(udp())), 'ERR_STACK_TRANSPORT');
      assert.is(await code(a.stack.load(tcp())), 'ERR_STACK_TRANSPORT');
      const renamed = Object.create(udp(), { name: { value: 'other' } });
      assert.is(await code(a.stack.load(renamed)), 'ERR_STACK_TRANSPORT');
      // Neither is what was refused in the way of anything.
      const handle = await b.stack.load(udp());
      assert.is(await code(b.stack.load(udp())), 'ERR_STACK_TRANSPORT');
      await handle.close();
      await handle.close();
      await b.stack.close();
      assert.is(await code(b.stack.load(udp())), 'ERR_STACK_CLOSED');
    },
    { b: { datagrams: false } },
  ));

test('what was sent before a transport is closed goes out; connections of TCP go on meanwhile', () =>
  wired(async ({ a, b }) => {
    const [at] = [await a.stack.load(udp()), await b.stack.load(udp())];
    b.onAccept = c => e => {
      if (e.readable) c.write(into.subarray(0, c.read(into)));
    };
    const into = new Uint8Array(4096);
    b.stack.burst.listen({ port: 7 });
    let echoed = 0;
    const echo = a.connect({ host: AT.b[4], port: 7 }, e => {
      if (e.connected || e.readable) {
        echoed += echo.read(into);
        echo.write(new Uint8Array(1000));
      }
    });
    await until([a, b], () => echoed > 10_000);
    const server = b.stack.burst.bind({ port: 53, transport: 'udp' });
    const client = a.stack.burst.bind({ transport: 'udp' });
    for (let i = 0; i < 20; i++) assert.ok(client.send(Buffer.from(`${i}`), client.peer(AT.b[4], 53)));
    await at.close();
    const before = echoed;
    const heard: string[] = [];
    const got: Datagram[] = [];
    await until([a, b], () => {
      for (let n = server.receive(got); n > 0; n = server.receive(got))
        for (const d of got.slice(0, n)) heard.push(Buffer.from(d.data).toString());
      return echoed > before + 10_000;
    });
    assert.equal(
      heard,
      Array.from({ length: 20 }, (_, i) => `${i}`),
    );
    assert.is(a.stack.counters().RetransSegs, undefined);
  }, none));

test('another thread binds by name what was loaded after its ticket, and hears that it is closed', () =>
  wired(async ({ a, b }) => {
    // A ticket in this thread: what differs from a worker is only where the messages are handled.
    const app = StackApp.attach(a.stack.openApp());
    const binding = (transport: string) => app.bind({ port: 9, transport }).catch(e => e.code as string);
    assert.is(await binding('udp'), 'ERR_STACK_DATAGRAMS');
    for (let round = 0; round < 2; round++) {
      const [at, bt] = [await a.stack.load(udp()), await b.stack.load(udp())];
      const server = await app.bind({ port: 9, transport: 'udp' });
      const client = b.stack.burst.bind({ transport: 'udp' });
      client.send(Buffer.from('to a thread'), client.peer(AT.a[4], 9));
      await until([a, b], () => server.readable);
      const got: Datagram[] = [];
      assert.is(server.receive(got), 1);
      assert.is(got[0].address, AT.b[4]);
      await at.close();
      app.poll([]);
      const news: DatagramNews[] = [];
      const n = app.news(news);
      assert.ok(n === 1 && news[0].closed && news[0].socket === server && server.closed);
      server.close();
      await bt.close();
    }
    await app.close();
  }, none));

test('a transport that carries calls is not taken out before their RPC ends', () =>
  wired(async ({ a, b }) => {
    const [at, bt] = [await a.stack.load(windowTransport()), await b.stack.load(windowTransport())];
    const [caller, callee] = [
      await a.stack.rpc({ carrier: 'tcp' }),
      await b.stack.rpc({ carrier: 'window' }),
    ];
    await callee.serve({ port: 700 }, request => request);
    caller.use('window');
    assert.is(String(await caller.call({ address: AT.b[4], port: 700 }, 'x')), 'x');
    for (const handle of [at, bt]) {
      const refused = await handle.close().then(
        () => undefined,
        (error: { code: string; message: string }) => error,
      );
      assert.is(refused?.code, 'ERR_STACK_TRANSPORT');
      assert.match(refused!.message, /"window" carries calls of an RPC/);
    }
    await caller.close();
    await callee.close();
    await at.close();
    await bt.close();
  }, none));
