// The streams of a lane that was given up: their transport runs nowhere any more, so the host's instance ends them, and
// from then on answers the doorbells that are rung for them. Called by host/engine/orphans.ts.
//
//   lane given up ─▶ stream_bury: OPEN ─▶ CLOSED, application told HUP ERR FREED ─▶ it lets go ─▶ stream_attend: free
//
// Promises: a stream is told of once; number and memory come back when its application has let go of it, or is dead.
import { header } from "../core/lane";
import {
  APP_LANE_SIZE, APP_SIZE, App, AppLane, AppState, LANE_STATE_SIZE, LaneState, ReadyState, Stream, StreamEvent, StreamFlag,
  StreamLane, StreamRequest,
} from "../layout.gen";
import { appWords } from "./event";
import { letGo, reclaim } from "./life";
import { laneAt, pool, recordAt } from "./record";

/** An end that nobody was told of yet. */
const OVER: u32 = StreamEvent.HUP | StreamEvent.ERR | StreamEvent.FREED | StreamEvent.RUNG;

/** Ends what lane `dead` has, and gives back what nobody has any more. Returns streams whose application is to be told. */
function end(dead: u32): u32 {
  let news: u32 = 0;
  for (let id = header().streamCount - 1; id != 0; id--) {
    const s = recordAt(id);
    if (s.lane != dead || (s.flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) == 0) continue;
    const at = changetype<usize>(s);
    const open = (s.flags & StreamFlag.OPEN) != 0;
    if (open) {
      // The lane visits nobody any more.
      s.ready = ReadyState.IDLE;
      s.readyNext = 0;
      atomic.store<u32>(at, StreamFlag.CLOSED, offsetof<Stream>("flags"));
    }
    // Before the look: who lets go after it rings again.
    atomic.and<u32>(at, ~<u32>StreamRequest.RUNG, offsetof<Stream>("requests"));
    if (letGo(s)) {
      reclaim(s, id);
    } else if (open) {
      atomic.or<u32>(at, OVER, offsetof<Stream>("events"));
      news++;
    }
  }
  return news;
}

/** Has every application look through the streams that it has in lane `dead`. */
function tell(dead: u32): void {
  for (let i: u32 = 1; i <= pool().appCount; i++) {
    const app = changetype<App>((pool().appsAt + i * APP_SIZE) as usize);
    if (atomic.load<u32>(changetype<usize>(app), offsetof<App>("state")) != AppState.OPEN) continue;
    const lane = changetype<AppLane>((app.endsAt + dead * APP_LANE_SIZE) as usize);
    atomic.store<u32>(changetype<usize>(lane), 1, offsetof<AppLane>("overflow"));
    atomic.store<u32>(changetype<usize>(app), 0, offsetof<App>("sleeping"));
    atomic.add<u32>(changetype<usize>(app), 1, offsetof<App>("wake"));
    atomic.notify(changetype<usize>(app) + offsetof<App>("wake"), 1);
  }
}

/** Lane `dead` was given up, and what it left is mended: ends all its streams. */
export function stream_bury(dead: u32): void {
  if (header().streamPoolAt == 0 || dead >= header().laneCount) return;
  const ls = changetype<LaneState>((header().lanesAt + dead * LANE_STATE_SIZE) as usize);
  ls.readyHead = 0;
  ls.readyTail = 0;
  ls.readyCount = 0;
  ls.handStream = 0;
  end(dead);
  tell(dead);
}

/** Answers doorbells of a lane that was given up: two loads for 32 applications when nobody rang. */
export function stream_attend(dead: u32): void {
  if (header().streamPoolAt == 0 || dead >= header().laneCount) return;
  const at = changetype<usize>(laneAt(dead));
  let rung = atomic.load<u32>(at, offsetof<StreamLane>("scanWanted"));
  const words = appWords();
  for (let word: u32 = 0; word < words; word++) rung |= atomic.load<u32>(at + (word << 2), offsetof<StreamLane>("rung0"));
  if (rung == 0) return;
  for (let word: u32 = 0; word < words; word++) atomic.store<u32>(at + (word << 2), 0, offsetof<StreamLane>("rung0"));
  atomic.store<u32>(at, 0, offsetof<StreamLane>("scanWanted"));
  // A stream that was opened there while the lane was being given up ends now.
  if (end(dead) != 0) tell(dead);
}
