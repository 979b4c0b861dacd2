/** Applications in threads of their own: their connections are theirs, and end with them. */
import { Worker } from 'node:worker_threads';
import { StackApp } from '../../host/net/burst/stack_app.js';
import type { Stack } from '../../host/net/stack.js';
import { StreamApp } from '../../host/streams/stream_app.js';
import { streamCounters } from '../../host/streams/stream_apps.js';
import type { ConnectionOptions } from '../../host/transports/tcp/index.js';
import { assert, suite } from '../support/suite.js';
import type { Order, Told } from './app_worker.js';
import { AT, type E, echo, type Host, pattern, Sender, sha, until, wired } from './rig.js';

const test = suite('stack: applications');
/** Workers compile the source first. */
const LIMIT = { timeoutMs: 40_000 };
const REAL = { engine: { inline: false, clock: 'real', lanes: 2, warmMs: 0 } } as const;

/** A worker that is an application of a stack. */
class Thread {
  readonly told: Told[] = [];

  private constructor(
    readonly worker: Worker,
    readonly number: number,
  ) {
    worker.on('message', (t: Told) => this.told.push(t));
    worker.on('error', e => this.told.push({ refused: e.message }));
  }

  static of(stack: Stack): Thread {
    const ticket = stack.openApp();
    // A thread does not inherit what lets this one read TypeScript.
    const worker = new Worker(
      `const { workerData } = require('node:worker_threads');
       import('tsx/esm/api').then(tsx => { tsx.register(); return import(workerData.file); });`,
      {
        eval: true,
        workerData: { ticket, file: new URL('app_worker.ts', import.meta.url).href },
        transferList: [ticket.port],
      },
    );
    return new Thread(worker, ticket.number);
  }

  order(order: Order): void {
    this.worker.postMessage(order);
  }

  /** What it said of that kind, first to last. */
  all<K extends string>(key: K): unknown[] {
    return this.told.flatMap(t => (key in t ? [(t as Record<string, unknown>)[key]] : []));
  }
}

const say = (hosts: readonly Host[], thread: Thread, key: string, times = 1): Promise<void> =>
  until(
    hosts,
    () => {
      const bad = thread.all('refused');
      if (bad.length && key !== 'refused') throw new Error(`${bad[0]}`);
      return thread.all(key).length >= times;
    },
    20_000,
  );

test(
  'a worker listens and echoes; the main thread and another worker connect to it',
  () =>
    wired(async ({ a, b }) => {
      const server = Thread.of(b.stack);
      const client = Thread.of(a.stack);
      server.order({ listen: 7 });
      await say([a, b], server, 'port');
      const c = a.connect({ host: AT.b[4], port: 7 });
      const s = new Sender(c, pattern(300_000));
      a.hear(c, s.heard);
      await until([a, b], () => s.ended, 20_000);
      assert.is(s.sha, sha(s.data));
      client.order({ connect: { host: AT.b[6], port: 7 } });
      await say([a, b], client, 'connected');
      await say([a, b], server, 'accepted', 2);
      assert.equal(server.all('accepted'), [c.local.port, client.all('port2')[0]]);
      client.order({ connect: { host: '192.0.2.1', port: 7 } });
      await say([a, b], client, 'refused');
      assert.is(client.all('refused')[0], 'ERR_STACK_ENETUNREACH ENETUNREACH');
      for (const t of [server, client]) {
        t.order({ close: true });
        await new Promise(done => t.worker.once('exit', done));
      }
      // Their numbers are free again when their streams are.
      await until(
        [a, b],
        () => a.stack.apps.streamsOf(client.number) + b.stack.apps.streamsOf(server.number) === 0,
      );
    }, REAL),
  LIMIT,
);

test(
  'a worker that dies: its connections are reset, its listeners are gone, its port is free',
  () =>
    wired(async ({ a, b }) => {
      const server = Thread.of(b.stack);
      server.order({ listen: 7 });
      await say([a, b], server, 'port');
      const made = Array.from({ length: 5 }, () => a.connect({ host: AT.b[4], port: 7 }));
      await until([a, b], () => made.every(c => c.connected));
      await say([a, b], server, 'accepted', 5);
      await server.worker.terminate();
      await until([a, b], () => made.every(c => c.closed));
      assert.equal(
        made.map(c => c.error),
        Array.from(made, () => 'ECONNRESET'),
      );
      const c = a.connect({ host: AT.b[4], port: 7 });
      await until([a, b], () => c.closed);
      assert.is(c.error, 'ECONNREFUSED');
      b.onAccept = echo;
      b.stack.burst.listen({ port: 7 });
      const d = a.connect({ host: AT.b[4], port: 7 });
      await until([a, b], () => d.connected);
      assert.is(b.stack.apps.streamsOf(server.number), 0);
      assert.is(b.stack.closeApp(server.number), false);
    }, REAL),
  LIMIT,
);

