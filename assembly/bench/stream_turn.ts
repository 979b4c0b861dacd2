// A transport without a wire: what streams send they receive, by the kfuncs that a transport uses. For benchmarks.
import { header, lane } from "../core/lane";
import { Stream, StreamFlag } from "../layout.gen";
import { el_stream_fetch, el_stream_place } from "../stream/bytes";
import { el_stream_acked, el_stream_rcv_limit, el_stream_received, el_stream_snd_end } from "../stream/position";
import { recordAt } from "../stream/record";
import { stream_turn } from "../stream/turn";

/** Takes what streams 1 … `count` sent, in segments of at most `most` bytes, and gives it back. Returns bytes moved. */
export function stream_echo(ctx: usize, count: u32, most: u32): u32 {
  let moved: u32 = 0;
  for (let id: u32 = 1; id <= count; id++) {
    const s = recordAt(id);
    if (s.flags != StreamFlag.OPEN || s.lane != lane) continue;
    moved += echo(ctx, id, s, most);
  }
  return moved;
}

function echo(ctx: usize, id: u32, s: Stream, most: u32): u32 {
  let moved: u32 = 0;
  while (true) {
    const from = s.sndAcked;
    const to = s.rcvEnd;
    const n = min(min(el_stream_snd_end(id) - from, el_stream_rcv_limit(id) - to), most);
    if (n == 0) return moved;
    if (el_stream_fetch(ctx, 0, id, from, n) < 0 || el_stream_place(ctx, 0, id, to, n) < 0) return moved;
    el_stream_received(id, to + n);
    el_stream_acked(id, from + n);
    moved += n;
  }
}

/** The same over and over, with doorbells and events, until the word at `stop` is not 0. */
export function stream_echo_until(ctx: usize, count: u32, most: u32, stop: usize): void {
  while (atomic.load<u32>(stop) == 0) {
    stream_turn();
    stream_echo(ctx, count, most);
  }
}

/** `rounds` times a segment of `len` bytes out of the send ring of stream `id`, or into its receive ring; always the same one. */
export function stream_copies(ctx: usize, id: u32, len: u32, rounds: u32, place: bool): i32 {
  const s = recordAt(id);
  let sum: i32 = 0;
  for (let i: u32 = 0; i < rounds; i++) {
    sum ^= place ? el_stream_place(ctx, 0, id, s.rcvEnd, len) : el_stream_fetch(ctx, 0, id, s.sndAcked, len);
  }
  return sum;
}

/** What a copy and a sum cost apart: bytes between two places of the packet area, `rounds` times. */
export function stream_plain_copies(to: usize, from: usize, len: u32, rounds: u32): u32 {
  let sum: u32 = header().laneCount;
  for (let i: u32 = 0; i < rounds; i++) {
    memory.copy(to, from, len);
    for (let k: u32 = 0; k < (len & ~1); k += 2) sum += load<u16>(to + k);
  }
  return sum;
}
