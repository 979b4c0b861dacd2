// Counters: one block per port × queue × lane, one counter per reason (CounterBlock in the layout).
// Each block has one writer, its lane, so plain stores do. `block` names the one that the packet in hand is counted in.
import {
  COUNTER_BLOCK_DROP, COUNTER_BLOCK_EGRESS, COUNTER_BLOCK_GEN, COUNTER_BLOCK_SIZE, COUNTER_BLOCK_VERDICT, CounterBlock,
  DropReason, Port,
} from "../layout.gen";
import { header } from "./lane";

/** CounterBlock of the packet in hand: where it came in. */
export let block: usize = 0;

// @ts-ignore: decorator
@inline export function countIn(at: usize): void { block = at; }

/** Block of (port, queue, lane). */
// @ts-ignore: decorator
@inline export function blockOf(port: Port, queue: u32, lane: u32): usize {
  return (port.countersAt + (queue * (header().laneCount + 1) + lane) * COUNTER_BLOCK_SIZE) as usize;
}

// @ts-ignore: decorator
@inline export function counters(): CounterBlock { return changetype<CounterBlock>(block); }

/** Adds to the counter of a drop reason. The frame is the caller's to free. */
// @ts-ignore: decorator
@inline export function countDrop(reason: DropReason, n: u32 = 1): void {
  const at = block + ((<u32>reason) << 3);
  store<u64>(at, load<u64>(at, COUNTER_BLOCK_DROP) + (n as u64), COUNTER_BLOCK_DROP);
}

/** The same in another block than that of the packet in hand. */
export function countDropAt(at: usize, reason: DropReason): void {
  const c = at + ((<u32>reason) << 3);
  store<u64>(c, load<u64>(c, COUNTER_BLOCK_DROP) + 1, COUNTER_BLOCK_DROP);
}

/** Adds to the counter of an XDP verdict. */
// @ts-ignore: decorator
@inline export function countVerdict(verdict: u32, n: u32 = 1): void {
  const at = block + (verdict << 3);
  store<u64>(at, load<u64>(at, COUNTER_BLOCK_VERDICT) + (n as u64), COUNTER_BLOCK_VERDICT);
}

/** Index of every verdict that has no counter of its own. */
const VERDICT_OTHER: u32 = 5;

/** Counts a run of XDP_GEN. */
// @ts-ignore: decorator
@inline export function countGen(verdict: u32): void {
  const at = block + ((verdict < VERDICT_OTHER ? verdict : VERDICT_OTHER) << 3);
  store<u64>(at, load<u64>(at, COUNTER_BLOCK_GEN) + 1, COUNTER_BLOCK_GEN);
}

/** Counts what XDP_EGRESS said. */
// @ts-ignore: decorator
@inline export function countEgress(verdict: u32): void {
  const at = block + ((verdict < VERDICT_OTHER ? verdict : VERDICT_OTHER) << 3);
  store<u64>(at, load<u64>(at, COUNTER_BLOCK_EGRESS) + 1, COUNTER_BLOCK_EGRESS);
}
