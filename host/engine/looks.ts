/**
 * How long to look about for work before a sleep: longer when the sleeps of late were short, no longer than it must when one
 * was long. As the halt polling of KVM (Documentation/virt/kvm/halt-polling.rst): a sleep and its end take some 100 µs of CPU
 * time on a virtual machine, so that looking for as long is at most twice as dear as knowing what comes.
 *
 * Used by lanes, and by loops of applications.
 */

/** The first look that is longer than it must be, ns. */
const FIRST_NS = 20_000;
/** The longest look, ns. */
const MOST_NS = 100_000;
/** A wait of less would have been over in a look, but for the time that the end of a sleep takes, ns. */
const SHORT_NS = 200_000;

export class Looks {
  #ns: number;

  /** @param leastNs of each look, however long sleeps are */
  constructor(readonly leastNs: number) {
    this.#ns = leastNs;
  }

  /** The present look, ns. */
  get ns(): number {
    return this.#ns;
  }

  /** There was nothing to do for so long, looking or asleep. */
  waited(ns: number): void {
    if (ns <= this.#ns) return;
    const longer = Math.min(MOST_NS, Math.max(FIRST_NS, 2 * this.#ns));
    this.#ns = Math.max(this.leastNs, ns < SHORT_NS ? longer : 0);
  }
}
