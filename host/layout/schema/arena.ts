/** The arena itself: its regions, and the frames of the packet area that are free. */
import { f, type StructSchema } from './types.js';

export const arenaStructs: StructSchema[] = [
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
      f('poolAt', 'u32', 'FramePool'),
      f('fibAt', 'u32', 'Fib: routes and neighbours of bpf_fib_lookup, 0 = none (atomic)'),
      f(
        'lentAt',
        'u32',
        'u8[frameCount]: ifindex of the port whose rings in the kernel have the frame, 0 = none; 0 = no such port',
      ),
      f('wheelsAt', 'u32', 'LaneWheel[laneCount + 1], each with its WHEEL_SLOTS list heads behind it'),
      f('learnedAt', 'u32', 'LearnedTable: neighbours that were learned, 0 = no responder yet (atomic)'),
      f('queuedAt', 'u32', 'QueuedFrame[frameCount], 0 = no pkt_queue was made yet'),
      f('streamsAt', 'u32', 'Stream[streamCount]'),
      f('streamCount', 'u32', 'Streams that there can be; numbers are less'),
      f('streamPoolAt', 'u32', 'StreamPool, 0 = no streams'),
      f('hashKey', 'u64[2]', 'Key of el_siphash, drawn anew for each engine'),
    ],
  },
];
