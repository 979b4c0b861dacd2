/** Objects that programs make (bpf_obj_new), and the trees and lists that they put them into. */
import { type EnumSchema, f, type StructSchema } from './types.js';

export const objectEnums: EnumSchema[] = [
  {
    name: 'FieldKind',
    doc: 'What a member of a value or object is that only helpers and kfuncs touch',
    members: {
      SPIN_LOCK: 1,
      TIMER: 2,
      KPTR: 3,
      LIST_HEAD: 4,
      LIST_NODE: 5,
      RB_ROOT: 6,
      RB_NODE: 7,
      REFCOUNT: 8,
    },
  },
];

export const objectStructs: StructSchema[] = [
  {
    name: 'ObjectHeap',
    doc: 'Memory of all objects: cut off its start as they are wanted, an object of one type for ever. ObjectType addresses behind it.',
    align: 64,
    fields: [
      f('lock', 'u32', 'Held while an object is cut off'),
      f('startAt', 'u32', 'First ObjectHead'),
      f('nextAt', 'u32', 'Where the next is cut off (atomic)'),
      f('endAt', 'u32', 'End of the memory'),
      f('typeCount', 'u32', 'Types known'),
      f('typesAt', 'u32', 'u32[OBJECT_TYPES]: ObjectType of each'),
    ],
  },
  {
    name: 'ObjectType',
    doc: 'A type of objects, whichever program made it known: size, members that are the engine’s, free objects. FieldRecord behind it.',
    align: 64,
    fields: [
      f('hash', 'u64', 'Of name, size and members: equal types are one'),
      f('bytes', 'u32', 'Bytes of an object'),
      f('stride', 'u32', 'Bytes of an object with its ObjectHead'),
      f('recordAt', 'u32', 'FieldRecord of its members'),
      f('refcountAt', 'u32', '1 + offset of its bpf_refcount, 0 = none'),
      f('cachesAt', 'u32', 'ObjectCache of each lane'),
      f('free', 'u64', 'Free objects of all lanes: address of the first, changes so far above (atomic)', {
        cacheLine: true,
      }),
    ],
  },
  {
    name: 'ObjectCache',
    doc: 'Free objects of a type that a lane gave back and takes first. Its own only; it outlives the lane.',
    align: 64,
    fields: [f('head', 'u32', 'Address of the first object, 0 = none'), f('count', 'u32', 'How many')],
  },
  {
    name: 'ObjectHead',
    doc: 'Before each object.',
    align: 16,
    fields: [
      f('typeAt', 'u32', 'ObjectType'),
      f('next', 'u32', 'Next free object, or next one to be freed'),
      f('live', 'u32', '1 from bpf_obj_new until the last reference is given up'),
      f('owners', 'u32', 'References found while what dead lanes held is looked for'),
    ],
  },
  {
    name: 'FieldRecord',
    doc: 'Head of a list of FieldPlace, in order of their offset: what of a value or object is the engine’s.',
    fields: [
      f('count', 'u32', 'Places behind it'),
      f('lockAt', 'u32', '1 + offset of the bpf_spin_lock, 0 = none'),
    ],
  },
  {
    name: 'FieldPlace',
    doc: 'One of them.',
    fields: [
      f('kind', 'u32', 'FieldKind'),
      f('off', 'u32', 'Offset in the value'),
      f('bytes', 'u32', 'Its size'),
    ],
  },
  {
    name: 'GraphHead',
    doc: 'struct bpf_list_head or bpf_rb_root. The chain from `first` along `next` is the truth: all else is made anew after a crash.',
    fields: [
      f('first', 'u32', 'GraphNode of the first in order, 0 = none (atomic)'),
      f('last', 'u32', 'Lists: the last'),
      f('root', 'u32', 'Trees: the root'),
      f('busy', 'u32', '1 while it is being changed'),
    ],
  },
  {
    name: 'GraphNode',
    doc: 'struct bpf_list_node (the first 16 bytes, of 24) or bpf_rb_node (of 32).',
    fields: [
      f('next', 'u32', 'The node after it, 0 = none (atomic)'),
      f('prev', 'u32', 'The node before it'),
      f('owner', 'u32', 'GraphHead that it is in, 0 = none, 1 = about to be (atomic)'),
      f('object', 'u32', 'The object that it is in'),
      f('parent', 'u32', 'Trees: parent, and 1 for a black node'),
      f('left', 'u32', 'Trees: left child'),
      f('right', 'u32', 'Trees: right child'),
    ],
  },
];
