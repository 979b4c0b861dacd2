// Tunnel keys (net/core/filter.c). No port encapsulates, so a key is a note on the packet: programs further
// down its way read it, as they would the metadata of a received tunnel packet.
// The kernel stores remote as destination and local as source; a reader gets source as remote. Kept so.
import { SkBuff, SkbState } from "../../layout.gen";
import { EINVAL, EPROTO } from "./errno";
import { skbAt } from "./skb";

// struct bpf_tunnel_key
const KEY_BYTES: u32 = 44;
const REMOTE: u32 = 4;
const TOS: u32 = 20;
const TTL: u32 = 21;
const EXT: u32 = 22;
const LABEL: u32 = 24;
const LOCAL: u32 = 28;
/** Older layouts of the structure that the kernel still takes: up to remote_ipv4, ext, label, local. */
// @ts-ignore: decorator
@inline function knownSize(size: u32): bool {
  return size == KEY_BYTES || size == LOCAL || size == LABEL || size == EXT || size == REMOTE + 4;
}

const F_TUNINFO_IPV6: u64 = 1;
const F_TUNINFO_FLAGS: u64 = 1 << 4;
const SET_FLAGS: u64 = F_TUNINFO_IPV6 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4;
const FLOWLABEL_MASK: u32 = 0x000fffff;

// @ts-ignore: decorator
@inline function keyOf(skb: SkBuff): usize {
  return changetype<usize>(skb) + offsetof<SkBuff>("tunnelKey0");
}

export function skb_set_tunnel_key(ctx: usize, from: usize, size: u32, flags: u64): i32 {
  if (flags & ~SET_FLAGS || !knownSize(size)) return -EINVAL;
  const v6 = (flags & F_TUNINFO_IPV6) != 0;
  if (size >= LABEL && load<u16>(from, EXT)) return -EINVAL;
  const label: u32 = size > LABEL ? load<u32>(from, LABEL) : 0;
  if (!v6 && label) return -EINVAL;
  const skb = skbAt(ctx);
  const key = keyOf(skb);
  memory.fill(key, 0, KEY_BYTES);
  store<u32>(key, load<u32>(from));
  if (size >= EXT) store<u16>(key, load<u16>(from, TOS), TOS);
  const addr: u32 = v6 ? 16 : 4;
  memory.copy(key + LOCAL, from + REMOTE, min<u32>(addr, size - REMOTE));
  if (size == KEY_BYTES) memory.copy(key + REMOTE, from + LOCAL, addr);
  if (v6) store<u32>(key, label & FLOWLABEL_MASK, LABEL);
  skb.state = (skb.state & ~(<u32>SkbState.TUNNEL_IPV6)) | <u32>SkbState.TUNNEL | (v6 ? <u32>SkbState.TUNNEL_IPV6 : 0);
  return 0;
}

export function skb_get_tunnel_key(ctx: usize, to: usize, size: u32, flags: u64): i32 {
  const skb = skbAt(ctx);
  let err: i32 = 0;
  const v6 = (skb.state & <u32>SkbState.TUNNEL_IPV6) != 0;
  if (!(skb.state & <u32>SkbState.TUNNEL) || flags & ~(F_TUNINFO_IPV6 | F_TUNINFO_FLAGS)) err = -EINVAL;
  else if (v6 != ((flags & F_TUNINFO_IPV6) != 0)) err = -EPROTO;
  else if (!knownSize(size) || (size == REMOTE + 4 && v6)) err = -EINVAL;
  if (err) {
    memory.fill(to, 0, size);
    return err;
  }
  memory.copy(to, keyOf(skb), size);
  return 0;
}
