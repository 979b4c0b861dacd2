// printf of bpf_snprintf and bpf_trace_printk: the formats that bpf_bprintf_prepare takes (kernel/bpf/helpers.c).
//   %% %c %s   %d %i %u %x %X with l or ll   %p %px %pK %pks %pus %pi4 %pI4 %pi6 %pI6   flags 0 + - blank, width
// Pointers are arena addresses: printed as such, never hashed. The output counts on past the end of its room.
import { EINVAL } from "./errno";

/** Where the next character goes, where the room ends, characters made so far. */
let at: usize = 0;
let end: usize = 0;
let made: u32 = 0;

// @ts-ignore: decorator
@inline function put(c: u32): void {
  if (at < end) store<u8>(at++, <u8>c);
  made++;
}

function pad(n: i32, c: u32): void {
  for (; n > 0; n--) put(c);
}

// @ts-ignore: decorator
@inline function isDigit(c: u32): bool { return c - 48 < 10; }
// @ts-ignore: decorator
@inline function isSpace(c: u32): bool { return c == 32 || c - 9 < 5; }
// @ts-ignore: decorator
@inline function isPunct(c: u32): bool {
  return c > 32 && c < 127 && !isDigit(c) && (c | 0x20) - 97 >= 26;
}

/** One conversion's flags and width, read by `spec`. */
let zero: bool = false;
let plus: bool = false;
let left: bool = false;
let blank: bool = false;
let width: i32 = 0;

/** Digits of `value` in `base`, without sign: how many, and the divisor of the first. */
function number(value: u64, base: u64, upper: bool, sign: u32): void {
  let digits: i32 = 1;
  let top: u64 = 1;
  while (value / top >= base) {
    top *= base;
    digits++;
  }
  const fill = width - digits - (sign ? 1 : 0);
  if (!left && !zero) pad(fill, 32);
  if (sign) put(sign);
  if (!left && zero) pad(fill, 48);
  for (;;) {
    const d = <u32>(value / top);
    put(d < 10 ? 48 + d : (upper ? 55 : 87) + d);
    value %= top;
    if (top == 1) break;
    top /= base;
  }
  if (left) pad(fill, 32);
}

function signed(value: i64): void {
  const sign: u32 = value < 0 ? 45 : plus ? 43 : blank ? 32 : 0;
  number(value < 0 ? <u64>(0 - value) : <u64>value, 10, false, sign);
}

/** Longest %s: MAX_BPRINTF_BUF of the kernel with its NUL. */
const TEXT_MAX: u64 = 511;

/** A NUL-terminated string in the arena; what lies outside is no string. */
function text(from: u64): void {
  const size: u64 = <u64>memory.size() << 16;
  const limit = min<u64>(size, from + TEXT_MAX);
  let n: u32 = 0;
  if (from < size) while (from + n < limit && load<u8>(<usize>from + n)) n++;
  if (!left) pad(width - <i32>n, 32);
  for (let i: u32 = 0; i < n; i++) put(load<u8>(<usize>from + i));
  if (left) pad(width - <i32>n, 32);
}

function plain(): void {
  zero = plus = left = blank = false;
  width = 0;
}

function ip4(p: usize, padded: bool): void {
  plain();
  if (padded) {
    zero = true;
    width = 3;
  }
  for (let i: u32 = 0; i < 4; i++) {
    if (i) put(46);
    number(load<u8>(p + i), 10, false, 0);
  }
}

/** %pi6 prints 32 digits, %pI6 the same with colons. */
function ip6(p: usize, colons: bool): void {
  plain();
  zero = true;
  width = 4;
  for (let i: u32 = 0; i < 8; i++) {
    if (i && colons) put(58);
    number(bswap<u16>(load<u16>(p + (i << 1))), 16, false, 0);
  }
}

/**
 * Formats `fmt` (at most `fmtLen` bytes, NUL-terminated) with `count` u64 arguments at `args` into `room` bytes.
 * Returns the length that the whole text has, without NUL, or -EINVAL for what the kernel refuses. What fits is
 * written and terminated when there is room at all.
 */
