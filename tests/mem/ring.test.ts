import { Piscina } from 'piscina';
import { RingView } from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { allocViews, bindView, createRing, pendingIn, type RingPlace } from '../../host/mem/ring.js';
import { benchCore, benchModule } from '../support/bench_core.js';
import { assert, suite } from '../support/suite.js';

const test = suite('mem: ring');

const small = () => {
  const arena = Arena.create({ lanes: 1, frames: 16, mapBytes: 4096 });
  return { arena, x: benchCore(arena, 1) };
};

test('what was reserved, staged and submitted is peeked in order and released', () => {
  const { arena, x } = small();
  const { producer, consumer } = createRing(arena, 4);
  assert.is(x.ring_reserve(producer, 9), 4);
  for (const n of [10, 11, 12]) assert.ok(x.ring_push(producer, n, n * 2, n * 3));
  assert.is(x.ring_peek(consumer, 4), 0, 'nothing is seen before submit');
  x.ring_submit(producer);
  assert.is(x.ring_peek(consumer, 4), 3);
  for (const [k, n] of [10, 11, 12].entries()) {
    const d = x.ring_entry(consumer, k) >>> 0;
    assert.equal([...arena.u32.subarray(d >> 2, (d >> 2) + 4)], [n, 0, n * 2, n * 3]);
  }
  x.ring_release(consumer, 2);
  assert.is(pendingIn(arena, consumer), 1);
  assert.is(x.ring_reserve(producer, 9), 3);
});

test('a full ring refuses and takes again after a release', () => {
  const { arena, x } = small();
  const { producer, consumer } = createRing(arena, 2);
  assert.ok(x.ring_push(producer, 1, 0, 0) && x.ring_push(producer, 2, 0, 0));
  assert.not.ok(x.ring_push(producer, 3, 0, 0));
  x.ring_submit(producer);
  assert.is(x.ring_peek(consumer, 9), 2);
  x.ring_release(consumer, 1);
  assert.ok(x.ring_push(producer, 3, 0, 0));
});

test('cursors wrap around 2^32', () => {
  const { arena, x } = small();
  const { ring, producer, consumer } = createRing(arena, 8);
  arena.u32[ring.producerAt >> 2] = arena.u32[ring.consumerAt >> 2] = 0xfffffffd;
  bindView(arena, producer, ring);
  bindView(arena, consumer, ring);
  assert.is(x.ring_turn_numbers(producer, consumer, 1000, 7), 0);
  assert.is(new RingView(arena.dv, consumer).cachedConsumer, 0xfffffffd - 2 ** 32 + 1000);
});

test('a ring of the kernel works with the offsets that the kernel gives', () => {
  // As seen on Linux 6.18: producer 0, consumer 128, flags 196, descriptors 320, page aligned.
  const { arena, x } = small();
  const page = arena.rings.alloc(4096 * 2, 4096);
  const place: RingPlace = {
    producerAt: page,
    consumerAt: page + 128,
    flagsAt: page + 196,
    entriesAt: page + 320,
    slots: 256,
  };
  arena.u8.fill(0, page, page + 8192);
  const views = allocViews(arena, 2);
  bindView(arena, views, place);
  bindView(arena, views + 64, place);
  assert.is(x.ring_turn_numbers(views, views + 64, 10_000, 64), 0);
  assert.is(arena.u32[page >> 2], 10_000, 'the producer word is where the kernel looks');
  assert.is(arena.u32[(page + 128) >> 2], 10_000);
});

test('sizes that are no power of two are refused', () => {
  const { arena } = small();
  for (const slots of [0, 1, 3, 1000, 2.5])
    assert.throws(
      () => createRing(arena, slots),
      (e: { code: string }) => e.code === 'ERR_RING_SIZE',
    );
});

test('two threads pass 3 million descriptors, in order, none lost', async () => {
  const arena = Arena.create({ lanes: 2, frames: 16, mapBytes: 4096 });
  const { producer, consumer } = createRing(arena, 512);
  const pool = new Piscina({
    filename: new URL('../support/ring_peer.ts', import.meta.url).href,
    maxThreads: 1,
  });
  const produced = pool.run({
    memory: arena.memory,
    core: benchModule(),
    ring: producer,
    total: 3_000_000,
    burst: 32,
  });
  const core = benchCore(arena, 2);
  // Blocks this thread: the other one must have begun.
  while (pendingIn(arena, consumer) === 0) await new Promise(done => setTimeout(done, 1));
  assert.is(core.ring_consume_numbers(consumer, 3_000_000, 64), 0);
  assert.is(pendingIn(arena, consumer), 0);
  await produced;
  await pool.close();
});
