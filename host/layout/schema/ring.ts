/** Frames and the rings that carry them. */
import { f, type StructSchema } from './types.js';

export const ringStructs: StructSchema[] = [
  {
    name: 'FramePool',
    doc: 'Depot of the frame pool: two lock-free stacks of magazines. A head is tag << 32 | address; the tag defeats ABA.',
    align: 64,
    fields: [
      f('magazinesAt', 'u32', 'Magazine[magazineCount]'),
      f('magazineCount', 'u32', 'Magazines in all'),
      f('total', 'u32', 'Frames in all'),
      f('full', 'u64', 'Head of the magazines that hold frames (atomic)', { cacheLine: true }),
      f('empty', 'u64', 'Head of the empty magazines (atomic)', { cacheLine: true }),
    ],
  },
  {
    name: 'Magazine',
    doc: 'Up to MAGAZINE_CAPACITY free frames. Owned by one lane, or by the depot.',
    align: 64,
    fields: [
      f('next', 'u32', 'Next magazine of the depot stack, 0 at its end'),
      f('count', 'u32', 'Frames held'),
      f('frames', 'u32[62]', 'Their addresses, relative to the packet area'),
    ],
  },
  {
    name: 'Ring',
    doc: "One side's view of a ring: where its words are (kernel rings have offsets of their own) and that side's copies of the cursors.",
    align: 64,
    fields: [
      f('producerAt', 'u32', 'Address of the producer word'),
      f('consumerAt', 'u32', 'Address of the consumer word'),
      f('flagsAt', 'u32', 'Address of the flags word'),
      f('entriesAt', 'u32', 'Address of entry 0'),
      f('slots', 'u32', 'Entries, a power of two; 0 = there is no such ring'),
      f('mask', 'u32', 'slots - 1'),
      f(
        'cachedProducer',
        'u32',
        'Producer side: next entry to write, staged ones included. Consumer side: last seen',
      ),
      f('cachedConsumer', 'u32', 'Consumer side: next entry to read. Producer side: last seen'),
      f('submitted', 'u32', 'Producer side: what the producer word says'),
      f('wakeLane', 'u32', 'Producer side: 1 + lane to wake after a submit, 0 for nobody'),
      f('consumerView', 'u32', 'Producer side, sinks: the other side, drained by the same lane'),
      f('countersAt', 'u32', 'Producer side, tx: CounterBlock of this lane on that port'),
      f('lender', 'u32', 'Producer side, tx rings of the kernel: ifindex of the port; 0 = a ring of our own'),
    ],
  },
];
