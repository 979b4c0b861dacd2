/** How received packets are spread over the queues of a port. */
import { f, type StructSchema } from './types.js';

export const steerStructs: StructSchema[] = [
  {
    name: 'RssTable',
    doc: 'Indirection table of receive side scaling: hash → queue. Written by the host, read by whoever steers.',
    align: 64,
    fields: [
      f('mask', 'u32', 'Entries in use − 1; a power of two − 1'),
      f('queues', 'u16[128]', 'Queue of each entry'),
    ],
  },
];
