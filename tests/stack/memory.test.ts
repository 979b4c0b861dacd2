/** Stream memory of a stack: more connections than it has full rings for, and more than it has any for. */
import { assert, suite } from '../support/suite.js';
import { AT, type C, echo, type Host, until, type Wired, wired } from './rig.js';

const test = suite('stack: memory');

/** A client that sends a byte, waits for its echo and, with `leave`, closes. */
interface Client {
  connection: C;
  echoed: boolean;
}

function connect(b: Host, leave: boolean): Client {
  const client = { echoed: false } as Client;
  let sent = 0;
  const into = new Uint8Array(16);
  client.connection = b.connect({ host: AT.a[4], port: 7 }, () => {
    const c = client.connection;
    if (c.connected && !c.closed && sent === 0) sent = c.write(Uint8Array.of(0x65));
    if (!client.echoed && c.read(into) === 1) {
      client.echoed = into[0] === 0x65;
      if (leave) c.close();
    }
  });
  return client;
}

function serve({ a }: Wired): void {
  a.stack.burst.listen({ port: 7, backlog: 1024 });
  a.onAccept = echo;
}

test('200 connections with memory for 64 of both ends: all echo, and all memory comes back', async () => {
  await wired(
    async w => {
      serve(w);
      const clients = Array.from({ length: 200 }, () => connect(w.b, false));
      await until([w.a, w.b], () => clients.every(c => c.echoed), 6000);
      const { total, budget, least, more, small, refused } = w.b.stack.memory();
      assert.equal([total, budget, refused], [64 << 20, 64 << 20, 0]);
      assert.is(least, 400 * 4096);
      // Rings begin with 16 KiB: there is more memory than that takes.
      assert.equal([least + more <= budget, least + more], [true, 400 * 2 * 16_384]);
      assert.is(small, 0);
      for (const { connection } of clients) connection.abort();
      await until([w.a, w.b], () => w.a.stack.memory().least === 0, 6000);
      assert.is(w.a.stack.memory().more, 0);
    },
    { engine: { streams: { count: 1024, bytes: 64 << 20 }, mapBytes: 32 << 20 } },
  );
});

test('with the least memory, many bytes go both ways at once on every connection', async () => {
  await wired(
    async w => {
      serve(w);
      const BYTES = 20_000;
      const done: boolean[] = [];
      for (let i = 0; i < 30; i++) {
        const out = Uint8Array.from({ length: BYTES }, (_, at) => (at * 7 + i) & 0xff);
        const into = new Uint8Array(BYTES);
        let sent = 0;
        let got = 0;
        const c: C = w.b.connect({ host: AT.a[4], port: 7 }, () => {
          if (c.connected) sent += c.write(out.subarray(sent));
          got += c.read(into.subarray(got));
          if (got === BYTES && !done[i]) {
            assert.equal(into, out);
            done[i] = true;
          }
        });
      }
      await until([w.a, w.b], () => done.filter(Boolean).length === 30, 120_000);
      assert.ok(w.a.stack.memory().small > 0);
    },
    { engine: { streams: { count: 64, bytes: 64 * 8192 } } },
  );
});

test('with memory for far fewer each connection works or is told why not', async () => {
  await wired(
    async w => {
      serve(w);
      const clients: Client[] = [];
      let refused = 0;
      for (let i = 0; i < 60; i++)
        try {
          clients.push(connect(w.b, true));
        } catch (error) {
          const { code, message } = error as { code: string; message: string };
          assert.is(code, 'ERR_STACK_ENOBUFS');
          assert.match(message, /stream memory/);
          refused++;
        }
      assert.ok(refused > 0 && clients.length > 20, `${refused} of 60 were refused`);
      // The listener has memory for few of them: the others' SYNs come again.
      await until([w.a, w.b], () => clients.every(c => c.echoed || c.connection.closed), 300_000);
      for (const { echoed, connection } of clients)
        assert.ok(echoed || connection.error === 'ETIMEDOUT', `${connection.error}`);
      assert.ok(clients.some(c => c.echoed));
      assert.ok(w.a.stack.counters().NoStreamMemory > 0);
      assert.ok(w.a.stack.memory().refused > refused);
    },
    { engine: { streams: { count: 256, bytes: 220 << 10 } } },
  );
});
