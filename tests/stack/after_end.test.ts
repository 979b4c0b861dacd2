/** Calls that come too late, or from whom nothing is expected any more: they reach nobody, and say so where they can. */
import { Engine } from '../../host/engine/engine.js';
import { EtherloomError } from '../../host/errors.js';
import { StackApp } from '../../host/net/burst/stack_app.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import type { ConnectionOptions } from '../../host/transports/tcp/index.js';
import { randomBelow } from '../support/random.js';
import { assert, suite } from '../support/suite.js';
import { sleep } from '../support/waiting.js';
import {
  A,
  AT,
  addresses,
  type C,
  type E,
  echo,
  type Host,
  pattern,
  Sender,
  sha,
  until,
  type Wired,
  wired,
} from './rig.js';

const test = suite('stack: after the end');
/** Messages of ports have come. A thread that got no CPU for 20 ms has its timers first: some turns more for the ports. */
async function messages(): Promise<void> {
  await sleep(20);
  for (let turn = 0; turn < 8; turn++) await new Promise(next => setImmediate(next));
}

const codeOf = async (call: () => unknown): Promise<string> => {
  try {
    await call();
  } catch (error) {
    if (error instanceof EtherloomError) return error.code;
    throw error;
  }
  return 'none';
};

/** A connection to an echo of `b`, over which `bytes` went and came back. */
async function used({ a, b }: Wired, bytes: number): Promise<C> {
  const c = a.connect({ host: AT.b[4], port: 7 });
  let sent = 0;
  let got = 0;
  const data = pattern(bytes);
  await until([a, b], () => {
    if (c.connected) sent += c.write(data.subarray(sent));
    for (const view of c.readViews()) {
      got += view.length;
      c.consume(view.length);
    }
    return got === bytes;
  });
  return c;
}

/** The next connection, which has the number of `former`, is in the midst of its bytes when `misuse` is called. */
async function beside(w: Wired, former: C, misuse: () => void): Promise<void> {
  const { a, b } = w;
  const { id } = former;
  await until(
    [a, b],
    () => [...b.stack.burst.connections].length === 0 && a.stack.apps.streamsOf(1) === 0,
    120_000,
  );
  // A lane gives the numbers that came back to it: the other end of one of the next has it.
  let c = a.connect({ host: AT.b[4], port: 7 });
  const given = (): C | undefined => [...b.stack.burst.connections].find(s => s.id === id);
  for (let n = 1; n < 10; n++) {
    await until([a, b], () => c.connected && [...b.stack.burst.connections].length === n);
    if (given()) break;
    c = a.connect({ host: AT.b[4], port: 7 });
  }
  assert.is(given()?.remote.port, c.local.port, 'its number was given again');
  const s = new Sender(c, pattern(300_000, 5));
  a.hear(c, s.heard);
  s.work();
  await until([a, b], () => s.bytes > 30_000);
  misuse();
  await until([a, b], () => s.ended);
  assert.is(s.sha, sha(s.data));
  assert.is(s.error, undefined);
  c.close();
}

const LATE: Record<string, (c: C, views: Uint8Array[]) => void> = {
  'consume(0)': c => c.consume(0),
  'consume(10)': c => c.consume(10),
  'commit(100)': c => c.commit(100),
  'writing into its views, and commit': (c, views) => {
    assert.is(views.length, 0);
    assert.is(c.room, 0);
    c.commit(100);
  },
  'all others': c => {
    assert.is(c.wantRoom(10), false);
    assert.is(c.write(pattern(10)), 0);
    assert.is(c.read(new Uint8Array(10)), 0);
    assert.equal([c.readable, c.unacknowledged, c.readViews().length], [0, 0, 0]);
    c.shutdown();
    c.abort();
    c.close();
  },
};

for (const [name, call] of Object.entries(LATE))
  test(`after close() ${name} reaches nothing of the connection that has its number by then`, () =>
    wired(async w => {
      w.b.onAccept = echo;
      w.b.stack.burst.listen({ port: 7 });
      // More than the next one moves, so that its cursors are ahead.
      const c = await used(w, 400_000);
      c.close();
      await beside(w, c, () => call(c, c.writeViews()));
    }));

