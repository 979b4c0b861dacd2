/** Streams: what the engine keeps of a connection or a socket of a transport, named by number everywhere. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const streamEnums: EnumSchema[] = [
  {
    name: 'StreamFlag',
    doc: 'Bits of Stream.flags, 0 = a free number. SUSPECT: its lane died in its last visit. CLOSED: the transport is done with it, the application has not let go yet. LINKED: free, but still in a ready list.',
    members: { OPEN: 1, SUSPECT: 2, CLOSED: 4, LINKED: 8 },
  },
  {
    name: 'ReadyState',
    doc: 'Where a stream stands towards the ready list of its lane: Stream.ready.',
    members: { IDLE: 0, QUEUED: 1, VISITED: 2 },
  },
  {
    name: 'StreamRequest',
    c: 'EL_REQ',
    doc: 'Bits of Stream.requests: what the application wants. Bits 0-23 go to the transport, WANTS_RING and RUNG are the core’s: the send ring is to be made; a doorbell is on its way. REVIVED is asked by recovery: the lane of the stream died, so what the transport said last may not have been heard, and timers may not have fired.',
    members: {
      CONNECT: 1,
      SHUTDOWN: 2,
      CLOSE: 4,
      ABORT: 8,
      OPTIONS: 16,
      REVIVED: 32,
      MASK: 0xffffff,
      WANTS_RING: 0x40000000,
      RUNG: 0x80000000,
    },
  },
  {
    name: 'StreamEvent',
    c: 'EL_EV',
    doc: 'Bits of Stream.events: what the application is told. Bits 0-15 are the transport’s to set; FREED and RUNG are the core’s: the transport has freed the stream; the stream is in the event ring.',
    members: {
      IN: 1,
      OUT: 2,
      HUP: 4,
      ERR: 8,
      ACCEPT: 16,
      CONNECTED: 32,
      URG: 64,
      MASK: 0xffff,
      FREED: 0x10000,
      RUNG: 0x80000000,
    },
  },
];

export const streamStructs: StructSchema[] = [
  {
    name: 'Stream',
    doc: 'One stream; its number is its index in the table, 0 is none. Who writes what: lane, lane, application, both. Positions count bytes from the first one, modulo 2^32.',
    align: 64,
    fields: [
      f('flags', 'u32', 'StreamFlag bits (atomic)'),
      f('lane', 'u32', 'Lane that owns it: the only one that makes it ready and visits it'),
      f('ifindex', 'u32', 'Port whose XDP_GEN makes its packets'),
      f('transport', 'u32', 'Number of its transport: ingress_ifindex of the GEN and EGRESS context'),
      f('ready', 'u32', 'ReadyState'),
      f('readyNext', 'u32', '1 + number of the next stream of the ready list, 0 = the last'),
      f('app', 'u32', 'Application that owns it, 0 = none'),
      f(
        'generation',
        'u32',
        'Raised when the number becomes free: tells doorbells and events of its former life',
      ),
      f('sndAt', 'u32', 'Send ring, 0 = none yet (atomic)'),
      f('sndBytes', 'u32', 'Size that it has or will have, a power of two; 0 = never one'),
      f('rcvAt', 'u32', 'Receive ring, 0 = none yet (atomic)'),
      f('rcvBytes', 'u32', 'Size that it has or will have, a power of two; 0 = never one'),
      f(
        'told',
        'u32',
        '1 = the application knows of it, and must let go of it before its memory is given back',
      ),
      f('nextFree', 'u32', 'Next free number of the same batch, 0 = the last'),
      f('nextBatch', 'u32', 'First number of a batch: first number of the next batch in the depot (atomic)'),
      f('sndAcked', 'u32', 'Position before which the send ring may be overwritten (atomic)', {
        cacheLine: true,
      }),
      f('rcvEnd', 'u32', 'Position before which received bytes are the application’s (atomic)'),
      f('rcvLimit', 'u32', 'Position up to which the transport last saw room in the receive ring'),
      f('sndEnd', 'u32', 'Position behind the last byte that the application wrote (atomic)', {
        cacheLine: true,
      }),
      f('rcvRead', 'u32', 'Position before which the application has read (atomic)'),
      f('sndWanted', 'u32', 'Room for which the application waits, bytes; 0 = it does not (atomic)'),
      f('released', 'u32', '1 = the application will not touch the rings any more (atomic)'),
      f('requests', 'u32', 'StreamRequest bits (atomic)', { cacheLine: true }),
      f('events', 'u32', 'StreamEvent bits (atomic)'),
    ],
  },
  {
    name: 'StreamPool',
    doc: 'What the streams of an engine share: free numbers and stream memory.',
    align: 64,
    fields: [
      f('lanesAt', 'u32', 'StreamLane[laneCount + 1]'),
      f('appsAt', 'u32', 'App[appCount + 1]; number 0 is none'),
      f('appCount', 'u32', 'Applications that there can be at a time'),
      f('appSlots', 'u32', 'Entries of their doorbell and event rings'),
      f('memoryAt', 'u32', 'Stream memory (page aligned)'),
      f('blocksAt', 'u32', 'StreamBlock[blockCount]'),
      f('blockCount', 'u32', 'Blocks of STREAM_BLOCK bytes that stream memory has'),
      f('batch', 'u32', 'Free numbers that a lane takes from the depot, or gives to it, at a time'),
      f('laneBlocks', 'u32[14]', 'Most blocks that one lane keeps for itself, by size class'),
      f('ids', 'u64', 'Head of the batches of free numbers: tag << 32 | number (atomic)', {
        cacheLine: true,
      }),
      f('lock', 'u32', 'Lock of what follows (assembly/bpf/maps/lock.ts)', { cacheLine: true }),
      f(
        'dirty',
        'u32',
        '1 while the lists are being changed: with the lock of a dead lane they are not to be believed',
      ),
      f('freeBytes', 'u32', 'Bytes in the lists'),
      f('free', 'u32[14]', '1 + first free block, by size class'),
      f(
        'returns',
        'u32',
        'Times that pieces came back (atomic): who found none looks again when it has changed',
        {
          cacheLine: true,
        },
      ),
      f(
        'hungry',
        'u32',
        '1 = some lane found no memory for a send ring: pieces go to the pool, not to caches (atomic)',
      ),
    ],
  },
  {
    name: 'StreamBlock',
    doc: 'What is known of a piece of stream memory, by the block that it begins with.',
    fields: [
      f('next', 'u32', '1 + next free block of the class, 0 = the last'),
      f('prev', 'u32', '1 + the one before, 0 = the first'),
      f('state', 'u32', '0 = inside of a piece; else 1 + class, and BLOCK_FREE when it is in a list'),
    ],
  },
  {
    name: 'StreamLane',
    doc: 'What one lane (or the host instance) keeps of streams. Written by that lane only, but for the last line.',
    align: 64,
    fields: [
      f('freeHead', 'u32', 'Free numbers: the batch in use, 0 = empty'),
      f('freeCount', 'u32', 'How many'),
      f('spareHead', 'u32', 'A full batch, 0 = none'),
      f('scanAt', 'u32', 'Next stream of the look through the table, 0 = none under way'),
      f('starved', 'u32', '1 = a send ring that was wanted found no memory'),
      f('returnsSeen', 'u32', 'StreamPool.returns at that time'),
      f('touched', 'u32[2]', 'Bit per application with events staged and not yet submitted'),
      f('opened', 'u32', 'Streams opened'),
      f('freed', 'u32', 'Streams whose numbers became free'),
      f('noMemory', 'u32', 'Rings that found no memory'),
      f('foreign', 'u32', 'Doorbells for streams of another application or lane: ignored'),
      f('stale', 'u32', 'Doorbells for streams that are no more: ignored'),
      f('cached', 'u32[14]', 'Blocks in `blocks`, by size class'),
      f('blocks', 'u32[224]', 'Addresses of pieces that the lane keeps, STREAM_CACHE of each class'),
      f('rung', 'u32[2]', 'Bit per application whose doorbell ring has entries (atomic)', {
        cacheLine: true,
      }),
      f('scanWanted', 'u32', '1 = the lane is asked for such a look (atomic)'),
    ],
  },
  {
    name: 'App',
    doc: 'One application: a thread that owns streams.',
    align: 64,
    fields: [
      f('state', 'u32', 'AppState (atomic)'),
      f('endsAt', 'u32', 'AppLane[laneCount]'),
      f('sleeping', 'u32', '1 while it waits on `wake` (atomic)', { cacheLine: true }),
      f('wake', 'u32', 'Futex word: raised and notified by a lane that has events for it'),
    ],
  },
  {
    name: 'AppLane',
    doc: 'Between one application and one lane: addresses of four Rings’ views.',
    align: 64,
    fields: [
      f('doorProducer', 'u32', 'Doorbells, the application’s side. Entries {number, 0, generation}'),
      f('doorConsumer', 'u32', 'Doorbells, the lane’s side'),
      f('eventProducer', 'u32', 'Events, the lane’s side. Entries {number, 0, generation}'),
      f('eventConsumer', 'u32', 'Events, the application’s side'),
      f(
        'overflow',
        'u32',
        '1 = an event found its ring full: the application looks through its streams (atomic)',
        {
          cacheLine: true,
        },
      ),
    ],
  },
];

export const appEnums: EnumSchema[] = [
  { name: 'AppState', doc: 'App.state.', members: { FREE: 0, OPEN: 1, DEAD: 2 } },
];
