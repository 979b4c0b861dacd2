/** A lane: what it owns, what it is told, what it says of itself. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const laneEnums: EnumSchema[] = [
  {
    name: 'LaneFlag',
    doc: 'Bits of LaneState.flags.',
    members: { LOSSLESS: 1, PASS_SINK: 2 },
  },
  {
    name: 'LaneCommand',
    doc: 'What the control plane wants of a lane: LaneState.command.',
    members: { RUN: 0, PAUSE: 1, STOP: 2 },
  },
  {
    name: 'LanePhase',
    doc: 'What a lane is doing: LaneState.phase.',
    members: { IDLE: 0, RUNNING: 1, PAUSED: 2, STOPPED: 3, CRASHED: 4 },
  },
];

export const laneStructs: StructSchema[] = [
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
      f('printArgs', 'u64[3]', 'Arguments of bpf_trace_printk, in memory as the formatter wants them'),
      f('redirectKey', 'u32', 'Key of bpf_redirect_map where a map wants it in memory'),
      f('scratch', 'u64[8]', 'Addresses, while the packet that held them is written anew'),
      f('flags', 'u32', 'LaneFlag bits'),
      f('burst', 'u32', 'Most packets taken from one ring at a time'),
      f('xdpAt', 'u32', 'XdpContext of this lane'),
      f('skbAt', 'u32', 'SkBuff of this lane'),
      f('queuesAt', 'u32', 'u32[queueCount]: addresses of the Queues that it owns'),
      f('queueCount', 'u32', 'Receive queues that it owns'),
      f('inboundAt', 'u32', 'Ring[laneCount + 1], consumer side: links from every lane and the host'),
      f('outboundAt', 'u32', 'Ring[laneCount + 1], producer side: links to every lane'),
      f('passAt', 'u32', 'Ring, producer side: packets that go up to the host'),
      f('touchedAt', 'u32', 'u32[]: Rings with entries staged and not yet submitted'),
      f('outputsAt', 'u32', 'u32[outputCount]: every Ring that a packet of this lane may end in'),
      f(
        'outputCount',
        'u32',
        'How many; a lossless lane takes no more packets than all of them have room for',
      ),
      f(
        'handRing',
        'u32',
        'Ring, consumer side, whose entries are being worked on; 0 = none. For the recovery of a crash',
      ),
      f('handEnd', 'u32', 'Its consumer cursor after them'),
      f(
        'handMap',
        'u32',
        'Map that is being changed: an element of it may be in no list; 0 = none. For the recovery of a crash',
      ),
      f('readyHead', 'u32', '1 + number of the first stream of the ready list, 0 = none'),
      f('readyTail', 'u32', '1 + number of the last one'),
      f('readyCount', 'u32', 'Streams in it'),
      f(
        'handStream',
        'u32',
        '1 + number of the stream that is visited, 0 = none. For the recovery of a crash',
      ),
      f(
        'handAsked',
        'u32',
        'StreamRequest bits that its program fetched in this visit: asked again when the lane dies before it ends',
      ),
      f('badDescriptors', 'u32', 'Descriptors refused: they left their frame or the packet area'),
      f('strayDescriptors', 'u32', 'Those outside the packet area: which frame they stood for is not known'),
      f('badAddr', 'u32', 'Address of the last one'),
      f('badLen', 'u32', 'Its length, bytes'),
      f(
        'owedKicks',
        'u32',
        '1 when something was published to the kernel since the last system call: the loop ends its step early',
      ),
      f('owedWakes', 'u32[2]', 'Bit per lane that sleeps in poll(2) and has work: eventfds to be written'),
      f('loaded', 'u32', 'Magazine that frames are taken from and put back to'),
      f(
        'previous',
        'u32',
        'The magazine loaded before: keeps a lane at the edge from going to the depot each time',
      ),
      f('epoch', 'u32', 'Rounds made; also the heartbeat. One step = a burst boundary was passed', {
        cacheLine: true,
      }),
      f('phase', 'u32', 'LanePhase, written by the lane'),
      f(
        'sleeping',
        'u32',
        '1 while it waits on `wake`: only then must producers notify. 2 while it waits in poll(2): they owe it a write',
      ),
      f('acked', 'u32', 'Last generation taken in'),
      f('packets', 'u64', 'Packets taken from rings'),
      f(
        'lives',
        'u32',
        'Times the lane was recovered after a crash: tells locks of a dead lane from those of its successor',
      ),
      f('ended', 'u32', '1 from when the host ends its thread until the lane is recovered'),
      f('command', 'u32', 'LaneCommand, written by the host', { cacheLine: true }),
      f('generation', 'u32', 'Raised by the host when a control message waits'),
      f('wake', 'u32', 'Futex word: raised and notified by whoever gives a sleeping lane work', {
        cacheLine: true,
      }),
      f('eventFd', 'u32', '1 + eventfd that ends its sleep in poll(2), written by the host; 0 = it has none'),
    ],
  },
];
