// Room ahead: how much a lossless lane may take in, make or take out of a queue. Called by the loop and by kfuncs.
// Promises: with room for n packets, n packets find a place whatever programs decide, broadcasts included.
import { LaneFlag, LaneState } from "../layout.gen";
import { reserve, ringAt } from "../mem/ring";

/** How many of `n` packets may be taken: fewer in a lossless lane where some ring that they may end in is nearly full. */
// @ts-ignore: decorator
@inline export function budget(ls: LaneState, n: u32): u32 {
  return n == 0 || (ls.flags & LaneFlag.LOSSLESS) == 0 ? n : roomAhead(ls, n);
}

function roomAhead(ls: LaneState, n: u32): u32 {
  const list = ls.outputsAt;
  const count = ls.outputCount;
  for (let i: u32 = 0; i < count && n != 0; i++) {
    n = reserve(ringAt(load<u32>((list + (i << 2)) as usize)), n);
  }
  return n;
}

/** Packets that this lane has in hand: of the burst that it takes in, or the one that it makes. */
// @ts-ignore: decorator
@inline function inHand(ls: LaneState): u32 {
  const ring = ls.handRing;
  return (ring != 0 ? ls.handEnd - ringAt(ring).cachedConsumer : 0) + (ls.handStream != 0 ? 1 : 0);
}

/** Whether one packet more can be sent, beside those in hand and `held` others that programs took out of queues. */
// @ts-ignore: decorator
@inline export function roomToTake(ls: LaneState, held: u32): bool {
  if ((ls.flags & LaneFlag.LOSSLESS) == 0) return true;
  const need = inHand(ls) + held + 1;
  return roomAhead(ls, need) == need;
}
