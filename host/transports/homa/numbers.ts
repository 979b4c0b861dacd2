/** Numbers of calls: 39 bits, counting up on a slot, the upper part of RPC ids (bpf-progs/transports/homa/slot.h). */

const SEQ_BITS = 39;
const SEQ_SHIFT = 25n;
/** µs. */
const DAY = 86_400_000_000n;

const wrap = (n: bigint): bigint => BigInt.asUintN(SEQ_BITS, n);

/**
 * Number of a slot's first call: later than any that the same number of a slot had, in this process or in the one before it,
 * or servers would take it for an old one. The clock is: no slot makes more calls than one a µs.
 * @param us the clock, µs
 * @param last of the calls that this process made on a slot of that number; undefined: it made none, or nobody knows
 */
export function firstNumber(us: bigint, last: bigint | undefined): bigint {
  const now = wrap(us + 1n);
  if (last === undefined) return now;
  // The clock's numbers come round in 6 days: one that seems so far ahead was days ago, and nobody has heard of it since.
  const later = BigInt.asIntN(SEQ_BITS, now - last);
  return later > 0n || later < -DAY ? now : wrap(last + 1n);
}

/** The number in a record's `id`, if a client's slot of that stream left it there; a server's has its client's. */
export function numberOf(id: bigint, stream: number): bigint | undefined {
  return id !== 0n && (id & 0x1ffffffn) === BigInt(stream) << 1n ? id >> SEQ_SHIFT : undefined;
}

/** The later of two. */
export function laterOf(a: bigint | undefined, b: bigint | undefined): bigint | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  return BigInt.asIntN(SEQ_BITS, a - b) > 0n ? a : b;
}

/** Id of the call before `first`, as the slot's record has it until there is one: of no slot. */
export function idBefore(first: bigint): bigint {
  return wrap(first - 1n) << SEQ_SHIFT;
}