export function format(to: usize, room: u32, fmt: usize, fmtLen: u32, args: usize, count: u32): i32 {
  const fmtEnd = fmt + fmtLen;
  let p = fmt;
  while (p < fmtEnd && load<u8>(p)) p++;
  if (p == fmtEnd) return -EINVAL;
  // Another lane may write to the format meanwhile: where its end was found it ends.
  const nul = p;
  at = to;
  end = room ? to + room - 1 : to;
  made = 0;
  let used: u32 = 0;
  for (p = fmt; p < nul; p++) {
    let c: u32 = load<u8>(p);
    if (!c) break;
    if ((c < 32 && !isSpace(c)) || c >= 127) return -EINVAL;
    if (c != 37) {
      put(c);
      continue;
    }
    c = load<u8>(++p);
    if (c == 37) {
      put(37);
      continue;
    }
    if (used >= count) return -EINVAL;
    plain();
    for (; p < nul; c = load<u8>(++p)) {
      if (c == 48) zero = true;
      else if (c == 43) plus = true;
      else if (c == 45) left = true;
      else if (c == 32) blank = true;
      else break;
    }
    if (c - 49 < 9) for (; p < nul && isDigit(c); c = load<u8>(++p)) width = min<i32>(width * 10 + <i32>(c - 48), 4096);
    const value = load<u64>(args + (used++ << 3));
    if (c == 112) {
      p = pointer(p, value);
      if (!p) return -EINVAL;
    } else if (c == 115) {
      text(value);
    } else if (c == 99) {
      if (!left) pad(width - 1, 32);
      put(<u32>value & 0xff);
      if (left) pad(width - 1, 32);
    } else {
      let bytes: u32 = 4;
      if (c == 108) {
        bytes = 8;
        c = load<u8>(++p);
        if (c == 108) c = load<u8>(++p);
      }
      if (c == 100 || c == 105) signed(bytes == 4 ? <i64><i32>value : <i64>value);
      else if (c == 117) number(bytes == 4 ? value & 0xffffffff : value, 10, false, 0);
      else if ((c | 0x20) == 120) number(bytes == 4 ? value & 0xffffffff : value, 16, c == 88, 0);
      else return -EINVAL;
    }
  }
  if (room) store<u8>(at, 0);
  return <i32>made;
}

/** What follows %p, standing at `p`; returns the last character's place, or 0 for a format that is none. */
function pointer(p: usize, value: u64): usize {
  const next: u32 = load<u8>(p, 1);
  const after: u32 = next ? load<u8>(p, 2) : 0;
  if ((next == 107 || next == 117) && after == 115) {
    text(value);
    return p + 2;
  }
  if ((next | 0x20) == 105) {
    const limit: u64 = <u64>memory.size() << 16;
    if ((after != 52 && after != 54) || value > limit - 16) return 0;
    if (after == 52) ip4(<usize>value, next == 105);
    else ip6(<usize>value, next == 73);
    return p + 2;
  }
  const bare = !next || isSpace(next) || isPunct(next);
  if (!bare && next != 75 && next != 120 && next != 115 && next != 83 && next != 66) return 0;
  if (!width) {
    zero = true;
    width = 16;
  }
  number(value, 16, false, 0);
  return bare ? p : p + 1;
}

const VARARGS_MAX: u32 = 12;

/** Checks an argument array as the kernel does: whole u64s, twelve at most. */
// @ts-ignore: decorator
@inline export function badArgs(args: usize, bytes: u32): bool {
  return (bytes & 7) != 0 || bytes > VARARGS_MAX * 8 || (bytes != 0 && !args);
}

export function snprintf(to: usize, room: u32, fmt: usize, args: usize, bytes: u32): i32 {
  if (badArgs(args, bytes)) return -EINVAL;
  // The verifier has proven that fmt is a constant string with its NUL.
  const len = format(to, room, fmt, 0x7fffffff, args, bytes >> 3);
  return len < 0 ? len : len + 1;
}
