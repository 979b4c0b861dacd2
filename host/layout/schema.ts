/**
 * The layout schema: every structure that two threads, or Wasm and JavaScript, must agree on.
 * `generate.ts` turns it into AssemblyScript overlays, TypeScript accessors, a C header and a memory map.
 * Plain data; offsets follow C rules (natural alignment, little-endian) and are never written by hand.
 */
export type ScalarType = 'u8' | 'u16' | 'u32' | 'u64' | 'i32' | 'i64';
export type FieldType = ScalarType | `${ScalarType}[${number}]`;

export interface FieldSchema {
  name: string;
  type: FieldType;
  doc: string;
  /** Start this field on its own cache line (64 B), so that two writers do not share one. */
  cacheLine?: boolean;
}

export interface StructSchema {
  name: string;
  doc: string;
  fields: FieldSchema[];
  /** Round the size up to a multiple of this many bytes. */
  align?: number;
}

export interface ConstSchema {
  name: string;
  value: number;
  doc: string;
}

/** One closed set of numbers. Becomes a `const enum` in AssemblyScript and a frozen object in TypeScript. */
export interface EnumSchema {
  name: string;
  doc: string;
  members: Record<string, number>;
}

const f = (name: string, type: FieldType, doc: string, more: Partial<FieldSchema> = {}): FieldSchema => ({
  name,
  type,
  doc,
  ...more,
});

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
  { name: 'MAX_TAIL_CALLS', value: 33, doc: 'MAX_TAIL_CALL_CNT of the kernel' },
  { name: 'TRACE_LINE_BYTES', value: 1024, doc: 'Longest trace line: BPF_TRACE_PRINTK_SIZE of the kernel' },
];

export const enums: EnumSchema[] = [
  {
    name: 'XdpAction',
    doc: 'enum xdp_action (include/uapi/linux/bpf.h)',
    members: { ABORTED: 0, DROP: 1, PASS: 2, TX: 3, REDIRECT: 4 },
  },
  {
    name: 'SkbState',
    doc: 'Bits of SkBuff.state: what the helpers noted about a packet.',
    members: { HASH_SET: 1, ENCAPSULATED: 2, TUNNEL: 4, TUNNEL_IPV6: 8 },
  },
  {
    name: 'MapType',
    doc: 'enum bpf_map_type (include/uapi/linux/bpf.h)',
    members: {
      UNSPEC: 0,
      HASH: 1,
      ARRAY: 2,
      PROG_ARRAY: 3,
      PERF_EVENT_ARRAY: 4,
      PERCPU_HASH: 5,
      PERCPU_ARRAY: 6,
      STACK_TRACE: 7,
      CGROUP_ARRAY: 8,
      LRU_HASH: 9,
      LRU_PERCPU_HASH: 10,
      LPM_TRIE: 11,
      ARRAY_OF_MAPS: 12,
      HASH_OF_MAPS: 13,
      DEVMAP: 14,
      SOCKMAP: 15,
      CPUMAP: 16,
      XSKMAP: 17,
      SOCKHASH: 18,
      CGROUP_STORAGE: 19,
      REUSEPORT_SOCKARRAY: 20,
      PERCPU_CGROUP_STORAGE: 21,
      QUEUE: 22,
      STACK: 23,
      SK_STORAGE: 24,
      DEVMAP_HASH: 25,
      STRUCT_OPS: 26,
      RINGBUF: 27,
      INODE_STORAGE: 28,
      TASK_STORAGE: 29,
      BLOOM_FILTER: 30,
      USER_RINGBUF: 31,
      CGRP_STORAGE: 32,
      ARENA: 33,
    },
  },
];

