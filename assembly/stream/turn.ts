// What streams ask of each round of the loop. Called by core/loop.ts.
import { header } from "../core/lane";
import { isRung, takeDoorbells } from "./doorbell";
import { flushEvents } from "./event";
import { isLooking, scanStreams } from "./scan";

/** The start of a round: what applications ask. Returns doorbells taken, and 1 more while the table is looked through. */
// @ts-ignore: decorator
@inline export function beginTurn(): u32 {
  return header().streamPoolAt == 0 ? 0 : takeDoorbells() + scanStreams();
}

/** Whether there is something for the start of a round. */
// @ts-ignore: decorator
@inline export function turnAwaited(): bool {
  return header().streamPoolAt != 0 && (isRung() || isLooking());
}

/** The end of a round: what applications are told. */
// @ts-ignore: decorator
@inline export function endTurn(): void {
  if (header().streamPoolAt != 0) flushEvents();
}

/** Both, for the host's own instance and for tests. */
export function stream_turn(): u32 {
  const taken = beginTurn();
  endTurn();
  return taken;
}