/** Ten connections of `host` that the new application of `other` echoes: all of them come to their end. */
async function echoes(a: Host, b: Host, app: StackApp<ConnectionOptions>, zombie: () => void): Promise<void> {
  const listener = await app.listen({ port: 8 });
  const events: E[] = [];
  const heard = new Map<C, (e: E) => void>();
  const senders = Array.from({ length: 10 }, (_, i) => {
    const c = a.connect({ host: AT.b[4], port: 8 });
    const s = new Sender(c, pattern(50_000, i));
    a.hear(c, s.heard);
    return s;
  });
  await until([a, b], () => {
    zombie();
    const n = app.poll(events);
    for (const e of events.slice(0, n)) {
      if (e.accepted) heard.set(e.connection, echo(e.connection));
      heard.get(e.connection)!(e);
    }
    app.flush();
    return senders.every(s => s.ended);
  });
  for (const s of senders) {
    assert.is(s.sha, sha(s.data));
    s.connection.close();
  }
  listener.close();
}

test('an application that was ended and whose thread lives on reaches nothing of the next of its number', () =>
  wired(async ({ a, b }) => {
    const ticket = b.stack.openApp();
    const old = StackApp.attach<ConnectionOptions>(ticket);
    await old.listen({ port: 7 });
    const c = a.connect({ host: AT.b[4], port: 7 });
    const events: E[] = [];
    let its: C | undefined;
    await until([a, b], () => {
      if (old.poll(events) && events[0].accepted) its = events[0].connection;
      return its !== undefined && its.write(pattern(1000)) === 1000;
    });
    const views = its!.writeViews();
    assert.ok(views.length > 0);
    assert.ok(b.stack.closeApp(ticket.number));
    await until([a, b], () => c.closed);
    assert.is(c.error, 'ECONNRESET');
    await messages();
    await until([a, b], () => b.stack.apps.streamsOf(ticket.number) === 0);
    const next = b.stack.openApp();
    assert.is(next.number, ticket.number, 'its number is free when its side of the port is gone');
    await echoes(a, b, StackApp.attach<ConnectionOptions>(next), () => {
      assert.throws(
        () => old.poll(events),
        (e: EtherloomError) => e.code === 'ERR_STACK_CLOSED',
      );
      assert.is(its!.write(pattern(1000)), 0);
      its!.commit(10);
      its!.consume(0);
      old.flush();
    });
    its!.close();
    assert.is(await codeOf(() => old.wait(1)), 'ERR_STACK_CLOSED');
    assert.is(await codeOf(() => old.waitSync(1)), 'ERR_STACK_CLOSED');
  }));

test('a number is not given again before its thread has heard that it was ended, or a ticket that went nowhere', () =>
  wired(async ({ b }) => {
    const ticket = b.stack.openApp();
    const old = StackApp.attach(ticket);
    b.stack.closeApp(old.number);
    assert.is.not(b.stack.openApp().number, old.number);
    await messages();
    assert.is(b.stack.openApp().number, old.number);
    const unused = b.stack.openApp();
    b.stack.closeApp(unused.number);
    await messages();
    assert.is(b.stack.openApp().number, unused.number);
    assert.throws(
      () => StackApp.attach(unused),
      (e: EtherloomError) => /ERR_APP|ERR_STACK/.test(e.code),
    );
  }));

test('what comes by the port of an ended application does not end the next of its number', () =>
  wired(async ({ a, b }) => {
    const ticket = b.stack.openApp();
    b.stack.closeApp(ticket.number);
    const next = b.stack.openApp();
    const app = StackApp.attach<ConnectionOptions>(next);
    await app.listen({ port: 7 });
    await messages();
    assert.ok(b.stack.apps.isOpen(next.number));
    const c = a.connect({ host: AT.b[4], port: 7 });
    await until([a, b], () => c.connected);
  }));

test('a message that is no question is not answered, and harms nobody', () =>
  wired(async ({ b }) => {
    const { port } = b.stack.openApp();
    const answers: unknown[] = [];
    port.on('message', m => answers.push(m));
    for (const m of [null, undefined, 7, 'listen', [], {}, { n: 1 }, { n: 2, asked: null }])
      port.postMessage(m);
    port.postMessage({ n: 3, asked: { call: 'dance' } });
    port.postMessage({ n: 4, asked: { call: 'listen', options: { port: 7 } } });
    await messages();
    const last = answers.at(-1) as { n: number; result: { port: number } };
    assert.equal([last.n, last.result.port], [4, 7]);
    const refused = answers.slice(0, -1) as { error?: unknown }[];
    assert.ok(
      refused.every(m => m.error !== undefined),
      JSON.stringify(answers),
    );
  }));

