/** Rings grow by need: as large as rate and round trip ask, and no larger than what was moved. In virtual time. */
import { StreamRequest } from '../../host/layout/layout.gen.js';
import { streamMemory, takeStreamLedger } from '../../host/mem/streams.js';
import { assert, suite } from '../support/suite.js';
import { Scene } from './attack/scene.js';
import { drain, feed } from './bulk.js';
import { OptionFlag, type TcpOptions } from './options.js';
import { ADDRESSES, Pair } from './pair.js';

const test = suite('tcp: growth');
const LIMIT = { timeoutMs: 60_000 };
const KIB = 1024;

interface Ends {
  pair: Pair;
  client: number;
  server: number;
}

/** A connection over which nothing was moved yet. */
async function connected(
  options: Parameters<typeof Pair.create>[0],
  client: Partial<TcpOptions> = {},
): Promise<Ends> {
  const pair = await Pair.create(options);
  pair.b.listen(4, 80, 8);
  const { id } = pair.a.connect(ADDRESSES[0], 5000, ADDRESSES[1], 80, client);
  assert.ok(pair.run(() => pair.b.accepted.length > 0, 5000));
  return { pair, client: id, server: pair.b.accepted.pop()! };
}

/** Bytes per second from client to server over `ms`, after `warmMs`. */
function bulk({ pair, client, server }: Ends, warmMs: number, ms: number): number {
  const { engine } = pair;
  let bytes = 0;
  const work = (): void => {
    feed(pair.a.ends.get(client)!);
    bytes += drain(pair.b.ends.get(server)!);
  };
  pair.run(() => false, warmMs, work);
  const [from, had] = [engine.now(), bytes];
  pair.run(() => false, ms, work);
  return (bytes - had) / (Number(engine.now() - from) / 1e9);
}

const sizes = ({ pair, client, server }: Ends): { send: number; receive: number } => ({
  send: pair.a.ends.get(client)!.capacity.send,
  receive: (pair.b.flow(server) as unknown as { rcv_size: number }).rcv_size,
});

const GIGABIT = {
  ...{ delayNs: 5_000_000, rate: 1_000_000_000, queueBytes: 1 << 20, streams: 8 },
  engine: { streams: { count: 8, bytes: 64 << 20 } },
};

test(
  '1 Gbit/s over a round trip of 10 ms: a connection without options fills 90 % of the link',
  async () => {
    const ends = await connected(GIGABIT);
    const rate = bulk(ends, 500, 300) * 8;
    assert.ok(rate >= 0.9e9, `${(rate / 1e6).toFixed(0)} Mbit/s`);
    const { send, receive } = sizes(ends);
    assert.ok(send >= 1024 * KIB && receive >= 2048 * KIB, `${send} ${receive}`);
    assert.ok(send <= 4096 * KIB && receive <= 4096 * KIB, `${send} ${receive}`);
    await ends.pair.engine.stop();
  },
  LIMIT,
);

test(
  'one that asks for 64 KiB gets no more, and what a slow one moves needs no larger ring',
  async () => {
    const small = await connected(GIGABIT, { sndBytes: 64 * KIB });
    const rate = bulk(small, 200, 100) * 8;
    assert.is(sizes(small).send, 64 * KIB);
    assert.ok(rate < 60e6, `${(rate / 1e6).toFixed(0)} Mbit/s`);
    await small.pair.engine.stop();
    const slow = await connected({ ...GIGABIT, rate: 8_000_000, queueBytes: 20_000 });
    bulk(slow, 1000, 1000);
    assert.ok(sizes(slow).receive <= 64 * KIB, `${sizes(slow).receive}`);
    await slow.pair.engine.stop();
  },
  LIMIT,
);

test(
  'without window scaling 64 KiB are the most, without timestamps the ring grows, too',
  async () => {
    const plain = await connected(GIGABIT, { flags: OptionFlag.NO_WSCALE });
    bulk(plain, 300, 100);
    assert.is(sizes(plain).receive, 64 * KIB);
    await plain.pair.engine.stop();
    const bare = await connected(GIGABIT, { flags: OptionFlag.NO_TIMESTAMPS });
    bulk(bare, 300, 50);
    assert.ok(sizes(bare).receive >= 1024 * KIB, `${sizes(bare).receive}`);
    await bare.pair.engine.stop();
  },
  LIMIT,
);

test('an application that does not read gets its ring doubled once, and the peer sends no more than it was offered', async () => {
  const ends = await connected(GIGABIT);
  const { pair, client, server } = ends;
  pair.run(
    () => false,
    500,
    () => feed(pair.a.ends.get(client)!),
  );
  assert.is(sizes(ends).receive, 32 * KIB);
  const { readable } = pair.b.ends.get(server)!;
  assert.ok(readable > 32 * KIB && readable <= 48 * KIB, `${readable}`);
  assert.is(pair.a.counters().RetransSegs, undefined);
  await pair.engine.stop();
});

test('a connection that moved one byte holds 32 KiB, one that moved none nothing', async () => {
  const { pair, client, server } = await connected({ delayNs: 1_000_000 });
  const { arena } = pair.engine;
  const used = (): number => takeStreamLedger(arena).used;
  assert.is(used(), 0);
  const [a, b] = [pair.a.ends.get(client)!, pair.b.ends.get(server)!];
  let sent = 0;
  const into = new Uint8Array(1);
  assert.ok(
    pair.run(
      () => b.readable === 1,
      1000,
      () => (sent ||= a.write(Uint8Array.of(7))),
    ),
  );
  assert.is(b.read(into), 1);
  // Both ends: a send ring here, a receive ring there.
  assert.is(used(), 32 * KIB);
  assert.is(into[0], 7);
  await pair.engine.stop();
});

test(
  '4,096 handshakes under way hold no memory, and a connection opens and moves bytes beside them',
  async () => {
    const scene = await Scene.create({
      streams: 4800,
      engine: { mapBytes: 64 << 20, streams: { count: 4800, bytes: 16 << 20 } },
    });
    const { a, b, engine } = scene.pair;
    const slot = b.listen(4, 80, 8192);
    const before = streamMemory(engine.arena);
    for (let i = 0; i < 4096; i++) {
      scene.forge({
        ...{ src: `10.66.${i >> 8}.${i & 255}`, srcPort: 1024 + i, dstPort: 80, seq: i * 77_777 },
        ...{ flags: 'SYN', options: { mss: 1460, ts: [i + 1, 0], wscale: 7, sackOk: true } },
      });
      if (i % 64 === 63) {
        b.settle();
        scene.taken();
      }
    }
    const { opening } = b.map('tcp_backlogs').get(slot) as { opening: number };
    assert.is(opening, 4096);
    const { least, more } = streamMemory(engine.arena);
    assert.equal([least, more], [before.least, before.more]);
    const friend = a.connect(ADDRESSES[0], 5555, ADDRESSES[1], 80);
    assert.ok(scene.pair.run(() => b.accepted.length > 0, 5000));
    // Both ends in one engine.
    assert.is(streamMemory(engine.arena).least, before.least + 2 * 4096);
    friend.request(StreamRequest.ABORT);
    b.accepted.length = 0;
    const { client, server } = scene.pair.transfer({ forth: 200_000, back: 100_000 });
    assert.equal([server.bytes, client.bytes], [200_000, 100_000]);
    await engine.stop();
  },
  LIMIT,
);
