// Sets of ranges modulo 2^32: what a receiver holds out of order, what a sender knows to have arrived. Called by transport
// programs (kfuncs). The set lies in a map of the program, which may write anything into it: nothing in it is believed
// that a loop or an address depends on.
//
//   ranges   [from, to) [from, to) …      lowest first, disjoint, not touching, within 2^31 positions
//   order    indices, last changed first  RFC 2018 §4: the order of the SACK blocks of an acknowledgement
import { EL_INTERVALS, Intervals, Range } from "../layout.gen";

const EINVAL: i32 = 22;
const ENOSPC: i32 = 28;

const RANGES: usize = offsetof<Intervals>("ranges0");
const ORDER: usize = offsetof<Intervals>("order0");

// @ts-ignore: decorator
@inline function fromOf(s: usize, i: u32): u32 { return load<u32>(s + (i << 3), RANGES); }
// @ts-ignore: decorator
@inline function toOf(s: usize, i: u32): u32 { return load<u32>(s + (i << 3), RANGES + 4); }

// @ts-ignore: decorator
@inline function setRange(s: usize, i: u32, from: u32, to: u32): void {
  store<u32>(s + (i << 3), from, RANGES);
  store<u32>(s + (i << 3), to, RANGES + 4);
}

/** Whether `a` comes before `b` (RFC 9293 §3.4). */
// @ts-ignore: decorator
@inline function before(a: u32, b: u32): bool { return <i32>(a - b) < 0; }

// @ts-ignore: decorator
@inline function countOf(s: usize): u32 { return min<u32>(changetype<Intervals>(s).count, EL_INTERVALS); }

/** Whether from … to - 1 are some positions, and fewer than 2^31. */
// @ts-ignore: decorator
@inline function isRange(from: u32, to: u32): bool { return <i32>(to - from) > 0; }

/** Moves the ranges from index `i` on to index `to`. */
function shift(s: usize, i: u32, to: u32, count: u32): void {
  if (count > i) memory.copy(s + RANGES + (to << 3), s + RANGES + (i << 3), (count - i) << 3);
}

/**
 * Ranges `i` … `j` - 1 of `count` gave way to `put` (0 or 1) range: renumbers the order and puts that one first. What the
 * program wrote there counts as far as it is a permutation. Returns how many ranges there are now.
 */
function renumber(s: usize, i: u32, j: u32, count: u32, put: u32): u32 {
  const now = count - (j - i) + put;
  const a = load<u64>(s, ORDER);
  const b = load<u64>(s, ORDER + 8);
  const c = load<u64>(s, ORDER + 16);
  const d = load<u64>(s, ORDER + 24);
  let n: u32 = put;
  let seen: u32 = put << i;
  if (put) store<u8>(s, <u8>i, ORDER);
  for (let k: u32 = 0; k < count; k++) {
    const word = k < 16 ? (k < 8 ? a : b) : k < 24 ? c : d;
    let o = <u32>(word >> ((k & 7) << 3)) & 0xff;
    if (o >= i && o < j) continue;
    if (o >= j) o = o - (j - i) + put;
    if (o >= now || (seen >> o) & 1) continue;
    seen |= 1 << o;
    store<u8>(s + n++, <u8>o, ORDER);
  }
  for (let o: u32 = 0; n < now; o++) {
    if (((seen >> o) & 1) == 0) store<u8>(s + n++, <u8>o, ORDER);
  }
  return now;
}

/** Writes count and sum of the ranges. */
function settle(s: usize, count: u32): void {
  const set = changetype<Intervals>(s);
  let bytes: u32 = 0;
  for (let i: u32 = 0; i < count; i++) bytes += toOf(s, i) - fromOf(s, i);
  set.count = count;
  set.bytes = bytes;
}

/**
 * Adds from … to - 1, which becomes one with every range that it meets or touches. Returns the index of that range;
 * -EINVAL when it is none or the set would span 2^31 positions, -ENOSPC when it would be one range too many.
 */
