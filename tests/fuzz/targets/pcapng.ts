import { parseCapture } from '../../../host/nic/pcap/parser.js';
import { Section } from '../../support/capture_files.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const data = Uint8Array.from({ length: 60 }, (_, i) => i * 7);

function file(little: boolean): Uint8Array {
  const s = new Section(little);
  return s
    .interface(
      Buffer.concat([
        s.option(2, Buffer.from('eth0')),
        s.option(9, Uint8Array.of(9)),
        s.option(0, new Uint8Array(0)),
      ]),
      96,
    )
    .interface(s.option(9, Uint8Array.of(0x94)))
    .enhanced(0, 1_700_000_000_000_000_001n, data)
    .block(5, new Uint8Array(12))
    .enhanced(1, 12345n, data.subarray(0, 14), 1500)
    .simple(data)
    .obsolete(1, 99n, data.subarray(0, 33)).bytes;
}

export const target: FuzzTarget = {
  name: 'pcapng',
  seeds: () => [file(true), file(false), Buffer.concat([file(true), file(false)])],
  dictionary: [
    Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a),
    Uint8Array.of(0x4d, 0x3c, 0x2b, 0x1a),
    Uint8Array.of(6, 0, 0, 0),
    Uint8Array.of(1, 0, 0, 0),
  ],
  // Nearly every mutation breaks a block's second length: say it again.
  repair: input => {
    const v = new DataView(input.buffer, input.byteOffset, input.byteLength);
    let little = true;
    for (let at = 0; at + 12 <= input.length; ) {
      if (v.getUint32(at, true) === 0x0a0d0d0a) little = v.getUint8(at + 8) === 0x4d;
      const total = v.getUint32(at + 4, little);
      if (total < 12 || total % 4 || at + total > input.length) break;
      v.setUint32(at + total - 4, total, little);
      at += total;
    }
  },
  run: input => {
    let bytes = 0;
    for (const p of parseCapture(input)) bytes += p.data.length;
    if (bytes > input.length) throw new Error('more packet bytes than file bytes');
  },
};