export const structs: StructSchema[] = [
  {
    name: 'ArenaHeader',
    doc: 'First object of the arena: where each region lies. Written once by the host before any lane starts.',
    align: 64,
    fields: [
      f('magic', 'u32', '0x4d4c5445, "ETLM"'),
      f('version', 'u32', 'Layout version'),
      f('totalBytes', 'u32', 'Size of the arena'),
      f('laneCount', 'u32', 'Lanes, the host instance not counted'),
      f('lanesAt', 'u32', 'LaneState[laneCount + 1]; the last is the host instance'),
      f('portsAt', 'u32', 'Port[MAX_PORTS], indexed by ifindex'),
      f('countersAt', 'u32', 'Counter region'),
      f('countersBytes', 'u32', 'Its size'),
      f('ringsAt', 'u32', 'Ring region (page aligned)'),
      f('ringsBytes', 'u32', 'Its size'),
      f('mapsAt', 'u32', 'Map region'),
      f('mapsBytes', 'u32', 'Its size'),
      f('scratchAt', 'u32', 'Scratch region: templates, test-run buffers, application buffers'),
      f('scratchBytes', 'u32', 'Its size'),
      f('packetAt', 'u32', 'Packet area (page aligned): frames, the only part ever registered as UMEM'),
      f('packetBytes', 'u32', 'Its size'),
      f('frameCount', 'u32', 'Frames in the packet area'),
      f('tableBase', 'u32', 'First function-table slot that belongs to programs'),
    ],
  },
  {
    name: 'LaneState',
    doc: 'What one lane (or the host instance) owns. Written by that lane only, but for the words the control plane sets.',
    align: 64,
    fields: [
      f('index', 'u32', 'Lane number; laneCount for the host instance'),
      f('stackAt', 'u32', "Lowest address of this lane's eBPF stack"),
      f('stackTop', 'u32', 'One past its highest address: r10 of a main program'),
      f('tailCalls', 'u32', 'Tail calls made by the run in progress'),
      f('entryFp', 'u32', 'r10 of the next program or callback to be entered; stackTop between runs'),
      f('random0', 'u32', 'bpf_get_prandom_u32: state of xoshiro128++, words 0 … 3'),
      f('random1', 'u32', 'Word 1'),
      f('random2', 'u32', 'Word 2'),
      f('random3', 'u32', 'Word 3; all zero = not seeded yet'),
      f('taiOffsetNs', 'u64', 'Atomic time minus the clock, ns: bpf_ktime_get_tai_ns'),
      f('traceAt', 'u32', 'TraceRing of this lane, 0 = nobody listens'),
      f('nextHop', 'u32[5]', 'struct bpf_redir_neigh of the last bpf_redirect_neigh'),
    ],
  },
  {
    name: 'XdpContext',
    doc: 'What an XDP program gets in r1: struct xdp_md as the kernel has it (24 B), then fields only the engine sees.',
    align: 64,
    fields: [
      f('data', 'u32', 'First byte of the packet (arena address)'),
      f('dataEnd', 'u32', 'One past the last byte'),
      f('dataMeta', 'u32', 'First byte of the metadata; data + 1 when the driver has none'),
      f('ingressIfindex', 'u32', 'Port the packet came from'),
      f('rxQueueIndex', 'u32', 'Queue the packet came from'),
      f('egressIfindex', 'u32', 'Port the packet leaves by (devmap programs)'),
      f('hardStart', 'u32', 'First byte of the frame: adjust_head and adjust_meta stop here'),
      f('frameEnd', 'u32', 'One past the last usable byte of the frame: adjust_tail stops here'),
      f('rxHash', 'u32', 'Symmetric Toeplitz hash of the flow, 0 when not computed'),
    ],
  },
  {
    name: 'SkBuff',
    doc: 'What tc and socket-filter programs get in r1: struct __sk_buff as the kernel has it (192 B), then engine fields.',
    align: 64,
    fields: [
      f('len', 'u32', 'Packet length'),
      f('pktType', 'u32', 'PACKET_HOST …'),
      f('mark', 'u32', 'Writable mark'),
      f('queueMapping', 'u32', 'Queue, writable in tc'),
      f('protocol', 'u32', 'EtherType in network order'),
      f('vlanPresent', 'u32', '1 when a tag is out of band'),
      f('vlanTci', 'u32', 'Tag control information'),
      f('vlanProto', 'u32', 'Tag protocol'),
      f('priority', 'u32', 'Writable priority'),
      f('ingressIfindex', 'u32', 'Port the packet came from'),
      f('ifindex', 'u32', 'Port the program runs on'),
      f('tcIndex', 'u32', 'Writable tc index'),
      f('cb', 'u32[5]', 'Control block of the program'),
      f('hash', 'u32', 'Flow hash'),
      f('tcClassid', 'u32', 'Class id'),
      f('data', 'u32', 'First byte of the packet (arena address)'),
      f('dataEnd', 'u32', 'One past the last byte'),
      f('napiId', 'u32', 'Lane that received the packet'),
      f('family', 'u32', 'sk_skb only'),
      f('remoteIp4', 'u32', 'sk_skb only'),
      f('localIp4', 'u32', 'sk_skb only'),
      f('remoteIp6', 'u32[4]', 'sk_skb only'),
      f('localIp6', 'u32[4]', 'sk_skb only'),
      f('remotePort', 'u32', 'sk_skb only'),
      f('localPort', 'u32', 'sk_skb only'),
      f('dataMeta', 'u32', 'First byte of the metadata'),
      f('flowKeys', 'u64', 'flow_dissector only'),
      f('tstamp', 'u64', 'Time stamp, ns'),
      f('wireLen', 'u32', 'Length on the wire'),
      f('gsoSegs', 'u32', 'Segments'),
      f('sk', 'u64', 'Socket'),
      f('gsoSize', 'u32', 'Segment size'),
      f('tstampType', 'u8', 'Kind of tstamp'),
      f('pad', 'u8[3]', 'Kernel padding'),
      f('hwtstamp', 'u64', 'Hardware time stamp, ns'),
      f('hardStart', 'u32', 'First byte of the frame'),
      f('frameEnd', 'u32', 'One past the last usable byte of the frame'),
      f('macAt', 'u32', 'Link header; 0 = at data'),
      f('netAt', 'u32', 'Network header; 0 = 14 B after the link header'),
      f('state', 'u32', 'SkbState bits; cleared for each packet'),
      f('tunnelKey', 'u32[11]', 'struct bpf_tunnel_key as received would read it, valid with SkbState.TUNNEL'),
    ],
  },
  {
    name: 'RssTable',
    doc: 'Indirection table of receive side scaling: hash → queue. Written by the host, read by whoever steers.',
    align: 64,
    fields: [
      f('mask', 'u32', 'Entries in use − 1; a power of two − 1'),
      f('queues', 'u16[128]', 'Queue of each entry'),
    ],
  },
  {
    name: 'MapHeader',
    doc: 'Head of every map. A map pointer in a program is the address of this structure.',
    align: 64,
    fields: [
      f('type', 'u32', 'MapType'),
      f('id', 'u32', 'Number of the map in this engine'),
      f('keySize', 'u32', 'Bytes in a key'),
      f('valueSize', 'u32', 'Bytes in a value'),
      f('maxEntries', 'u32', 'Capacity'),
      f('flags', 'u32', 'BPF_F_* given at creation'),
      f('dataAt', 'u32', 'Address of the storage (meaning depends on the type)'),
      f('dataBytes', 'u32', 'Bytes of storage'),
      f('stride', 'u32', 'Bytes from one value or element to the next'),
      f('laneStride', 'u32', "Per-CPU maps: bytes from one lane's copy to the next"),
      f('lanes', 'u32', 'Per-CPU maps: number of copies'),
      f('innerAt', 'u32', 'Maps of maps: header that inner maps must match'),
      f('aux0', 'u32', 'Type specific'),
      f('aux1', 'u32', 'Type specific'),
      f('aux2', 'u32', 'Type specific'),
      f('aux3', 'u32', 'Type specific'),
      f('count', 'u32', 'Elements held now (atomic)', { cacheLine: true }),
      f('lock', 'u32', 'Map-wide lock word for slow operations'),
      f('free', 'u32', 'Head of the free list'),
      f('state0', 'u32', 'Type specific, changes at run time'),
      f('state1', 'u32', 'Type specific, changes at run time'),
      f('state2', 'u32', 'Type specific, changes at run time'),
      f('state3', 'u32', 'Type specific, changes at run time'),
      f('valueLock', 'u32', '1 + offset of the bpf_spin_lock inside a value, 0 when it has none'),
      f('valuesAt', 'u32', "Per-CPU hashes: lane 0's values"),
    ],
  },
  {
    name: 'RecordRing',
    doc: 'Control block of a ring of variable-length records (ringbuf, and one per lane of a perf_event_array).',
    align: 64,
    fields: [
      f('dataAt', 'u32', 'Records; twice `bytes` long, so that a record may run past the end instead of wrapping'),
      f('bytes', 'u32', 'Capacity, a power of two'),
      f('mapAt', 'u32', 'MapHeader this ring belongs to'),
      f('consumer', 'u64', 'Position of the next record to read', { cacheLine: true }),
      f('waiting', 'u32', '1 while the reader sleeps on `wakes`'),
      f('producer', 'u64', 'Position of the next record to reserve', { cacheLine: true }),
      f('lock', 'u32', 'Held while a record is reserved'),
      f('wakes', 'u32', 'Wake-ups so far: the word the reader sleeps on'),
      f('dropped', 'u64', 'Records that found no room'),
    ],
  },
  {
    name: 'TraceRing',
    doc: 'Trace log of one lane: bpf_trace_printk writes, the host reads. Records are {u32 length, u64 ns, text}, padded to 4 B.',
    align: 64,
    fields: [
      f('dataAt', 'u32', 'First byte of the ring'),
      f('bytes', 'u32', 'Its size, a power of two'),
      f('lineAt', 'u32', 'TRACE_LINE_BYTES in which a line is formatted'),
      f('lost', 'u32', 'Lines that found no room'),
      f('producer', 'u32', 'Bytes written, modulo 2^32 (atomic)', { cacheLine: true }),
      f('consumer', 'u32', 'Bytes read (atomic)', { cacheLine: true }),
    ],
  },
];