test('an application cannot take, send on, or close what is another’s', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = echo;
    const l = b.stack.burst.listen({ port: 7 });
    const c = a.connect({ host: AT.b[4], port: 7 });
    await until([a, b], () => c.connected && [...b.stack.burst.connections].length === 1);
    const [server] = b.stack.burst.connections;
    const ticket = b.stack.openApp();
    const other = StreamApp.attach(ticket.memory, ticket.number);
    assert.throws(
      () => other.end(server.id),
      (e: Error) => /not one of application/.test(e.message),
    );
    const before = streamCounters(engine.arena, 0).foreign;
    // Doorbells of its own for streams of others.
    for (const s of [c, server]) other.door(0, s.id, s.end.generation);
    other.flush();
    engine.run({ untilNs: engine.now() });
    assert.is(streamCounters(engine.arena, 0).foreign, before + 2);
    assert.is(
      other.take(() => {}),
      0,
    );
    assert.equal([c.state, server.state], ['ESTABLISHED', 'ESTABLISHED']);
    // What it asks of the stack is about its own, too.
    ticket.port.postMessage({ n: 0, asked: { call: 'unlisten', slot: l.place.slot } });
    await new Promise(done => setTimeout(done, 20));
    const d = a.connect({ host: AT.b[4], port: 7 });
    await until([a, b], () => d.connected);
    ticket.port.close();
    await new Promise(done => setTimeout(done, 20));
    assert.is(b.stack.closeApp(ticket.number), false, 'the other end of its port is gone');
  }));

test('an application is ended while its thread writes: what it writes is in nobody else’s ring', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = echo;
    b.stack.burst.listen({ port: 7 });
    const ticket = a.stack.openApp();
    const app = StackApp.attach<ConnectionOptions>(ticket);
    const own = await Promise.all(Array.from({ length: 4 }, () => app.connect({ host: AT.b[4], port: 7 })));
    const events: E[] = [];
    const polled = (done: () => boolean): Promise<void> =>
      until([a, b], () => {
        app.poll(events);
        return done();
      });
    await polled(() => own.every(c => c.connected));
    for (const c of own) assert.is(c.write(pattern(10)), 10);
    app.flush();
    await polled(() => own.every(c => c.readable === 10 && c.room > 0));
    const views = own.flatMap(c => [...c.writeViews(), ...c.readViews()]);
    assert.is(a.stack.closeApp(ticket.number), true);
    engine.run({ untilNs: engine.now() + 10_000_000n });
    assert.is(a.stack.apps.streamsInLanes(ticket.number), 0, 'no lane has anything to do for it');
    // Whoever wants memory now gets other memory, however long the thread goes on.
    const senders = Array.from({ length: 8 }, () => {
      const s = new Sender(a.connect({ host: AT.b[4], port: 7 }), pattern(60_000));
      a.hear(s.connection, s.heard);
      return s;
    });
    await until([a, b], () => {
      for (const view of views) view.fill(0xee);
      return senders.every(s => s.ended);
    });
    for (const s of senders) assert.is(s.sha, sha(s.data));
    assert.is(a.stack.apps.streamsOf(ticket.number), own.length);
    // Its thread hears of it and closes its port: the memory is free.
    ticket.port.close();
    await new Promise(done => setTimeout(done, 20));
    await until([a, b], () => a.stack.apps.streamsOf(ticket.number) === 0);
  }));

test('what a closed connection had written arrives, though its application is gone', () =>
  wired(async ({ a, b, engine }) => {
    b.onAccept = () => () => {};
    b.stack.burst.listen({ port: 7 });
    const app = StackApp.attach<ConnectionOptions>(a.stack.openApp());
    const data = pattern(100_000);
    const c = await app.connect({ host: AT.b[4], port: 7 });
    const open = await app.connect({ host: AT.b[4], port: 7 });
    const events: E[] = [];
    await until([a, b], () => {
      app.poll(events);
      return open.connected && c.connected && [...b.stack.burst.connections].length === 2;
    });
    assert.is(c.write(data), data.length);
    c.close();
    app.close();
    // Its lane makes a ring for what it wrote; then its port tells the stack.
    for (let i = 0; i < 3; i++) {
      engine.run({ untilNs: engine.now() });
      await new Promise(done => setTimeout(done, 20));
    }
    const first = [...b.stack.burst.connections].find(s => s.remote.port === c.local.port)!;
    const second = [...b.stack.burst.connections].find(s => s.remote.port === open.local.port)!;
    const sink = new Sender(first, new Uint8Array(0));
    b.hear(first, sink.heard);
    sink.work();
    await until([a, b], () => sink.ended && second.closed);
    assert.is(sink.sha, sha(data));
    assert.is(sink.error, undefined);
    assert.is(second.error, 'ECONNRESET', 'one that it had not closed');
  }));
