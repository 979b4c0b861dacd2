// Bytes between packets and the rings of streams. Called by transport programs (kfuncs).
//
//   send ring:     … sndAcked ▒▒▒▒▒▒▒▒▒▒▒▒▒▒ sndEnd …        fetch: any part of what the application wrote
//   receive ring:  … rcvEnd ░░░░░░░░░░░░░░░░ rcvLimit …      place: anywhere in the room, in any order
//
// Promises: nothing is read or written but the bytes of the packet and that part of the stream's own ring, whatever the
// arguments and the application's cursors say.
import { EFAULT, EINVAL, ENOENT, ENOMEM } from "../core/errno";
import { Stream, XdpContext } from "../layout.gen";
import { csum_partial, csum_reduce } from "../mem/checksum";
import { copySum, joinSums } from "../mem/copy_sum";
import { isNull, ownStream, rcvLimitOf, sndEndOf } from "./record";
import { makeRing } from "./rings";

/** Whether the packet has bytes off … off + len - 1. Both are bounded before they are added. */
// @ts-ignore: decorator
@inline function inPacket(x: XdpContext, off: u32, len: u32): bool {
  return off <= 0xffff && len <= 0xffff && off + len <= x.dataEnd - x.data;
}

/** Copies `len` bytes of the send ring from position `pos` to the packet at `off`. Returns their folded sum, or an error. */
export function el_stream_fetch(ctx: usize, off: u32, id: u32, pos: u32, len: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  const x = changetype<XdpContext>(ctx);
  if (!inPacket(x, off, len)) return -EFAULT;
  const acked = s.sndAcked;
  const have = sndEndOf(s) - acked;
  if (pos - acked > have || len > have - (pos - acked)) return -EINVAL;
  if (len == 0) return 0;
  const size = s.sndBytes;
  const at = pos & (size - 1);
  const to = <usize>(x.data + off);
  const ring = <usize>s.sndAt;
  const first = size - at;
  if (first >= len) return csum_reduce(copySum(to, ring + at, len));
  const sum = copySum(to, ring + at, first);
  return csum_reduce(joinSums(sum, first, copySum(to + first, ring, len - first)));
}

/** Copies `len` bytes of the packet from `off` into the receive ring at position `pos`. Returns their folded sum, or an error. */
export function el_stream_place(ctx: usize, off: u32, id: u32, pos: u32, len: u32): i32 {
  const s = ownStream(id);
  if (isNull(s)) return -ENOENT;
  const x = changetype<XdpContext>(ctx);
  if (!inPacket(x, off, len)) return -EFAULT;
  const end = s.rcvEnd;
  const room = rcvLimitOf(s) - end;
  if (pos - end > room || len > room - (pos - end)) return -EINVAL;
  if (len == 0) return 0;
  let ring = <usize>s.rcvAt;
  if (ring == 0) {
    ring = makeRing(changetype<usize>(s) + offsetof<Stream>("rcvAt"));
    if (ring == 0) return -ENOMEM;
    // It may be smaller than was promised.
    const made = rcvLimitOf(s) - end;
    if (pos - end > made || len > made - (pos - end)) return -EINVAL;
  }
  const size = s.rcvBytes;
  const at = pos & (size - 1);
  const from = <usize>(x.data + off);
  const first = size - at;
  if (first >= len) return csum_reduce(copySum(ring + at, from, len));
  const sum = copySum(ring + at, from, first);
  return csum_reduce(joinSums(sum, first, copySum(ring, from + first, len - first)));
}

/** Folded sum of `len` bytes of the packet at `off`, not complemented, in the order of memory. Outside of it: -EFAULT, no sum. */
export function el_packet_sum(ctx: usize, off: u32, len: u32): u32 {
  const x = changetype<XdpContext>(ctx);
  if (!inPacket(x, off, len)) return <u32>-EFAULT;
  return csum_reduce(csum_partial(x.data + off, len, 0));
}