test('1,000 messages of anything: each question gets one answer, and connections of others go on', () =>
  wired(async ({ a, b }) => {
    const below = randomBelow(17);
    const pick = <T>(list: readonly T[]): T => list[below(list.length)];
    const VALUES = [
      undefined,
      null,
      -1,
      0,
      7,
      65_536,
      2 ** 40,
      Number.NaN,
      '',
      'fd00::1',
      '10.0.0.2',
      {},
      [],
      true,
    ];
    const anything = (keys: readonly string[]): object =>
      Object.fromEntries(keys.filter(() => below(10) < 6).map(key => [key, pick(VALUES)]));
    const { port } = b.stack.openApp();
    const asks: unknown[] = [];
    const answered = new Map<unknown, number>();
    port.on('message', ({ n }: { n: number }) => answered.set(n, (answered.get(n) ?? 0) + 1));
    for (let n = 1; n <= 1000; n++) {
      const options = anything([
        'host',
        'port',
        'address',
        'backlog',
        'lane',
        'localPort',
        'options',
        'other',
      ]);
      const call = pick(['connect', 'listen', 'unlisten', 'close', 7]);
      asks.push(pick([{ call, options, slot: pick(VALUES) }, anything(['call', 'slot']), pick(VALUES)]));
      port.postMessage({ n, asked: asks[n - 1] });
    }
    b.onAccept = echo;
    b.stack.burst.listen({ port: 80 });
    const s = new Sender(a.connect({ host: AT.b[4], port: 80 }), pattern(100_000, 1));
    a.hear(s.connection, s.heard);
    await until([a, b], () => s.ended);
    await messages();
    for (let i = 0; i < 100 && answered.size < asks.length; i++) await messages();
    assert.is(answered.size, asks.length);
    assert.ok([...answered.values()].every(times => times === 1));
    assert.is(s.sha, sha(s.data));
  }));

test('connect and listen of an application that is over are refused, and so is what was under way', () =>
  wired(async ({ b }) => {
    const byHand = StackApp.attach<ConnectionOptions>(b.stack.openApp());
    const itself = StackApp.attach<ConnectionOptions>(b.stack.openApp());
    const closed = StackApp.attach<ConnectionOptions>(b.stack.openApp());
    const under = closed.listen({ port: 9 });
    itself.close();
    b.stack.closeApp(byHand.number);
    await b.stack.close();
    assert.is(await codeOf(() => under), 'ERR_STACK_CLOSED');
    for (const app of [byHand, itself, closed]) {
      assert.is(await codeOf(() => app.listen({ port: 7 })), 'ERR_STACK_CLOSED');
      assert.is(await codeOf(() => app.connect({ host: AT.a[4], port: 7 })), 'ERR_STACK_CLOSED');
    }
  }));

const CALLS: Record<string, (stack: Stack) => unknown> = {
  connect: stack => stack.burst.connect({ host: AT.b[4], port: 7 }),
  listen: stack => stack.burst.listen({ port: 7 }),
  openApp: stack => stack.openApp(),
  poll: stack => stack.burst.poll([]),
  wait: stack => stack.burst.wait(1),
  waitSync: stack => stack.burst.waitSync(1),
};

test('calls of a stack that is closed say so', () =>
  wired(async ({ a: { stack } }) => {
    await stack.close();
    for (const [name, call] of Object.entries(CALLS))
      assert.is(await codeOf(() => call(stack)), 'ERR_STACK_CLOSED', name);
    assert.is(await codeOf(() => stack.counters()), 'ERR_STACK_CLOSED');
    stack.burst.flush();
  }));

