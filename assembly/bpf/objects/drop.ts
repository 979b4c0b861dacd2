// References that are given up, and what dies with an object or a value: objects in its trees and lists, and behind its
// kptrs. They may hold objects in turn; a list of the dying keeps that from being recursion.
import { FieldKind, GraphHead, GraphNode } from "../../layout.gen";
import { spinLock, spinUnlock } from "../../core/lock";
import { head } from "../maps/map";
import { freeObject, headOf, typeOf } from "./heap";
import { node, place, record } from "./record";

/** Objects whose last reference was given up, linked by ObjectHead.next. Lane-local. */
let dying: usize = 0;

/** Gives up one reference; what nobody refers to any more waits in `dying`. */
export function release(object: usize): void {
  const at = typeOf(object).refcountAt;
  if (at && atomic.sub<u32>(object + at - 1, 1) != 1) return;
  headOf(object).next = <u32>dying;
  dying = object;
}

/** The node is in no tree and no list any more. */
// @ts-ignore: decorator
@inline export function clearOwner(n: GraphNode): void {
  n.next = 0;
  n.prev = 0;
  atomic.store<u32>(changetype<usize>(n), 0, offsetof<GraphNode>("owner"));
}

/** Empties a tree or list. `lock`: the bpf_spin_lock beside it. */
function empty(at: usize, lock: usize): void {
  const h = changetype<GraphHead>(at);
  if (lock) spinLock(lock);
  let n: usize = h.first;
  atomic.store<u32>(at, 0);
  h.last = 0;
  h.root = 0;
  h.busy = 0;
  if (lock) spinUnlock(lock);
  while (n) {
    const next: usize = node(n).next;
    const object: usize = node(n).object;
    clearOwner(node(n));
    release(object);
    n = next;
  }
}

/** Frees what the members of a value or object hold. */
function freeMembers(recordAt: usize, base: usize): void {
  const count = record(recordAt).count;
  const lockAt = record(recordAt).lockAt;
  const lock = lockAt ? base + lockAt - 1 : 0;
  for (let i: u32 = 0; i < count; i++) {
    const f = place(recordAt, i);
    const at = base + f.off;
    if (f.kind == FieldKind.KPTR) {
      const old = <usize>atomic.xchg<u64>(at, 0);
      if (old) release(old);
    } else if (f.kind == FieldKind.LIST_HEAD || f.kind == FieldKind.RB_ROOT) {
      if (load<u32>(at)) empty(at, lock);
    }
  }
}

/** Frees the dying, and those that die with them. */
function bury(): void {
  while (dying) {
    const object = dying;
    dying = headOf(object).next;
    freeMembers(typeOf(object).recordAt, object);
    freeObject(object);
  }
}

/** Gives up a reference to an object. */
export function dropObject(object: usize): void {
  release(object);
  bury();
}

/** Frees what the value at `value`, which is deleted or written over, holds of objects. */
export function freeObjectsIn(map: usize, value: usize): void {
  const at: usize = head(map).recordAt;
  if (!at) return;
  freeMembers(at, value);
  bury();
}
