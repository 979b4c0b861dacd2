// Numbered descriptors through rings, on one thread or two: what tests count and benchmarks time.
import { descAddr, descLen, descOptions, entry, peek, push, release, reserve, ringAt, submit } from "../mem/ring";

/** Empty looks at a ring before the thread gives its core away for a moment: the peer may need that very core. */
const SPINS: u32 = 2000;
const PAUSE_NS: i64 = 50_000;

/** Produces `total` numbered descriptors in bursts of `burst`, spinning while the ring is full. */
export function ring_produce_numbers(ring: u32, total: u32, burst: u32): void {
  const r = ringAt(ring);
  let idle: u32 = 0;
  for (let i: u32 = 0; i < total; ) {
    const n = reserve(r, total - i < burst ? total - i : burst);
    if (n != 0) idle = 0;
    else if (++idle > SPINS) atomic.wait<i32>(r.consumerAt as usize, <i32>r.cachedConsumer, PAUSE_NS);
    for (let k: u32 = 0; k < n; k++, i++) push(r, i, ~i, i * 3);
    submit(r);
  }
}

/** Consumes `total` numbered descriptors; returns how many were not the next number. */
export function ring_consume_numbers(ring: u32, total: u32, burst: u32): u32 {
  const r = ringAt(ring);
  let wrong: u32 = 0;
  let idle: u32 = 0;
  for (let i: u32 = 0; i < total; ) {
    const n = peek(r, burst);
    if (n == 0) {
      if (++idle > SPINS) atomic.wait<i32>(r.producerAt as usize, <i32>r.cachedProducer, PAUSE_NS);
      continue;
    }
    idle = 0;
    for (let k: u32 = 0; k < n; k++, i++) {
      const d = entry(r, k);
      if (descAddr(d) != i || descLen(d) != ~i || descOptions(d) != i * 3) wrong++;
    }
    release(r, n);
  }
  return wrong;
}

/** The same on one thread, burst by burst: `total` through the ring. Returns how many were wrong. */
export function ring_turn_numbers(producer: u32, consumer: u32, total: u32, burst: u32): u32 {
  let wrong: u32 = 0;
  const p = ringAt(producer);
  const c = ringAt(consumer);
  for (let i: u32 = 0; i < total; ) {
    const n = reserve(p, total - i < burst ? total - i : burst);
    for (let k: u32 = 0; k < n; k++) push(p, i + k, ~(i + k), i + k);
    submit(p);
    const m = peek(c, burst);
    for (let k: u32 = 0; k < m; k++, i++) {
      const d = entry(c, k);
      if (descAddr(d) != i || descLen(d) != ~i || descOptions(d) != i) wrong++;
    }
    release(c, m);
  }
  return wrong;
}
