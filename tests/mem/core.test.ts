import { readFileSync } from 'node:fs';
import { Arena } from '../../host/mem/arena.js';
import { coreModule, instantiateCore } from '../../host/mem/core.js';
import { Region } from '../../host/mem/region.js';
import { benchModule } from '../support/bench_core.js';
import { assert, suite } from '../support/suite.js';

const test = suite('mem: core and arena');

/** Section ids of a Wasm binary, in order. */
function sectionIds(bytes: Uint8Array): number[] {
  const ids: number[] = [];
  for (let at = 8; at < bytes.length; ) {
    ids.push(bytes[at++]);
    let size = 0;
    for (let shift = 0; ; shift += 7) {
      const b = bytes[at++];
      size |= (b & 127) << shift;
      if (b < 128) break;
    }
    at += size;
  }
  return ids;
}

test('the core has no data section and no start section', () => {
  const ids = sectionIds(readFileSync(new URL('../../build/etherloom.wasm', import.meta.url)));
  assert.ok(ids.includes(10), 'code section is there');
  assert.not.ok(ids.includes(11), 'data section');
  assert.not.ok(ids.includes(12), 'data count section');
  assert.not.ok(ids.includes(8), 'start section');
});

test('the shipped core has no loops of tests and benchmarks', () => {
  const names = (module: WebAssembly.Module) => WebAssembly.Module.exports(module).map(e => e.name);
  const loops = names(benchModule()).filter(name => !names(coreModule()).includes(name));
  assert.equal(
    loops.sort(),
    ['csum_plain', 'csum_turn', 'csum_turn_plain', 'ring_consume_numbers', 'ring_produce_numbers'].concat([
      'ring_turn_numbers',
      'rss_turn',
      'rss_turn_plain',
      'stream_copies',
      'stream_echo',
      'stream_echo_until',
      'stream_plain_copies',
    ]),
  );
});

test('two instances over one arena have globals of their own and imports of memory only', () => {
  const arena = Arena.create({ lanes: 2, frames: 16, mapBytes: 4096 });
  assert.equal(
    WebAssembly.Module.imports(coreModule()).map(i => `${i.module}.${i.name}`),
    ['env.memory'],
  );
  const a = instantiateCore(arena, 0);
  const b = instantiateCore(arena, 1);
  assert.is.not(a.table, b.table);
});

test('regions of the arena do not overlap and the packet area is page aligned', () => {
  const { header: h } = Arena.create({ lanes: 3, frames: 100 });
  const spans = [
    [h.countersAt, h.countersBytes],
    [h.scratchAt, h.scratchBytes],
    [h.mapsAt, h.mapsBytes],
    [h.ringsAt, h.ringsBytes],
    [h.packetAt, h.packetBytes],
  ];
  let end = 0;
  for (const [at, bytes] of spans) {
    assert.ok(at >= end);
    end = at + bytes;
  }
  assert.ok(end <= h.totalBytes);
  assert.is(h.packetAt % 4096, 0);
});

test('a region gives back what was freed and refuses what it does not have', () => {
  const r = new Region('test', 64, 1024);
  const a = r.alloc(100);
  const b = r.alloc(100);
  assert.throws(
    () => r.alloc(4096),
    (e: Error & { code: string }) => e.code === 'ERR_ARENA_FULL' && /\(testBytes\)$/.test(e.message),
  );
  r.free(a);
  r.free(b);
  assert.is(r.alloc(1024), 64);
  assert.throws(
    () => r.free(70),
    (e: { code: string }) => e.code === 'ERR_ARENA_FREE',
  );
});

test('impossible sizes are refused with a code', () => {
  assert.throws(
    () => Arena.create({ lanes: 0 }),
    (e: { code: string }) => e.code === 'ERR_ARENA_OPTIONS',
  );
  assert.throws(
    () => Arena.create({ frames: 4_000_000 }),
    (e: { code: string }) => e.code === 'ERR_ARENA_OPTIONS',
  );
  assert.throws(
    () => Arena.create({ mapBytes: 2 ** 31 }),
    (e: { code: string; message: string }) =>
      e.code === 'ERR_ARENA_OPTIONS' && /2 GiB: mapBytes/.test(e.message),
  );
});
