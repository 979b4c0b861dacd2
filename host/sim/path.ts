/** What a path of links takes when nobody else is on it: the time against which loaded ones are compared. */

/** One link of a path. */
export interface Hop {
  /** Bits per second. */
  rate: number;
  /** ns. */
  delayNs: number;
}

/**
 * When the last of `frames` (lengths, bytes) has arrived, ns after the first bit left: sent one after the other, each
 * switch takes a frame in whole before it sends it on. To the nanosecond what the model NIC's links make of it
 * (assembly/nic/link.ts).
 */
export function unloadedNs(path: readonly Hop[], frames: Iterable<number>): number {
  const freePs = path.map(() => 0n);
  const links = path.map(({ rate, delayNs }) => ({ rate: BigInt(rate), delayNs: BigInt(delayNs) }));
  let arrivedNs = 0n;
  for (const bytes of frames) {
    let atNs = 0n;
    for (const [k, { rate, delayNs }] of links.entries()) {
      const atPs = atNs * 1000n;
      const startPs = freePs[k] > atPs ? freePs[k] : atPs;
      freePs[k] = startPs + (BigInt(bytes) * 8_000_000_000_000n) / rate;
      atNs = (freePs[k] + 999n) / 1000n + delayNs;
    }
    arrivedNs = atNs;
  }
  return Number(arrivedNs);
}
