// Checksum helpers (net/core/filter.c). The arithmetic is mem/checksum.ts; here are the kernel's rules around it.
// No port offloads checksums: every packet is CHECKSUM_NONE.
import { csum_partial, csum_reduce, csum_replace2, csum_replace4, csum_replace_by_diff, csum_sub } from "../../mem/checksum";
import { EACCES, EFAULT, EINVAL, ENOTSUPP } from "./errno";
import { has, skbAt } from "./skb";

const BPF_F_HDR_FIELD_MASK: u64 = 0xf;
const BPF_F_PSEUDO_HDR: u64 = 1 << 4;
const BPF_F_MARK_MANGLED_0: u64 = 1 << 5;
const BPF_F_MARK_ENFORCE: u64 = 1 << 6;
const BPF_F_IPV6: u64 = 1 << 7;
/** In UDP a sum of 0 says "none", so a computed 0 is sent as its other form. */
const CSUM_MANGLED_0: u16 = 0xffff;

/** Sum of `to` minus `from` plus `seed`, folded to 16 bits since Linux 6.13 (csum_from32to16). */
export function csum_diff(from: usize, fromSize: u32, to: usize, toSize: u32, seed: u32): i64 {
  let sum = seed;
  if (toSize) sum = csum_partial(to, toSize, sum);
  if (fromSize) sum = csum_sub(sum, csum_partial(from, fromSize, 0));
  return <i64>csum_reduce(sum);
}

/** Where the checksum stands, or a negative error. */
// @ts-ignore: decorator
@inline function field(ctx: usize, offset: u32): i32 {
  const skb = skbAt(ctx);
  if (offset > 0xffff || offset & 1 || !has(skb, offset + 2)) return -EFAULT;
  return 0;
}

export function l3_csum_replace(ctx: usize, offset: u32, from: u64, to: u64, flags: u64): i32 {
  if (flags & ~BPF_F_HDR_FIELD_MASK) return -EINVAL;
  const err = field(ctx, offset);
  if (err) return err;
  const at: usize = skbAt(ctx).data + offset;
  const check: u32 = load<u16>(at);
  switch (<u32>flags) {
    case 0:
      if (from) return -EINVAL;
      store<u16>(at, <u16>csum_replace_by_diff(check, <u32>to));
      return 0;
    case 2:
      store<u16>(at, <u16>csum_replace2(check, <u32>from & 0xffff, <u32>to & 0xffff));
      return 0;
    case 4:
      store<u16>(at, <u16>csum_replace4(check, <u32>from, <u32>to));
      return 0;
    default:
      return -EINVAL;
  }
}

export function l4_csum_replace(ctx: usize, offset: u32, from: u64, to: u64, flags: u64): i32 {
  if (flags & ~(BPF_F_HDR_FIELD_MASK | BPF_F_PSEUDO_HDR | BPF_F_MARK_MANGLED_0 | BPF_F_MARK_ENFORCE | BPF_F_IPV6))
    return -EINVAL;
  const err = field(ctx, offset);
  if (err) return err;
  const at: usize = skbAt(ctx).data + offset;
  let check: u32 = load<u16>(at);
  const mangle = (flags & BPF_F_MARK_MANGLED_0) != 0;
  if (mangle && !(flags & BPF_F_MARK_ENFORCE) && !check) return 0;
  switch (<u32>(flags & BPF_F_HDR_FIELD_MASK)) {
    case 0:
      if (from) return -EINVAL;
      check = csum_replace_by_diff(check, <u32>to);
      break;
    case 2: // the kernel hands 16-bit values to the 32-bit routine too
    case 4:
      check = flags & 2
        ? csum_replace4(check, <u32>from & 0xffff, <u32>to & 0xffff)
        : csum_replace4(check, <u32>from, <u32>to);
      break;
    default:
      return -EINVAL;
  }
  store<u16>(at, mangle && !check ? CSUM_MANGLED_0 : <u16>check);
  return 0;
}

export function csum_update(_ctx: usize, _sum: u32): i64 {
  return -ENOTSUPP; // not CHECKSUM_COMPLETE
}

const BPF_CSUM_LEVEL_QUERY: u64 = 0;
const BPF_CSUM_LEVEL_RESET: u64 = 3;

export function csum_level(_ctx: usize, level: u64): i32 {
  if (level > BPF_CSUM_LEVEL_RESET) return -EINVAL;
  return level == BPF_CSUM_LEVEL_QUERY ? -EACCES : 0;
}
