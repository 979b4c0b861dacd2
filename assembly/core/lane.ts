// Lane-local globals: who this instance is. Set once by core_init, read by helpers, maps and the loop.
// One instance per lane makes every module global lane-local by construction.
import { ARENA_HEADER_AT, ArenaHeader, LaneState, LANE_STATE_SIZE } from "../layout.gen";
import { resetWheel, wheelOf } from "./wheel";

/** Number of this lane; `laneCount` in the host instance. */
export let lane: u32 = 0;
/** Address of this lane's LaneState. */
export let laneState: usize = 0;
/** Address of the packet area: descriptor addresses are relative to it. */
export let packetAt: usize = 0;
/** Address of this lane's LaneWheel. */
export let laneWheel: usize = 0;

// @ts-ignore: decorator
@inline export function header(): ArenaHeader { return changetype<ArenaHeader>(ARENA_HEADER_AT as usize); }

// @ts-ignore: decorator
@inline export function self(): LaneState { return changetype<LaneState>(laneState); }

/** Binds this instance to lane `index`. Called once by the host, before anything else. */
export function core_init(index: u32): void {
  lane = index;
  laneState = header().lanesAt + index * LANE_STATE_SIZE;
  packetAt = header().packetAt;
  const wheel = wheelOf(index);
  laneWheel = changetype<usize>(wheel);
  // Of a lane that replaces another the wheel goes on.
  if (wheel.near0 == 0) resetWheel(wheel);
}
