// The burst in hand: ring entries that are being worked on are named in LaneState, so that the recovery of a lane that
// dies drops them and does not play them twice. Called by whoever consumes a ring: the loop, and links.
import { Ring } from "../layout.gen";
import { release, releaseOwn } from "../mem/ring";
import { self } from "./lane";

/** Takes the first `n` entries of `r` in hand. */
// @ts-ignore: decorator
@inline export function take(r: Ring, n: u32): void {
  const ls = self();
  ls.handEnd = r.cachedConsumer + n;
  ls.handRing = <u32>changetype<usize>(r);
}

/** Gives the first `n` entries of `r` back to the producer: the hand is empty. */
// @ts-ignore: decorator
@inline export function give(r: Ring, n: u32): void {
  release(r, n);
  self().handRing = 0;
}

/** The same of a ring whose producer is this lane, too. */
// @ts-ignore: decorator
@inline export function giveOwn(r: Ring, n: u32): void {
  releaseOwn(r, n);
  self().handRing = 0;
}