/** A stack by itself on a wire with this MTU. */
async function alone(mtu?: number): Promise<Stack> {
  const engine = await Engine.create({
    ...{ nics: [modelLink({ name: 'w', mtu }).a], inline: true, clock: 'virtual', warmMs: 0 },
    streams: { count: 8, bytes: 1 << 20 },
  });
  try {
    return await Stack.create({ engine, ports: { 'w.a': { addresses: addresses(A) } } });
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

test('calls of a stack whose engine was stopped say so; it can still be closed', async () => {
  const stack = await alone();
  await stack.engine.start();
  await stack.engine.stop();
  for (const [name, call] of Object.entries(CALLS))
    assert.is(await codeOf(() => call(stack)), 'ERR_STACK_CLOSED', name);
  await stack.close();
  assert.is(stack.engine.routes.list().length, 0);
});

test('a close that lanes do not let come to its end can be asked for again', async () => {
  const stack = await alone();
  await stack.engine.start();
  stack.burst.connect({ host: AT.b[4], port: 7 });
  const { apps } = stack;
  const { now } = performance;
  let later = 0;
  // Streams that lanes do not free, and a clock that is past the time that they have.
  apps.streamsInLanes = () => {
    later = 10_000;
    return 1;
  };
  performance.now = () => now.call(performance) + later;
  try {
    assert.is(await codeOf(() => stack.close()), 'ERR_STACK_CLOSE');
  } finally {
    performance.now = now;
    Reflect.deleteProperty(apps, 'streamsInLanes');
  }
  assert.is(await codeOf(() => stack.burst.poll([])), 'ERR_STACK_CLOSED');
  await stack.close();
  assert.is(stack.engine.routes.list().length, 0);
  const { ledger } = await stack.engine.stop();
  assert.is(ledger.lost, 0);
});

test('a NIC whose MTU no host need take is refused', async () => {
  assert.is(await codeOf(() => alone(575)), 'ERR_STACK_OPTIONS');
  const stack = await alone(576);
  await stack.close();
  await stack.engine.stop();
});

test('a thread lives as long as its application waits', () =>
  wired(async ({ b }) => {
    const ticket = b.stack.openApp();
    const { port } = ticket as unknown as { port: { hasRef(): boolean } };
    const app = StackApp.attach(ticket);
    assert.is(port.hasRef(), false);
    const waits = app.wait(30);
    assert.is(port.hasRef(), true);
    await waits;
    assert.is(port.hasRef(), false);
  }));

test('what is no Uint8Array is refused: text would be zeros', () =>
  wired(async w => {
    w.b.onAccept = echo;
    w.b.stack.burst.listen({ port: 7 });
    const c = await used(w, 10);
    for (const wrong of ['text', [1, 2], { length: 5 }, null, new Uint16Array(2), new ArrayBuffer(4)]) {
      assert.is(await codeOf(() => c.write(wrong as Uint8Array)), 'ERR_STREAM_BYTES');
      assert.is(await codeOf(() => c.read(wrong as Uint8Array)), 'ERR_STREAM_BYTES');
    }
    assert.is(c.write(Buffer.from('text')), 4);
    await until([w.a, w.b], () => c.readable === 4);
  }));

test('what cannot be polled into, waited for or set is refused, and no event is lost', () =>
  wired(async ({ a, b }) => {
    const c = a.connect({ host: AT.b[4], port: 9 });
    a.stack.burst.flush();
    await until([b], () => c.state === 'CLOSED' && c.end.finished, 10_000);
    assert.is(await codeOf(() => a.stack.burst.poll(undefined as never)), 'ERR_STACK_OPTIONS');
    const events: E[] = [];
    assert.is(a.stack.burst.poll(events), 1);
    assert.is(events[0].error, 'ECONNREFUSED');
    for (const ms of [Number.NaN, -1, '5'])
      for (const call of [() => a.stack.burst.wait(ms as number), () => a.stack.burst.waitSync(ms as number)])
        assert.is(await codeOf(call), 'ERR_STACK_OPTIONS');
    const d = a.connect({ host: AT.b[4], port: 9 });
    for (const name of ['constructor', 'toString', 'hasOwnProperty'])
      assert.is(await codeOf(() => d.set({ [name]: true })), 'ERR_TCP_OPTIONS');
  }));

test('the MTU of a route is a whole number that packets can have', () =>
  wired(async ({ b }) => {
    for (const mtu of [1, -1, 67, 65_536, 1e5, Number.NaN, 1.5])
      assert.throws(
        () => b.stack.network.addRoute({ prefix: '10.9.0.0/16', via: AT.a[4], mtu }),
        (e: EtherloomError) => e.code === 'ERR_ROUTE' && /mtu/.test(e.message),
      );
    b.stack.network.addRoute({ prefix: '10.9.0.0/16', via: AT.a[4], mtu: 576 });
  }));
