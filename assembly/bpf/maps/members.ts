// Members of values that are the engine's (timers, trees, lists, kptrs): freed when their element is deleted or written over.
import { freeObjectsIn } from "../objects/drop";
import { freeTimerIn } from "../timers/helpers";
import { head } from "./map";

// @ts-ignore: decorator
@inline export function freeMembersIn(map: usize, value: usize): void {
  freeTimerIn(map, value);
  if (head(map).recordAt) freeObjectsIn(map, value);
}
