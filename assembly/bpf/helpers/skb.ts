// Helpers on struct __sk_buff: bytes in and out. Called by tc programs and socket filters (net/core/filter.c).
// A packet is one contiguous piece of its frame, so what the kernel calls linear is all of it.
//
//   hardStart        macAt = data (tc)   netAt                        data + len = dataEnd     frameEnd
//   │    headroom      │  link header     │  network header …            │     tailroom           │
import { SkBuff, SkbState } from "../../layout.gen";
import { EFAULT, EINVAL, ENOMEM } from "./errno";
import { ETH_SIZE as ETH_HLEN } from "../../wire/layout.gen";

const INT_MAX: u32 = 0x7fffffff;
const BPF_F_RECOMPUTE_CSUM: u64 = 1;
const BPF_F_INVALIDATE_HASH: u64 = 2;

// @ts-ignore: decorator
@inline export function skbAt(ctx: usize): SkBuff { return changetype<SkBuff>(ctx); }

/** Address of the link header. */
// @ts-ignore: decorator
@inline export function macAt(skb: SkBuff): u32 { return skb.macAt ? skb.macAt : skb.data; }

/** Address of the network header. */
// @ts-ignore: decorator
@inline export function netAt(skb: SkBuff): u32 { return skb.netAt ? skb.netAt : macAt(skb) + ETH_HLEN; }

/** Bytes from `data` to the network header (skb_network_offset). */
// @ts-ignore: decorator
@inline export function netOffset(skb: SkBuff): i32 { return <i32>(netAt(skb) - skb.data); }

/** Whether the packet has its first `len` bytes; also what skb_ensure_writable asks. */
// @ts-ignore: decorator
@inline export function has(skb: SkBuff, len: u64): bool { return len <= <u64>skb.len; }

export function clearHash(skb: SkBuff): void {
  skb.hash = 0;
  skb.state &= ~(<u32>SkbState.HASH_SET);
}

/** Longest copy by words: memory.copy is a call out of Wasm (some 20 ns), worth it for more. */
const SHORT_BYTES: u32 = 32;

/** Copies between packet and program memory, which never overlap. */
// @ts-ignore: decorator
@inline function copyShort(to: usize, from: usize, len: u32): void {
  if (len > SHORT_BYTES) {
    memory.copy(to, from, len);
    return;
  }
  let i: u32 = 0;
  for (; i + 8 <= len; i += 8) store<u64>(to + i, load<u64>(from + i));
  for (; i < len; i++) store<u8>(to + i, load<u8>(from + i));
}

export function skb_load_bytes(ctx: usize, offset: u32, to: usize, len: u32): i32 {
  const skb = skbAt(ctx);
  if (offset > INT_MAX || !has(skb, <u64>offset + len)) {
    memory.fill(to, 0, len);
    return -EFAULT;
  }
  copyShort(to, skb.data + offset, len);
  return 0;
}

const BPF_HDR_START_MAC: u32 = 0;
const BPF_HDR_START_NET: u32 = 1;

export function skb_load_bytes_relative(ctx: usize, offset: u32, to: usize, len: u32, start: u32): i32 {
  const skb = skbAt(ctx);
  const from = (start == BPF_HDR_START_MAC ? macAt(skb) : netAt(skb)) + offset;
  if (offset > 0xffff || start > BPF_HDR_START_NET || <u64>from + len > <u64>skb.dataEnd) {
    memory.fill(to, 0, len);
    return -EFAULT;
  }
  copyShort(to, from, len);
  return 0;
}

export function skb_store_bytes(ctx: usize, offset: u32, from: usize, len: u32, flags: u64): i32 {
  const skb = skbAt(ctx);
  if (flags & ~(BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH)) return -EINVAL;
  if (offset > INT_MAX || !has(skb, <u64>offset + len)) return -EFAULT;
  copyShort(skb.data + offset, from, len);
  if (flags & BPF_F_INVALIDATE_HASH) clearHash(skb);
  return 0;
}

export function skb_pull_data(ctx: usize, len: u32): i32 {
  return has(skbAt(ctx), len) ? 0 : -ENOMEM;
}
