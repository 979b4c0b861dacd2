// Members of values and objects that are the engine's: what they start as, and where nodes lie. Freeing them: drop.ts.
import { FIELD_PLACE_SIZE, FIELD_RECORD_SIZE, FieldKind, FieldPlace, FieldRecord, GraphNode, ObjectType } from "../../layout.gen";

// @ts-ignore: decorator
@inline export function record(at: usize): FieldRecord { return changetype<FieldRecord>(at); }
// @ts-ignore: decorator
@inline export function place(recordAt: usize, i: u32): FieldPlace {
  return changetype<FieldPlace>(recordAt + FIELD_RECORD_SIZE + i * FIELD_PLACE_SIZE);
}
// @ts-ignore: decorator
@inline export function node(at: usize): GraphNode { return changetype<GraphNode>(at); }
// @ts-ignore: decorator
@inline export function isNode(kind: u32): bool { return kind == FieldKind.LIST_NODE || kind == FieldKind.RB_NODE; }

/** Fills the members of a new object of zeroes: every node knows its object, and the object is held once. */
export function initFields(t: ObjectType, object: usize): void {
  const at: usize = t.recordAt;
  const n = record(at).count;
  for (let i: u32 = 0; i < n; i++) {
    const f = place(at, i);
    if (isNode(f.kind)) node(object + f.off).object = <u32>object;
  }
  if (t.refcountAt) store<u32>(object + t.refcountAt - 1, 1);
}
