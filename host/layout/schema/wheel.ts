/** Timers: a node beside every map value that holds a bpf_timer, and the wheel of each lane. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const wheelStructs: StructSchema[] = [
  {
    name: 'TimerNode',
    doc: 'One timer of a map value (the kernel’s struct bpf_hrtimer). One cache line; who may write what: assembly/bpf/timers/own.ts.',
    align: 64,
    fields: [
      f(
        'next',
        'u32',
        'Next in its list; 0 = in none. Lists, links and `placedAt`: the lane of its place only',
      ),
      f('prev', 'u32', 'The one before'),
      f('placedAt', 'u64', 'When it was put in its place of the wheel, ns: not later than `due`'),
      f('due', 'u64', 'When it fires, ns of the lane clock'),
      f('nextDue', 'u64', 'The same, while it is QUEUED: what its new lane asked for. Under `lock`'),
      f('order', 'u32', 'Number of its start in its lane: timers of one time fire in this order'),
      f('word', 'u32', 'Who has it (atomic): TimerState, owner, place, firer'),
      f('lock', 'u32', 'Taken by lanes that do not own it, among themselves'),
      f('slot', 'u32', 'Table slot of its callback; 0 = none (atomic)'),
      f('mapAt', 'u32', 'MapHeader of its map'),
      f('valueAt', 'u32', 'Value that it is in'),
      f('queueNext', 'u32', 'Next in the inbox of its place'),
      f('kind', 'u8', 'TimerKind bits of the start in force'),
      f('clock', 'u8', 'Clock of bpf_timer_init: CLOCK_REALTIME 0, _MONOTONIC 1, _BOOTTIME 7'),
      f('nextKind', 'u8', 'As `nextDue`'),
      f('cancelling', 'u8', 'Callbacks that wait for its callback to end (atomic)'),
    ],
  },
  {
    name: 'LaneWheel',
    doc: 'Timing wheel of one lane (or the host instance), with WHEEL_SLOTS list heads {next, prev} behind it. Written by that lane only, but for `inbox`.',
    align: 64,
    fields: [
      f('soonest', 'u64', 'Nothing falls due before, ns'),
      f('base', 'u64', 'Tick up to which the wheel was turned'),
      f('handDue', 'u64', 'What the node in hand is being started for. For the recovery of a crash'),
      f('handNode', 'u32', 'Node that is being started; 0 = none'),
      f('firing', 'u32', 'Node whose callback runs; 0 = none'),
      f('order', 'u32', 'Starts so far'),
      f('linked', 'u32', 'Timers in the wheel'),
      f('paced', 'u32', 'Those of them that are pacers'),
      f('levels', 'u32', 'Bit per level that may have timers'),
      f('key', 'u32', 'Key of the array element whose callback runs'),
      f('near', 'u32[2]', 'Head of the list of timers of this tick and before, in order of time, then start'),
      f('prompt', 'u32[2]', 'Head of the list of those that run at the end of the round'),
      f('fired', 'u64', 'Callbacks run'),
      f('occupied', 'u64[9]', 'Bit per slot of each level that may have timers'),
      f('inbox', 'u32', 'Nodes that others took from this lane, or bring to it: a stack (atomic)', {
        cacheLine: true,
      }),
    ],
  },
];

export const wheelEnums: EnumSchema[] = [
  {
    name: 'TimerState',
    doc: 'Low bits of TimerNode.word. Owner (lane + 1) from bit 8, place from bit 16, firer from bit 24.',
    members: { ARMED: 1, FIRING: 2, QUEUED: 4 },
  },
  {
    name: 'TimerKind',
    doc: 'Bits of TimerNode.kind.',
    members: { PACER: 1, PROMPT: 2 },
  },
];
