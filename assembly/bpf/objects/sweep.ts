// What of all objects is referred to. Called by the host while no lane runs: then every reference is a tree, a list or a
// kptr of some map, and an object that is in none of them, of a value or of an object that is, belonged to a program that
// died: it is freed. For maps as a whole, too: what theirs hold is freed with them.
import {
  FieldKind, MapType, OBJECT_CACHE_SIZE, OBJECT_HEAD_SIZE, ObjectCache, ObjectHead, ObjectType,
} from "../../layout.gen";
import { header } from "../../core/lane";
import { head } from "../maps/map";
import { look, setOwner } from "./chain";
import { freeObjectsIn } from "./drop";
import { giveFree, headOf, heap, typeOf } from "./heap";
import { isNode, node, place, record } from "./record";

/** Objects found, whose members are to be looked through. */
let found: usize = 0;

function own(object: usize): void {
  const h = headOf(object);
  if (h.owners++ > 0) return;
  h.next = <u32>found;
  found = object;
}

function markChain(at: usize, tree: bool): void {
  look(at, tree);
  for (let n: usize = load<u32>(at); n; n = node(n).next) {
    setOwner(n, at);
    own(node(n).object);
  }
}

function markMembers(recordAt: usize, base: usize): void {
  const count = record(recordAt).count;
  for (let i: u32 = 0; i < count; i++) {
    const f = place(recordAt, i);
    const at = base + f.off;
    if (f.kind == FieldKind.KPTR) {
      const object = <usize>load<u64>(at);
      if (object) own(object);
    } else if (f.kind == FieldKind.LIST_HEAD || f.kind == FieldKind.RB_ROOT) markChain(at, f.kind == FieldKind.RB_ROOT);
  }
}

/** Elements of a map that may hold objects: of a hash table the free ones, too, for who still has their address. */
// @ts-ignore: decorator
@inline function elements(map: usize): u32 {
  return head(map).type == MapType.ARRAY ? head(map).maxEntries : head(map).maxEntries + head(map).lanes;
}

// @ts-ignore: decorator
@inline function valueOf(map: usize, i: u32): usize {
  const h = head(map);
  return (h.dataAt + (h.type == MapType.ARRAY ? 0 : h.aux3) + i * h.stride) as usize;
}

/** Frees what the values of a map hold. */
export function map_free_objects(map: usize): void {
  if (!head(map).recordAt) return;
  for (let i: u32 = 0; i < elements(map); i++) freeObjectsIn(map, valueOf(map, i));
}

/** First object of the heap; 0 when there is none. */
function firstObject(): usize {
  if (!header().objectsAt) return 0;
  return heap().startAt == heap().nextAt ? 0 : heap().startAt + OBJECT_HEAD_SIZE;
}

// @ts-ignore: decorator
@inline function nextObject(object: usize): usize {
  const at = object + typeOf(object).stride;
  return at - OBJECT_HEAD_SIZE < (heap().nextAt as usize) ? at : 0;
}

/** Objects that are in use. */
export function objects_live(): u32 {
  let n: u32 = 0;
  for (let o = firstObject(); o; o = nextObject(o)) n += headOf(o).live;
  return n;
}

/** Before maps are marked: nothing is referred to. */
export function objects_unmark(): void {
  for (let o = firstObject(); o; o = nextObject(o)) {
    headOf(o).owners = 0;
    if (!headOf(o).live) continue;
    const at: usize = typeOf(o).recordAt;
    for (let i: u32 = 0; i < record(at).count; i++) if (isNode(place(at, i).kind)) setOwner(o + place(at, i).off, 0);
  }
}

/** Marks what the values of a map refer to, and what that refers to. */
export function map_mark_objects(map: usize): void {
  const at: usize = head(map).recordAt;
  if (!at) return;
  for (let i: u32 = 0; i < elements(map); i++) markMembers(at, valueOf(map, i));
  while (found) {
    const object = found;
    found = headOf(object).next;
    markMembers(typeOf(object).recordAt, object);
  }
}

/** After that: frees the rest. Every bpf_refcount is what was found. Returns the objects that were freed. */
export function objects_sweep(): u32 {
  const types = header().objectsAt ? heap().typeCount : 0;
  const caches = header().laneCount + 1;
  for (let i: u32 = 0; i < types; i++) {
    const t = changetype<ObjectType>(load<u32>(heap().typesAt + i * 4) as usize);
    t.free = 0;
    for (let l: u32 = 0; l < caches; l++) {
      const c = changetype<ObjectCache>((t.cachesAt + l * OBJECT_CACHE_SIZE) as usize);
      c.head = 0;
      c.count = 0;
    }
  }
  let freed: u32 = 0;
  for (let o = firstObject(); o; o = nextObject(o)) {
    const h: ObjectHead = headOf(o);
    const t = typeOf(o);
    if (h.owners) {
      if (t.refcountAt) store<u32>(o + t.refcountAt - 1, h.owners);
      continue;
    }
    freed += h.live;
    h.live = 0;
    giveFree(t, o);
  }
  return freed;
}
