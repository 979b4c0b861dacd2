// Memory of the objects that programs make. One heap an engine; an object belongs to one type for ever, so that who still
// holds the address of one that was freed finds one of its type there, with trees and lists in the same places:
//
//   ObjectHeap │ types │ ObjectHead, object │ ObjectHead, object │ … nextAt ▶            endAt
//                           ▲ cut off under the heap's lock, the head before the cursor: a walk finds all
//   free: the lane's cache of the type ─▶ the type's list (address, changes) ─▶ cut off
//
// An object that a lane had in hand when it died is found by sweep.ts.
import { OBJECT_CACHE, OBJECT_CACHE_SIZE, OBJECT_HEAD_SIZE, ObjectCache, ObjectHead, ObjectHeap, ObjectType } from "../../layout.gen";
import { header, lane } from "../../core/lane";
import { spinLock, spinUnlock } from "../../core/lock";
import { zeroBytes } from "../maps/map";
import { initFields } from "./record";

const FREE: usize = offsetof<ObjectType>("free");

// @ts-ignore: decorator
@inline export function heap(): ObjectHeap { return changetype<ObjectHeap>(header().objectsAt as usize); }
// @ts-ignore: decorator
@inline export function headOf(object: usize): ObjectHead { return changetype<ObjectHead>(object - OBJECT_HEAD_SIZE); }
// @ts-ignore: decorator
@inline export function typeOf(object: usize): ObjectType { return changetype<ObjectType>(headOf(object).typeAt as usize); }
// @ts-ignore: decorator
@inline function cacheOf(t: ObjectType): ObjectCache {
  return changetype<ObjectCache>((t.cachesAt + lane * OBJECT_CACHE_SIZE) as usize);
}

/** One of the type's free objects, 0 = none. */
function takeFree(t: ObjectType): usize {
  const at = changetype<usize>(t) + FREE;
  while (true) {
    const v = atomic.load<u64>(at);
    const object = <usize>(<u32>v);
    if (object == 0) return 0;
    // May read a word that another lane has already used again: then the change count differs and the swap fails.
    const rest = <u64>headOf(object).next;
    if (atomic.cmpxchg<u64>(at, v, (((v >> 32) + 1) << 32) | rest) == v) return object;
  }
}

export function giveFree(t: ObjectType, object: usize): void {
  const at = changetype<usize>(t) + FREE;
  while (true) {
    const v = atomic.load<u64>(at);
    headOf(object).next = <u32>v;
    if (atomic.cmpxchg<u64>(at, v, (((v >> 32) + 1) << 32) | <u64>(<u32>object)) == v) return;
  }
}

/** An object that never was, 0 when the memory is used up. */
function cutOff(t: ObjectType): usize {
  const h = heap();
  const lock = changetype<usize>(h) + offsetof<ObjectHeap>("lock");
  spinLock(lock);
  const at = h.nextAt;
  let object: usize = 0;
  if (t.stride <= h.endAt - at) {
    object = at + OBJECT_HEAD_SIZE;
    headOf(object).live = 0;
    headOf(object).typeAt = <u32>changetype<usize>(t);
    atomic.store<u32>(changetype<usize>(h), at + t.stride, offsetof<ObjectHeap>("nextAt"));
  }
  spinUnlock(lock);
  return object;
}

/** A new object of zeroes, its trees and lists empty, its bpf_refcount 1. 0: there is no memory. */
export function newObject(type: usize): usize {
  const t = changetype<ObjectType>(type);
  const c = cacheOf(t);
  let object: usize = c.head;
  if (object) {
    c.head = headOf(object).next;
    c.count--;
  } else {
    object = takeFree(t);
    if (!object) object = cutOff(t);
    if (!object) return 0;
  }
  zeroBytes(object, t.bytes);
  initFields(t, object);
  headOf(object).live = 1;
  return object;
}

/** The memory of an object that nobody refers to any more, and whose members were freed. */
export function freeObject(object: usize): void {
  const t = typeOf(object);
  headOf(object).live = 0;
  const c = cacheOf(t);
  if (c.count >= OBJECT_CACHE) return giveFree(t, object);
  headOf(object).next = c.head;
  c.head = <u32>object;
  c.count++;
}
