// Text to numbers and comparison: bpf_strtol, bpf_strtoul, bpf_strncmp (kernel/bpf/helpers.c, lib/kstrtox.c).
import { EINVAL, ERANGE } from "./errno";

const BASE_MASK: u64 = 0x1f;
/** The kernel reads at most this many characters after blanks and sign. */
const DIGITS_MAX: u32 = 63;

let negative: bool = false;
let magnitude: u64 = 0;

// @ts-ignore: decorator
@inline function isBlank(c: u32): bool { return c == 32 || (c >= 9 && c <= 13) || c == 0xa0; }

/** Value of a digit; 255 for anything else. */
// @ts-ignore: decorator
@inline function digitOf(c: u32): u32 {
  const low = c | 0x20;
  return c - 48 < 10 ? c - 48 : low - 97 < 6 ? low - 87 : 255;
}

/** __bpf_strtoull: characters used, or a negative error; the number goes to `magnitude` and `negative`. */
function parse(text: usize, len: u32, flags: u64): i32 {
  let base = <u32>(flags & BASE_MASK);
  if (!len || flags & ~BASE_MASK || (base != 0 && base != 8 && base != 10 && base != 16)) return -EINVAL;
  const end = text + len;
  let p = text;
  while (p < end && isBlank(load<u8>(p))) p++;
  negative = p < end && load<u8>(p) == 45;
  if (negative) p++;
  if (p == end) return -EINVAL;
  const stop = <usize>min<u64>(end, p + DIGITS_MAX);
  const hex = p + 1 < stop && load<u8>(p) == 48 && (load<u8>(p, 1) | 0x20) == 120;
  if (base == 0) {
    if (load<u8>(p) != 48) base = 10;
    else base = hex && p + 2 < stop && digitOf(load<u8>(p, 2)) < 16 ? 16 : 8;
  }
  if (base == 16 && hex) p += 2;
  const first = p;
  let value: u64 = 0;
  let overflow = false;
  while (p < stop) {
    const d = digitOf(load<u8>(p));
    if (d >= base) break;
    if (value > (u64.MAX_VALUE - d) / base) overflow = true;
    value = value * base + d;
    p++;
  }
  if (overflow) return -ERANGE;
  if (p == first) return -EINVAL;
  magnitude = value;
  return <i32>(p - text);
}

export function strtol(text: usize, len: u32, flags: u64, result: usize): i32 {
  store<u64>(result, 0);
  const used = parse(text, len, flags);
  if (used < 0) return used;
  const value = negative ? 0 - magnitude : magnitude;
  if (negative ? <i64>value > 0 : <i64>value < 0) return -ERANGE;
  store<u64>(result, value);
  return used;
}

export function strtoul(text: usize, len: u32, flags: u64, result: usize): i32 {
  store<u64>(result, 0);
  const used = parse(text, len, flags);
  if (used < 0) return used;
  if (negative) return -EINVAL;
  store<u64>(result, magnitude);
  return used;
}

export function strncmp(a: usize, len: u32, b: usize): i32 {
  for (let i: u32 = 0; i < len; i++) {
    const x: u32 = load<u8>(a + i);
    const y: u32 = load<u8>(b + i);
    if (x != y) return x < y ? -1 : 1;
    if (!x) return 0;
  }
  return 0;
}
