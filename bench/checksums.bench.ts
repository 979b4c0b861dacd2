/** Checksums and receive-side scaling, each beside its definition word by word (or bit by bit) in the same Wasm. */
import { Arena } from '../host/mem/arena.js';
import { SYMMETRIC_KEY } from '../host/nic/rss.js';
import { benchCore } from '../tests/support/bench_core.js';
import { udpFrame } from '../tests/support/programs.js';
import type { Bench } from './harness/bench.js';

/** Calls per sample: long enough that the call from JavaScript does not show. */
const BATCH = 1 << 14;
const TUPLE_BYTES = 12;

export default function checksums(bench: Bench): void {
  const arena = Arena.create({ lanes: 1, frames: 1, mapBytes: 4096 });
  const x = benchCore(arena, 1);
  const at = arena.scratch.alloc(65_536);
  arena.u8.set(
    Uint8Array.from({ length: 65_536 }, (_, i) => i * 37),
    at,
  );
  const row = (
    group: string,
    name: string,
    conditions: string,
    mine: () => void,
    plain: () => void,
  ): void => {
    const ours = bench.time(name, mine, { batch: BATCH });
    const theirs = bench.time(`${name}, plain`, plain, { batch: BATCH });
    bench.row({
      group,
      name,
      conditions,
      unit: 'ns',
      value: ours.ns,
      rme: ours.rme,
      peer: { name: 'by definition', value: theirs.ns },
    });
  };
  for (const bytes of [20, 40, 64, 576, 1500, 9000])
    row(
      'checksums',
      `${bytes} bytes`,
      `batches of ${BATCH}, bytes in cache`,
      () => x.csum_turn(at, bytes, BATCH),
      () => x.csum_turn_plain(at, bytes, BATCH),
    );
  const key = arena.scratch.alloc(64);
  const frame = arena.scratch.alloc(64);
  arena.u8.set(SYMMETRIC_KEY, key);
  arena.u8.set(udpFrame(5), frame);
  row(
    'receive side scaling',
    'IPv4 UDP',
    `batches of ${BATCH}, one frame; the definition is given its 4-tuple`,
    () => x.rss_turn(frame, 64, BATCH),
    () => x.rss_turn_plain(key, frame + 26, TUPLE_BYTES, BATCH),
  );
}
