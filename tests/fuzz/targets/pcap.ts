import { parseCapture } from '../../../host/nic/pcap/parser.js';
import { pcapFile } from '../../support/capture_files.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const data = Uint8Array.from({ length: 60 }, (_, i) => i * 7);

export const target: FuzzTarget = {
  name: 'pcap',
  seeds: () =>
    [true, false].flatMap(little =>
      [0xa1b2c3d4, 0xa1b23c4d].map(magic =>
        pcapFile(little, magic, [
          { data, seconds: 1_700_000_000, fraction: 5 },
          { data: data.subarray(0, 14), original: 1500 },
          { data: new Uint8Array(0) },
        ]),
      ),
    ),
  run: input => {
    let bytes = 0;
    for (const p of parseCapture(input)) bytes += p.data.length;
    if (bytes > input.length) throw new Error('more packet bytes than file bytes');
  },
};
