/**
 * Types of objects in the arena: where assembly/bpf/objects finds sizes and members, and takes memory from. The heap is
 * made with the first type; a type stays as long as the arena, since objects of it may.
 */
import { createHash } from 'node:crypto';
import { EtherloomError } from '../../errors.js';
import {
  FieldPlaceLayout,
  FieldPlaceView,
  FieldRecordLayout,
  FieldRecordView,
  OBJECT_TYPES,
  ObjectCacheLayout,
  ObjectHeadLayout,
  ObjectHeapLayout,
  ObjectHeapView,
  ObjectTypeLayout,
  ObjectTypeView,
} from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { FieldLayout, ObjectLayout } from './layout.js';

/** Bytes of a FieldRecord with its places. */
export const recordBytes = (fields: readonly FieldLayout[]): number =>
  FieldRecordLayout.size + fields.length * FieldPlaceLayout.size;

export function writeRecord(
  arena: Arena,
  at: number,
  { fields, lockOff }: Pick<ObjectLayout, 'fields' | 'lockOff'>,
): void {
  Object.assign(new FieldRecordView(arena.dv, at), { count: fields.length, lockAt: lockOff + 1 });
  fields.forEach((field, i) => {
    const place = at + FieldRecordLayout.size + i * FieldPlaceLayout.size;
    Object.assign(new FieldPlaceView(arena.dv, place), field);
  });
}

function heapOf(arena: Arena): ObjectHeapView {
  const { header } = arena;
  if (header.objectsAt) return new ObjectHeapView(arena.dv, header.objectsAt);
  const head = ObjectHeapLayout.size + OBJECT_TYPES * 4;
  const bytes = head + header.objectBytes;
  const at = arena.maps.alloc(bytes, 64, 'the objects of programs');
  arena.u8.fill(0, at, at + bytes);
  const heap = new ObjectHeapView(arena.dv, at);
  Object.assign(heap, {
    startAt: at + head,
    nextAt: at + head,
    endAt: at + bytes,
    typesAt: at + ObjectHeapLayout.size,
  });
  header.objectsAt = at;
  return heap;
}

/** 64 bits that stand for a type. */
const hashOf = (key: string): bigint => createHash('sha256').update(key).digest().readBigUInt64LE();

/**
 * Address of the ObjectType of a layout, which is made known if it was not.
 * @throws EtherloomError ERR_OBJECT_TYPES when there are too many, ERR_ARENA_FULL
 */
export function objectTypeAt(arena: Arena, layout: ObjectLayout): number {
  const heap = heapOf(arena);
  const hash = hashOf(layout.key);
  for (let i = 0; i < heap.typeCount; i++) {
    const at = arena.dv.getUint32(heap.typesAt + i * 4, true);
    if (new ObjectTypeView(arena.dv, at).hash === hash) return at;
  }
  if (heap.typeCount >= OBJECT_TYPES)
    throw new EtherloomError('ERR_OBJECT_TYPES', `programs make more than ${OBJECT_TYPES} types of objects`, {
      expected: `at most ${OBJECT_TYPES} in one engine`,
    });
  const caches = (arena.header.laneCount + 1) * ObjectCacheLayout.size;
  const bytes = ObjectTypeLayout.size + caches + recordBytes(layout.fields);
  const at = arena.maps.alloc(bytes, 64, 'a type of objects');
  arena.u8.fill(0, at, at + bytes);
  const recordAt = at + ObjectTypeLayout.size + caches;
  writeRecord(arena, recordAt, layout);
  Object.assign(new ObjectTypeView(arena.dv, at), {
    hash,
    bytes: layout.bytes,
    stride: ObjectHeadLayout.size + Math.ceil(layout.bytes / 16) * 16,
    recordAt,
    refcountAt: layout.refcountOff + 1,
    cachesAt: at + ObjectTypeLayout.size,
  });
  arena.dv.setUint32(heap.typesAt + heap.typeCount * 4, at, true);
  heap.typeCount++;
  return at;
}
