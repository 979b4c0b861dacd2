/** Stream memory in small pieces: rings are made smaller than they were promised, and no byte that was taken is lost. */
import { assert, suite } from '../support/suite.js';
import { AT, type C, type Host, pattern, sha, until, type Wired, wired } from './rig.js';

const test = suite('stack: memory in pieces');
const SMALL = { sendBuffer: 2048, receiveBuffer: 2048 };
const ENGINE = { streams: { count: 1100, bytes: 2 << 20, apps: 8 }, frames: 16_384 };

/** Connections whose small rings fill the memory; every second one is closed again, so that no two free pieces meet. */
async function fragmented({ a, b }: Wired): Promise<void> {
  b.onAccept = connection => () => {
    for (let views = connection.readViews(); views.length > 0; views = connection.readViews()) {
      connection.write(views[0]);
      connection.consume(views[0].length);
    }
    if (connection.ended) connection.close();
  };
  b.stack.burst.listen({ port: 7, options: SMALL, backlog: 300 });
  const all = Array.from({ length: 250 }, () => a.connect({ host: AT.b[4], port: 7, options: SMALL }));
  await until([a, b], () => all.every(c => c.connected));
  for (const c of all) c.write(pattern(100, 1));
  await until([a, b], () => all.every(c => c.readable === 100));
  const odd = all.filter((_, i) => i % 2 === 1);
  for (const c of odd) {
    c.consume(100);
    c.close();
  }
  const promised = (): number => {
    const { least, more } = a.stack.memory();
    return least + more;
  };
  await until([a, b], () => promised() === 1_024_000, 120_000);
}

/** Listens at port 8; what comes there is gathered. */
function gathering(b: Host): { ended(): boolean; sha(): string } {
  const got: Buffer[] = [];
  let peer: C | undefined;
  b.onAccept = connection => {
    peer = connection;
    return () => {
      for (const v of connection.readViews()) {
        got.push(Buffer.from(v));
        connection.consume(v.length);
      }
    };
  };
  b.stack.burst.listen({ port: 8 });
  return {
    ended: () => peer?.ended === true && peer.readable === 0,
    sha: () => sha(Buffer.concat(got)),
  };
}

for (const [what, before] of [
  ['written before the ring', (c: C, data: Uint8Array): number => c.write(data)],
  [
    'given into views before the ring',
    (c: C, data: Uint8Array): number => {
      const [view] = c.writeViews();
      const n = Math.min(view.length, data.length);
      view.set(data.subarray(0, n));
      c.commit(n);
      return n;
    },
  ],
] as const)
  test(`what was ${what} and after it arrives whole where the ring is smaller than promised`, () =>
    wired(
      async w => {
        const { a, b, engine } = w;
        await fragmented(w);
        const peer = gathering(b);
        const data = pattern(120_000, 3);
        const c = a.connect({ host: AT.b[4], port: 8 });
        await until([a, b], () => c.connected);
        let sent = before(c, data);
        assert.ok(sent > 16_384, `${sent} bytes were taken at first`);
        // The lane makes the ring, and the application has not heard of it when it writes again.
        a.stack.burst.flush();
        while (!c.end.hasSendRing) engine.step();
        const ring = c.end.capacity.send;
        assert.ok(ring < sent, `a ring of ${ring} bytes for ${sent}`);
        sent += c.write(data.subarray(sent));
        a.hear(c, e => {
          if (e.writable) sent += c.write(data.subarray(sent));
        });
        await until([a, b], () => sent === data.length, 60_000);
        c.shutdown();
        await until([a, b], () => peer.ended(), 60_000);
        assert.is(peer.sha(), sha(data));
      },
      { engine: ENGINE },
    ));

test('a connection that is closed with bytes that the ring does not take yet still delivers them', () =>
  wired(
    async w => {
      const { a, b } = w;
      await fragmented(w);
      const peer = gathering(b);
      const c = a.connect({ host: AT.b[4], port: 8 });
      await until([a, b], () => c.connected);
      const data = pattern(120_000, 4);
      const taken = c.write(data);
      c.close();
      await until([a, b], () => peer.ended(), 60_000);
      assert.ok(taken > 16_384, `${taken}`);
      assert.is(peer.sha(), sha(data.subarray(0, taken)));
    },
    { engine: ENGINE },
  ));
