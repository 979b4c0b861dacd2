/** Sizes, limits and offsets that belong to no structure. */
import type { ConstSchema } from './types.js';

export const constants: ConstSchema[] = [
  { name: 'CACHE_LINE', value: 64, doc: 'Bytes in a cache line' },
  { name: 'PAGE', value: 4096, doc: 'Bytes in a page of the host system: unit of UMEM and ring mapping' },
  { name: 'FRAME_SIZE', value: 2048, doc: 'Bytes in one frame (UMEM chunk)' },
  { name: 'FRAME_HEADROOM', value: 256, doc: 'Bytes before the packet: XDP_PACKET_HEADROOM' },
  {
    name: 'ARENA_HEADER_AT',
    value: 4096,
    doc: 'Address of the ArenaHeader; page 0 stays zero so that address 0 is no object',
  },
  { name: 'MAX_LANES', value: 64, doc: 'Most lanes in one engine' },
  { name: 'MAX_PORTS', value: 256, doc: 'Most ports (interfaces) in one engine; also the largest ifindex' },
  {
    name: 'BPF_STACK_BYTES',
    value: 32768,
    doc: 'eBPF stack of one lane: 8 frames of 512 B, callbacks, 33 nested tail calls, and the room of guarded programs',
  },
  {
    name: 'WHEEL_SLOTS',
    value: 576,
    doc: 'List heads of a timing wheel, 8 B each: 9 levels of 64 slots, the lowest of 512 ns a slot',
  },
  { name: 'MAX_TAIL_CALLS', value: 33, doc: 'MAX_TAIL_CALL_CNT of the kernel' },
  { name: 'TRACE_LINE_BYTES', value: 1024, doc: 'Longest trace line: BPF_TRACE_PRINTK_SIZE of the kernel' },
  {
    name: 'ETH_OVERHEAD',
    value: 18,
    doc: 'Bytes of a frame above its MTU: Ethernet header and one VLAN tag, as xdp_ok_fwd_dev counts',
  },
  {
    name: 'LINK_ENTRY_SIZE',
    value: 24,
    doc: 'Bytes of a packet under way on a link: {u64 due, u32 order, u32 addr, u32 len, u32 0}',
  },
  { name: 'MAX_QUEUES', value: 64, doc: 'Most receive queues of one port' },
  { name: 'NO_FRAME', value: 0xffffffff, doc: 'No frame to be had: the address of none' },
  {
    name: 'MAGAZINE_CAPACITY',
    value: 62,
    doc: 'Frames in one magazine of the frame pool (256 B with its head)',
  },
  { name: 'DESC_SIZE', value: 16, doc: 'Bytes of struct xdp_desc: u64 addr, u32 len, u32 options' },
  { name: 'DESC_LEN', value: 8, doc: 'Offset of len in a descriptor' },
  { name: 'DESC_OPTIONS', value: 12, doc: 'Offset of options in a descriptor' },
  { name: 'RING_PRODUCER', value: 0, doc: 'Offset of the producer word in a ring of our own making' },
  {
    name: 'RING_CONSUMER',
    value: 128,
    doc: 'Offset of the consumer word: two lines off, past the adjacent-line prefetch',
  },
  { name: 'RING_FLAGS', value: 192, doc: 'Offset of the flags word (XDP_RING_NEED_WAKEUP)' },
  { name: 'RING_ENTRIES', value: 256, doc: 'Offset of the first entry' },
  {
    name: 'OPT_QUEUE_SHIFT',
    value: 8,
    doc: 'Options of pass and lane links: ifindex in bits 0-7, queue in bits 8-15',
  },
  { name: 'OPT_META_SHIFT', value: 16, doc: 'Pass links: bytes of metadata before the packet, bits 16-23' },
  { name: 'OPT_SLOT_SHIFT', value: 16, doc: 'Lane links: table slot of the cpumap program, bits 16-30' },
  {
    name: 'OPT_TRANSMIT',
    value: 0x80000000,
    doc: 'Lane links: transmit on the port named in bits 0-7 instead of receiving',
  },
  { name: 'MAX_APPS', value: 64, doc: 'Most applications of one engine' },
  { name: 'STREAM_BLOCK', value: 2048, doc: 'Bytes of the smallest ring of a stream: size class 0' },
  {
    name: 'STREAM_CLASSES',
    value: 14,
    doc: 'Size classes of rings, each twice the one before: 2 KiB … 16 MiB',
  },
  { name: 'STREAM_CACHE', value: 16, doc: 'Places for pieces of each class that a lane keeps' },
  { name: 'STREAM_BATCH', value: 64, doc: 'Most free numbers in one batch; fewer where streams are few' },
  { name: 'BLOCK_FREE', value: 0x100, doc: 'StreamBlock.state: the piece is in a list of the pool' },
  {
    name: 'CC_USERS',
    value: 16,
    doc: 'Most congestion controls of users in one engine: numbers from CcAlgorithm.USER on',
  },
  { name: 'EL_INTERVALS', c: 'EL_INTERVALS', value: 32, doc: 'Most ranges of one set of intervals' },
];
