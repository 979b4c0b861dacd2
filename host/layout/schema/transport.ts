/** Structures that transports keep in their own maps and hand to kfuncs by address: the core believes nothing in them. */
import { f, type StructSchema } from './types.js';

export const transportStructs: StructSchema[] = [
  {
    name: 'Range',
    c: 'el_range',
    doc: 'Positions from … to - 1, modulo 2^32.',
    fields: [f('from', 'u32', 'First position'), f('to', 'u32', 'One past the last')],
  },
  {
    name: 'Intervals',
    c: 'el_intervals',
    doc: 'Sorted disjoint ranges within 2^31 positions: reassembly, SACK scoreboards. All zero = empty.',
    fields: [
      f('count', 'u32', 'Ranges in the set, at most EL_INTERVALS'),
      f('bytes', 'u32', 'Positions in the set'),
      f('ranges', 'u32[64]', 'from, to of each, lowest first'),
      f('order', 'u8[32]', 'Their indices, last changed first: the order of SACK blocks (RFC 2018 §4)'),
    ],
  },
  {
    name: 'Rtt',
    c: 'el_rtt',
    doc: 'Round-trip time and retransmission timeout (RFC 6298), µs. All zero = no sample yet, default bounds.',
    fields: [
      f('srtt', 'u32', 'Smoothed round-trip time, µs'),
      f('rttvar', 'u32', 'Its variation, µs'),
      f('rto', 'u32', 'Retransmission timeout with its back-off, µs; 0 = 1 s (no sample yet)'),
      f('rtoMin', 'u32', 'Least rto, µs; 0 = 200 ms'),
      f('rtoMax', 'u32', 'Largest rto, µs; 0 = 120 s'),
      f('backoff', 'u32', 'Times that rto was doubled since the last sample'),
      f('latest', 'u32', 'Last sample, µs'),
      f('samples', 'u32', 'Samples taken'),
      f('srtt8', 'u32', 'srtt × 8: keeps what µs would lose'),
      f('rttvar4', 'u32', 'rttvar × 4'),
      f('minWindow', 'u32', 'Window of the least sample, µs; 0 = 10 s'),
      f('minRtt', 'u32', 'Least sample within the window, µs; 0 = none'),
      f('minAt', 'u32', 'When it was taken, µs of the clock modulo 2^32'),
      f('min2Rtt', 'u32', 'Least sample after that one'),
      f('min2At', 'u32', 'When'),
      f('min3Rtt', 'u32', 'Least sample after the second'),
      f('min3At', 'u32', 'When'),
    ],
  },
];
