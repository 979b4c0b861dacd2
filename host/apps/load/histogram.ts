/** Times by size class, one part in 128 wide: to be recorded millions of times a second, and added up over threads. */
const STEP_BITS = 7;
const STEPS = 1 << STEP_BITS;
/** Up to 2^41 ns, more than half an hour. */
const CLASSES = (41 - STEP_BITS + 1) * STEPS;

export class Histogram {
  readonly counts = new Float64Array(CLASSES);
  total = 0;
  sum = 0;

  /** @param ns from 0 on */
  record(ns: number, times = 1): void {
    this.counts[classOf(ns)] += times;
    this.total += times;
    this.sum += ns * times;
  }

  add(other: Histogram): void {
    for (let i = 0; i < CLASSES; i++) this.counts[i] += other.counts[i];
    this.total += other.total;
    this.sum += other.sum;
  }

  reset(): void {
    this.counts.fill(0);
    this.total = 0;
    this.sum = 0;
  }

  /** Time that the part `share` of all does not pass, ns; 0 of none. */
  at(share: number): number {
    let seen = 0;
    const goal = Math.max(1, Math.ceil(this.total * share));
    for (let i = 0; i < CLASSES; i++) {
      seen += this.counts[i];
      if (seen >= goal) return valueOf(i);
    }
    return 0;
  }

  get mean(): number {
    return this.total ? this.sum / this.total : 0;
  }
}

/** Exact below 2^STEP_BITS; above, STEPS classes for each power of two. */
function classOf(ns: number): number {
  const n = ns < 0 ? 0 : Math.floor(ns);
  if (n < STEPS) return n;
  if (n < 2 ** 31) {
    const shift = 31 - Math.clz32(n) - STEP_BITS;
    return shift * STEPS + (n >>> shift);
  }
  // Seconds: not what is quick counts here, but what fits into 32 bits.
  const at = classOf(n / 2 ** 16) + 16 * STEPS;
  return at < CLASSES ? at : CLASSES - 1;
}

/** The middle of a class, ns. */
function valueOf(index: number): number {
  const row = Math.floor(index / STEPS);
  if (row === 0) return index;
  const width = 2 ** (row - 1);
  return (STEPS + (index % STEPS)) * width + (width - 1) / 2;
}
