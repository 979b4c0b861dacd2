// Stream memory: a buddy system over blocks of 2 KiB. What is known of a piece stands in a table beside it, never in it.
//
//   class 1:  ├───── free ─────┤            split: take the lower half, the upper one is free
//   class 0:  ├─ used ─┼─ free ┤            merge: a free piece and its free neighbour (index ^ size) are one again
//
// Called by memory.ts under the pool's lock, and by recovery. Promises: pieces never overlap, used + free = all.
import { BLOCK_FREE, STREAM_BLOCK, STREAM_BLOCK_SIZE, STREAM_CLASSES, StreamBlock, StreamPool } from "../layout.gen";

const FREE: usize = offsetof<StreamPool>("free0");

// @ts-ignore: decorator
@inline export function blockAt(p: StreamPool, i: u32): StreamBlock {
  return changetype<StreamBlock>((p.blocksAt + i * STREAM_BLOCK_SIZE) as usize);
}

// @ts-ignore: decorator
@inline function headOf(p: StreamPool, c: u32): usize { return changetype<usize>(p) + (c << 2); }

function link(p: StreamPool, i: u32, c: u32): void {
  const b = blockAt(p, i);
  const head = headOf(p, c);
  const first = load<u32>(head, FREE);
  b.next = first;
  b.prev = 0;
  b.state = BLOCK_FREE | (c + 1);
  if (first != 0) blockAt(p, first - 1).prev = i + 1;
  store<u32>(head, i + 1, FREE);
}

function unlink(p: StreamPool, i: u32, c: u32): void {
  const b = blockAt(p, i);
  if (b.next != 0) blockAt(p, b.next - 1).prev = b.prev;
  if (b.prev != 0) blockAt(p, b.prev - 1).next = b.next;
  else store<u32>(headOf(p, c), b.next, FREE);
  b.state = 0;
}

/** Takes a piece of class `c`; 1 + its first block, 0 when there is none. */
export function buddyTake(p: StreamPool, c: u32): u32 {
  let k = c;
  while (k < STREAM_CLASSES && load<u32>(headOf(p, k), FREE) == 0) k++;
  if (k >= STREAM_CLASSES) return 0;
  const i = load<u32>(headOf(p, k), FREE) - 1;
  unlink(p, i, k);
  while (k > c) link(p, i + (1 << --k), k);
  blockAt(p, i).state = c + 1;
  p.freeBytes -= STREAM_BLOCK << c;
  return i + 1;
}

/** Gives back the piece of class `c` that begins with block `i`. */
export function buddyGive(p: StreamPool, i: u32, c: u32): void {
  p.freeBytes += STREAM_BLOCK << c;
  blockAt(p, i).state = 0;
  for (; c + 1 < STREAM_CLASSES; c++) {
    const other = i ^ (1 << c);
    if (other + (1 << c) > p.blockCount || blockAt(p, other).state != (BLOCK_FREE | (c + 1))) break;
    unlink(p, other, c);
    if (other < i) i = other;
  }
  link(p, i, c);
}

/** Notes a piece as used, before `buddyRebuild`. */
// @ts-ignore: decorator
@inline export function buddyMark(p: StreamPool, i: u32, c: u32): void { blockAt(p, i).state = c + 1; }

/** Empties the lists and forgets every piece. */
export function buddyClear(p: StreamPool): void {
  memory.fill(p.blocksAt as usize, 0, (p.blockCount * STREAM_BLOCK_SIZE) as usize);
  for (let c: u32 = 0; c < STREAM_CLASSES; c++) store<u32>(headOf(p, c), 0, FREE);
  p.freeBytes = 0;
  p.dirty = 0;
}

/** Puts all that is not marked as used into the lists. */
export function buddyRebuild(p: StreamPool): void {
  const count = p.blockCount;
  for (let i: u32 = 0; i < count; ) {
    const used = blockAt(p, i).state;
    if (used != 0) {
      i += 1 << (used - 1);
      continue;
    }
    let end = i + 1;
    while (end < count && blockAt(p, end).state == 0) end++;
    while (i < end) {
      let c: u32 = 0;
      while (c + 1 < STREAM_CLASSES && (i & ((2 << c) - 1)) == 0 && i + (2 << c) <= end) c++;
      link(p, i, c);
      p.freeBytes += STREAM_BLOCK << c;
      i += 1 << c;
    }
  }
}
