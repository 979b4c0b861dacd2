// What is on its way along a link: impairments and delay of a packet whose last bit leaves the sender at a known time, and
// the heap of packets under way. Called by link.ts and strict.ts. Promises: draws are made in the same order whatever becomes
// of a packet, and packets come out by (due, order), so that equal times keep the order of sending.
import { LINK_ENTRY_SIZE, Link } from "../layout.gen";
import { packetAt } from "../core/lane";

/** splitmix64 (Steele, Lea and Flood 2014): one word of state, so a link's fate is one number in the layout. */
function random(l: Link): u64 {
  const s = l.random + 0x9e3779b97f4a7c15;
  l.random = s;
  let z = (s ^ (s >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

/** True with probability p / 2^32. Draws nothing when the impairment is off. */
// @ts-ignore: decorator
@inline export function chance(l: Link, p: u32): bool { return p != 0 && <u32>(random(l) >> 32) < p; }

/** Corruption, delay, jitter: under way from `sentPs` on, when its last bit has left. */
export function launch(l: Link, addr: u32, len: u32, sentPs: u64): void {
  if (chance(l, l.corrupt) && len != 0) {
    const where = random(l);
    const at = packetAt + addr + <u32>((where >> 8) % (len as u64));
    store<u8>(at, load<u8>(at) ^ (1 << (<u8>where & 7)));
    l.corrupted++;
  }
  let due = (sentPs + 999) / 1000;
  if (chance(l, l.reorder)) {
    l.reordered++;
  } else {
    due += l.delayNs;
    if (l.jitterNs != 0) due += random(l) % (l.jitterNs + 1);
  }
  heapPush(l, due, addr, len);
}

// ── a binary heap by (due, order) ─────────────────────────────────────────────────────────────────────────────────

// @ts-ignore: decorator
@inline function slot(l: Link, i: u32): usize { return (l.heapAt + i * LINK_ENTRY_SIZE) as usize; }

// @ts-ignore: decorator
@inline function before(due: u64, order: u32, at: usize): bool {
  const other = load<u64>(at);
  // Orders are compared as a distance: the number wraps after 2^32 packets.
  return due < other || (due == other && <i32>(order - load<u32>(at, 8)) < 0);
}

// @ts-ignore: decorator
@inline function copyEntry(to: usize, from: usize): void {
  v128.store(to, v128.load(from));
  store<u64>(to, load<u64>(from, 16), 16);
}

/** O(1) when times come in order, as they do without jitter. */
function heapPush(l: Link, due: u64, addr: u32, len: u32): void {
  const order = l.order++;
  let i = l.heapCount;
  while (i != 0) {
    const parent = (i - 1) >> 1;
    if (!before(due, order, slot(l, parent))) break;
    copyEntry(slot(l, i), slot(l, parent));
    i = parent;
  }
  const at = slot(l, i);
  store<u64>(at, due);
  store<u32>(at, order, 8);
  store<u32>(at, addr, 12);
  store<u64>(at, len as u64, 16);
  l.heapCount++;
}

export function heapPop(l: Link): void {
  const count = l.heapCount - 1;
  l.heapCount = count;
  if (count == 0) return;
  const last = slot(l, count);
  const due = load<u64>(last);
  const order = load<u32>(last, 8);
  let i: u32 = 0;
  for (;;) {
    let child: u32 = 2 * i + 1;
    if (child >= count) break;
    const right: u32 = child + 1;
    if (right < count && before(load<u64>(slot(l, right)), load<u32>(slot(l, right), 8), slot(l, child))) child = right;
    if (before(due, order, slot(l, child))) break;
    copyEntry(slot(l, i), slot(l, child));
    i = child;
  }
  copyEntry(slot(l, i), last);
}

