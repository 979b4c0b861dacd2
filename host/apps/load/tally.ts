/**
 * What a load counts: numbers in one piece of memory, which a lane may write while another thread reads. Nothing is ever
 * reset: what happened in a time is the difference of two copies.
 *
 * Times go to classes by size, one part in 128 wide.
 */

/** Numbers by their place. */
const AT = {
  answers: 0,
  bytesIn: 1,
  bytesOut: 2,
  turns: 3,
  events: 4,
  connected: 5,
  ended: 6,
  sumNs: 7,
} as const;
const COUNTS = 16;

const STEP_BITS = 7;
const STEPS = 1 << STEP_BITS;
/** Up to 2^41 ns, more than half an hour. */
const CLASSES = (41 - STEP_BITS + 1) * STEPS;

export class Tally {
  readonly numbers: Float64Array;

  constructor(memory: ArrayBuffer | SharedArrayBuffer = new ArrayBuffer(Tally.bytes)) {
    this.numbers = new Float64Array(memory);
  }

  static readonly bytes = (COUNTS + CLASSES) * 8;

  /** Turns with news, and connections that had some. */
  turn(events: number): void {
    this.numbers[AT.turns]++;
    this.numbers[AT.events] += events;
  }

  sent(bytes: number): void {
    this.numbers[AT.bytesOut] += bytes;
  }

  received(bytes: number, answers: number): void {
    this.numbers[AT.bytesIn] += bytes;
    this.numbers[AT.answers] += answers;
  }

  /** How long each of so many answers took, ns. */
  took(ns: number, answers = 1): void {
    this.numbers[AT.sumNs] += ns * answers;
    this.numbers[COUNTS + classOf(ns)] += answers;
  }

  connected(): void {
    this.numbers[AT.connected]++;
  }

  /** A connection ended before its time. */
  ended(): void {
    this.numbers[AT.ended]++;
  }
}

/** What happened between two copies of the numbers of some tallies. */
export class TallySpan {
  readonly #numbers: Float64Array;

  constructor(after: readonly Float64Array[], before: readonly Float64Array[] = []) {
    this.#numbers = new Float64Array(COUNTS + CLASSES);
    for (const [sign, all] of [
      [1, after],
      [-1, before],
    ] as const)
      for (const numbers of all) for (const [i, n] of numbers.entries()) this.#numbers[i] += sign * n;
  }

  get answers(): number {
    return this.#numbers[AT.answers];
  }

  get bytesIn(): number {
    return this.#numbers[AT.bytesIn];
  }

  get bytesOut(): number {
    return this.#numbers[AT.bytesOut];
  }

  get connected(): number {
    return this.#numbers[AT.connected];
  }

  get ended(): number {
    return this.#numbers[AT.ended];
  }

  /** Connections with news in a turn, on average. */
  get eventsPerTurn(): number {
    return this.#numbers[AT.turns] ? this.#numbers[AT.events] / this.#numbers[AT.turns] : 0;
  }

  /** Time that an answer took on average, ns. */
  get meanNs(): number {
    return this.answers ? this.#numbers[AT.sumNs] / this.answers : 0;
  }

  /** How many answers took how long, ns, the fastest first. */
  get times(): { ns: number; count: number }[] {
    const out: { ns: number; count: number }[] = [];
    for (let i = 0; i < CLASSES; i++) {
      const count = this.#numbers[COUNTS + i];
      if (count > 0) out.push({ ns: middleOf(i), count });
    }
    return out;
  }

  /** Time that the part `share` of the answers did not pass, ns; 0 of none. */
  at(share: number): number {
    let total = 0;
    for (let i = 0; i < CLASSES; i++) total += this.#numbers[COUNTS + i];
    const goal = Math.max(1, Math.ceil(total * share));
    let seen = 0;
    for (let i = 0; i < CLASSES; i++) {
      seen += this.#numbers[COUNTS + i];
      if (seen >= goal) return middleOf(i);
    }
    return 0;
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
  // Seconds: what counts is that they fit into 32 bits.
  const at = classOf(n / 2 ** 16) + 16 * STEPS;
  return at < CLASSES ? at : CLASSES - 1;
}

/** The middle of a class, ns. */
function middleOf(index: number): number {
  const row = Math.floor(index / STEPS);
  if (row === 0) return index;
  const width = 2 ** (row - 1);
  return (STEPS + (index % STEPS)) * width + (width - 1) / 2;
}