export function el_intervals_add(s: usize, from: u32, to: u32): i32 {
  if (!isRange(from, to)) return -EINVAL;
  const count = countOf(s);
  let i: u32 = 0;
  while (i < count && before(toOf(s, i), from)) i++;
  let j = i;
  while (j < count && !before(to, fromOf(s, j))) j++;
  if (count != 0) {
    const low = before(from, fromOf(s, 0)) ? from : fromOf(s, 0);
    const high = before(toOf(s, count - 1), to) ? to : toOf(s, count - 1);
    if (!before(low, high)) return -EINVAL;
  }
  if (i == j) {
    if (count >= EL_INTERVALS) return -ENOSPC;
    shift(s, i, i + 1, count);
    setRange(s, i, from, to);
  } else {
    const low = fromOf(s, i);
    const high = toOf(s, j - 1);
    setRange(s, i, before(from, low) ? from : low, before(high, to) ? to : high);
    shift(s, j, i + 1, count);
  }
  settle(s, renumber(s, i, j, count, 1));
  return i;
}

/**
 * Drops every position before `upto`. A range that then begins at `upto` leaves the set, too: how many positions it has
 * is returned, so `upto` plus that is where the first hole begins.
 */
export function el_intervals_trim(s: usize, upto: u32): u32 {
  const count = countOf(s);
  let gone: u32 = 0;
  while (gone < count && !before(upto, toOf(s, gone))) gone++;
  let whole: u32 = 0;
  if (gone < count && !before(upto, fromOf(s, gone))) whole = toOf(s, gone++) - upto;
  if (gone != 0) {
    shift(s, gone, 0, count);
    settle(s, renumber(s, 0, gone, count, 0));
  }
  return whole;
}

/** The first positions of from … to - 1 that are not in the set, written to `hole`. Returns how many, 0 = all are in it. */
export function el_intervals_next_hole(s: usize, from: u32, to: u32, hole: usize): i32 {
  if (!isRange(from, to)) return 0;
  const count = countOf(s);
  let at = from;
  let end = to;
  for (let i: u32 = 0; i < count; i++) {
    if (!before(at, toOf(s, i))) continue;
    if (before(at, fromOf(s, i))) {
      if (before(fromOf(s, i), to)) end = fromOf(s, i);
      break;
    }
    at = toOf(s, i);
    if (!before(at, to)) return 0;
  }
  return hand(hole, at, end);
}

/**
 * The first positions of from … to - 1 that are in the set, written to `part`. Returns how many, 0 = none is: what a
 * receiver reports as a duplicate (RFC 2883 §4), before it adds the segment.
 */
export function el_intervals_overlap(s: usize, from: u32, to: u32, part: usize): i32 {
  if (!isRange(from, to)) return 0;
  const count = countOf(s);
  for (let i: u32 = 0; i < count; i++) {
    const low = fromOf(s, i);
    const high = toOf(s, i);
    if (!before(from, high)) continue;
    if (!before(low, to)) return 0;
    return hand(part, before(from, low) ? low : from, before(high, to) ? high : to);
  }
  return 0;
}

/** The range that was changed `n` changes of other ranges ago, written to `range`. Returns its positions, 0 = there is none. */
export function el_intervals_recent(s: usize, n: u32, range: usize): i32 {
  if (n >= countOf(s)) return 0;
  const i: u32 = load<u8>(s + n, ORDER);
  return i < EL_INTERVALS ? hand(range, fromOf(s, i), toOf(s, i)) : 0;
}

/** Writes a range for the program. Returns its positions; one that is none, of a set that was scribbled on, counts 0. */
function hand(at: usize, from: u32, to: u32): i32 {
  const range = changetype<Range>(at);
  range.from = from;
  range.to = to;
  return max<i32>(<i32>(to - from), 0);
}
