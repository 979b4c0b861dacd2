/**
 * Frame headers: the core's walk and checks on hostile frames. Each frame lies at the very end of memory (a read
 * behind it traps) and once more between bytes of another kind (a read outside it changes the outcome); the printers,
 * written apart, must say the same of it.
 */
import { fileURLToPath } from 'node:url';
import { EtherloomError } from '../../../host/errors.js';
import { readCapture } from '../../../host/nic/pcap/reader.js';
import { dissect, printLine, printNested } from '../../../host/wire/index.js';
import { WireStatus } from '../../../host/wire/layout.gen.js';
import { Bench } from '../../support/core.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const REAL = fileURLToPath(new URL('../../fixtures/capture/real-traffic.pcapng', import.meta.url));
const MAX_FRAME = 400;
const bench = new Bench();
const { core, arena } = bench;
const names = new Map<number, string>(Object.entries(WireStatus).map(([k, v]) => [v, k]));

/** Everything that the core says of a frame. */
function walk(at: number, len: number): string {
  const status = core.frame_check_frame(at, len);
  const hash = core.rss_hash(at, len);
  const found = [
    core.frame_l3_at(),
    core.frame_l3_type(),
    core.frame_l4_at(),
    core.frame_l4_proto(),
    core.frame_l4_bytes(),
  ];
  const sums = status === 0 ? core.frame_checksums_ok(at) : 0;
  return [names.get(status), hash, sums, ...found].join(' ');
}

/** One frame of each kind: those that the core sees differently. */
function seeds(): Uint8Array[] {
  const kinds = new Map<string, Uint8Array>();
  for (const { data } of readCapture(REAL)) {
    if (data.length > MAX_FRAME) continue;
    const [status, , , ...found] = walk(bench.putLast(data), data.length).split(' ');
    const kind = [status, ...found.slice(0, 4)].join(' ');
    if (!kinds.has(kind)) kinds.set(kind, data);
  }
  return [...kinds.values()];
}

export const target: FuzzTarget = {
  name: 'frame',
  seeds,
  maxBytes: MAX_FRAME,
  dictionary: [
    Uint8Array.of(0x81, 0),
    Uint8Array.of(0x88, 0xa8),
    Uint8Array.of(8, 0, 0x45),
    Uint8Array.of(0x86, 0xdd, 0x60),
    Uint8Array.of(44, 0, 0, 1),
    Uint8Array.of(60, 0, 1, 4, 0, 0, 0, 0),
  ],
  run: frame => {
    const alone = walk(bench.putLast(frame), frame.length);
    for (const fill of [0x00, 0xff]) {
      arena.u8.fill(fill, bench.at, bench.at + 2 * MAX_FRAME);
      const among = walk(bench.put(frame, 128), frame.length);
      if (among !== alone) throw new Error(`reads outside the frame: ${alone} ≠ ${among}`);
    }
    const layers = dissect(frame);
    const problem = layers.at(-1)!.problem ?? 'OK';
    const [status, , sums] = alone.split(' ');
    if (problem !== status) throw new Error(`the core says ${status}, the printer ${problem}`);
    const right = layers.every(l => l.fields.checksumOk !== false);
    if (status === 'OK' && right !== (sums === '1'))
      throw new Error(`checksums: core ${sums}, printer ${right}`);
    if (printLine(frame).includes('\n') || printLine(frame).includes('undefined'))
      throw new Error('not one clean line');
    if (printNested(frame).split('\n').length !== layers.length) throw new Error('not one line a layer');
    if (status !== 'OK') throw new EtherloomError(`ERR_WIRE_${status}`, problem);
  },
};
