// Helpers on struct xdp_md: moving the packet inside its frame, copying in and out (net/core/filter.c).
//
//   hardStart      frameStart         dataMeta   data                 dataEnd        frameEnd
//   │ xdp_frame 40 B │    headroom       │ metadata │      packet         │   tailroom    │
import { XdpContext } from "../../layout.gen";
import { copyBytes } from "../maps/map";
import { EACCES, EFAULT, EINVAL, ENOTSUPP } from "./errno";
import { ETH_SIZE as ETH_HLEN } from "../../wire/layout.gen";

/** sizeof(struct xdp_frame): the kernel keeps it at the frame's start, so heads cannot move there. */
const XDP_FRAME_BYTES: i64 = 40;
const META_MAX: u32 = 255;

// @ts-ignore: decorator
@inline function at(ctx: usize): XdpContext { return changetype<XdpContext>(ctx); }

// 64-bit sums: an offset near ±2^31 must not wrap around the arena.
export function xdp_adjust_head(ctx: usize, offset: i32): i32 {
  const xdp = at(ctx);
  const meta = xdp.dataMeta;
  const metaLen: u32 = meta > xdp.data ? 0 : xdp.data - meta;
  const data = <i64>xdp.data + offset;
  if (data < <i64>xdp.hardStart + XDP_FRAME_BYTES + metaLen || data > <i64>xdp.dataEnd - <i64>ETH_HLEN) return -EINVAL;
  if (metaLen) memory.copy(meta + offset, meta, metaLen);
  xdp.dataMeta = meta + offset;
  xdp.data = <u32>data;
  return 0;
}

export function xdp_adjust_meta(ctx: usize, offset: i32): i32 {
  const xdp = at(ctx);
  if (xdp.dataMeta > xdp.data) return -ENOTSUPP;
  const meta = <i64>xdp.dataMeta + offset;
  if (meta < <i64>xdp.hardStart + XDP_FRAME_BYTES || meta > <i64>xdp.data) return -EINVAL;
  const metaLen = xdp.data - <u32>meta;
  if (metaLen & 3 || metaLen > META_MAX) return -EACCES;
  xdp.dataMeta = <u32>meta;
  return 0;
}

export function xdp_adjust_tail(ctx: usize, offset: i32): i32 {
  const xdp = at(ctx);
  const end = <i64>xdp.dataEnd + offset;
  if (end > <i64>xdp.frameEnd || end < <i64>xdp.data + <i64>ETH_HLEN) return -EINVAL;
  if (offset > 0) memory.fill(xdp.dataEnd, 0, offset);
  xdp.dataEnd = <u32>end;
  return 0;
}

export function xdp_get_buff_len(ctx: usize): u32 {
  return at(ctx).dataEnd - at(ctx).data;
}

// @ts-ignore: decorator
@inline function outside(xdp: XdpContext, offset: u32, len: u32): i32 {
  if (offset > 0xffff || len > 0xffff) return -EFAULT;
  return offset + len > xdp.dataEnd - xdp.data ? -EINVAL : 0;
}

export function xdp_load_bytes(ctx: usize, offset: u32, to: usize, len: u32): i32 {
  const err = outside(at(ctx), offset, len);
  if (err) return err;
  // Packet and program memory never overlap.
  copyBytes(to, at(ctx).data + offset, len);
  return 0;
}

export function xdp_store_bytes(ctx: usize, offset: u32, from: usize, len: u32): i32 {
  const err = outside(at(ctx), offset, len);
  if (err) return err;
  copyBytes(at(ctx).data + offset, from, len);
  return 0;
}
