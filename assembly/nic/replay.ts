// Replay: plays template frames into a ring as fast as it is emptied: that of a receive queue, or the lane's transmit
// ring at the sending end of a link. Called by the loop before each burst; benchmarks and the main job are fed by it. Each packet is a frame of the pool with a fresh copy of its bytes.
import { FRAME_HEADROOM, Replay, NO_FRAME } from "../layout.gen";
import { packetAt } from "../core/lane";
import { copyPacket } from "../mem/copy";
import { allocFrame } from "../mem/frames";
import { push, reserve, ringAt, submit } from "../mem/ring";

/** Puts up to `limit` packets on its ring; returns how many. Fewer when frames or the packets to play run out. */
export function play(at: u32, limit: u32): u32 {
  const p = changetype<Replay>(at as usize);
  const remaining = p.remaining;
  if (remaining == 0) return 0;
  const feed = ringAt(p.feedAt);
  let n = reserve(feed, limit);
  if ((n as u64) > remaining) n = <u32>remaining;
  const templates = p.templatesAt as usize;
  const count = p.count;
  let cursor = p.cursor;
  let k: u32 = 0;
  for (; k < n; k++) {
    const frame = allocFrame();
    if (frame == NO_FRAME) break;
    const t = templates + (cursor << 3);
    const len = load<u32>(t, 4);
    copyPacket(packetAt + frame + FRAME_HEADROOM, load<u32>(t) as usize, len);
    push(feed, frame + FRAME_HEADROOM, len, 0);
    if (++cursor == count) cursor = 0;
  }
  p.cursor = cursor;
  p.remaining = remaining - k;
  p.played += k;
  submit(feed);
  return k;
}
