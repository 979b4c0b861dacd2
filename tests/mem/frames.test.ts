import { FramePoolView, MAGAZINE_CAPACITY, MagazineLayout, NO_FRAME } from '../../host/layout/layout.gen.js';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
import { checkLedger, createFramePool, freeFrames, takeLedger } from '../../host/mem/frames.js';
import { assert, suite } from '../support/suite.js';

const test = suite('mem: frames');

function pool(frames: number, lanes = 2) {
  const arena = Arena.create({ lanes, frames, mapBytes: 4096 });
  createFramePool(arena);
  const cores = Array.from({ length: lanes + 1 }, (_, i) => instantiateCore(arena, i).exports);
  return { arena, cores };
}

test('every frame can be taken once, then none is left', () => {
  for (const frames of [1, 61, 62, 63, 1000]) {
    const { cores } = pool(frames);
    const seen = new Set<number>();
    for (let i = 0; i < frames; i++) seen.add(cores[0].frame_alloc() >>> 0);
    assert.is(seen.size, frames);
    assert.not.ok(seen.has(NO_FRAME));
    assert.is(cores[0].frame_alloc() >>> 0, NO_FRAME);
  }
});

test('frames taken by one lane and given back by another are conserved', () => {
  const { arena, cores } = pool(1000);
  const held: number[] = [];
  let seed = 7;
  for (let i = 0; i < 200_000; i++) {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    const core = cores[seed % 3];
    if ((seed >>> 8) % 2 && held.length) core.frame_free(held.splice((seed >>> 9) % held.length, 1)[0] + 77);
    else {
      const f = core.frame_alloc() >>> 0;
      if (f !== NO_FRAME) held.push(f);
    }
  }
  const ledger = takeLedger(arena, [{ name: 'test', frames: () => held }]);
  assert.equal([ledger.lost, ledger.doubled, ledger.free + held.length], [0, 0, 1000]);
});

test('a lane that drains the pool and a lane that only frees never run out of magazines', () => {
  const { arena, cores } = pool(640, 2);
  for (let round = 0; round < 50; round++) {
    const held: number[] = [];
    for (let f = cores[0].frame_alloc() >>> 0; f !== NO_FRAME; f = cores[0].frame_alloc() >>> 0) held.push(f);
    for (const f of held) cores[1].frame_free(f);
    assert.ok(held.length >= 640 - 124, 'at most two magazines stay with the other lane');
  }
  assert.is(freeFrames(arena).length, 640);
});

test('a lost frame and a doubled one are found, with their places named', () => {
  const { arena, cores } = pool(64);
  const a = cores[0].frame_alloc() >>> 0;
  const lost = takeLedger(arena, []);
  assert.is(lost.lost, 1);
  assert.throws(
    () => checkLedger(lost),
    (e: { code: string; message: string }) =>
      e.code === 'ERR_FRAMES_LOST' && /64 frames 1 are lost/.test(e.message),
  );
  cores[0].frame_free(a);
  const twice = takeLedger(arena, [{ name: 'rx test/0', frames: () => [a] }]);
  assert.equal([twice.lost, twice.doubled, twice.inFlight['rx test/0']], [0, 1, 1]);
  assert.throws(
    () => checkLedger(twice),
    (e: { message: string }) => /rx test\/0 1/.test(e.message),
  );
});

test('frames given back again and again fill every magazine and nothing beyond', () => {
  const { arena, cores } = pool(64);
  const { magazinesAt, magazineCount } = new FramePoolView(arena.dv, arena.header.poolAt);
  const magazines = Array.from({ length: magazineCount }, (_, i) => magazinesAt + i * MagazineLayout.size);
  const end = magazinesAt + magazineCount * MagazineLayout.size;
  const beyond = arena.u8.slice(end, end + 4096);
  const frame = cores[0].frame_alloc();
  for (let i = 0; i < magazineCount * MAGAZINE_CAPACITY * 2; i++) cores[0].frame_free(frame);
  for (const m of magazines)
    assert.ok(arena.u32[(m + MagazineLayout.count) >> 2] <= MAGAZINE_CAPACITY, 'no magazine is overfull');
  assert.equal(arena.u8.slice(end, end + 4096), beyond);
  const ledger = takeLedger(arena, []);
  assert.ok(ledger.doubled > 0);
  assert.throws(() => checkLedger(ledger), /in two places/);
});
