/** Streams: what the engine keeps of a connection or a socket of a transport, named by number everywhere. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const streamEnums: EnumSchema[] = [
  {
    name: 'StreamFlag',
    doc: 'Bits of Stream.flags.',
    members: { OPEN: 1, SUSPECT: 2 },
  },
  {
    name: 'ReadyState',
    doc: 'Where a stream stands towards the ready list of its lane: Stream.ready.',
    members: { IDLE: 0, QUEUED: 1, VISITED: 2 },
  },
];

export const streamStructs: StructSchema[] = [
  {
    name: 'Stream',
    doc: 'One stream; its number is its index in the table. What the hooks read and the ready list links: the first line.',
    align: 64,
    fields: [
      f('flags', 'u32', 'StreamFlag bits: 0 = a free number. SUSPECT: its lane died in its last visit'),
      f('lane', 'u32', 'Lane that owns it: the only one that makes it ready and visits it'),
      f('ifindex', 'u32', 'Port whose XDP_GEN makes its packets'),
      f('transport', 'u32', 'Number of its transport: ingress_ifindex of the GEN and EGRESS context'),
      f('ready', 'u32', 'ReadyState'),
      f('readyNext', 'u32', '1 + number of the next stream of the ready list, 0 = the last'),
    ],
  },
];
