/**
 * The hosts on the wire of UDP's fuzzing: who answers ARP and neighbour discovery, and when. By the last two bytes of the
 * address: 0.2 is known to the stack from the start, 1.x and 3.x answer in their time, nobody else does.
 */
import { arp, nd } from '../../responder/rig.js';
import type { Rng } from '../../support/fuzz.js';

export const KNOWN = { 4: '10.0.0.2', 6: 'fd00::2' } as const;
export const THEIR_MAC = '02:00:00:00:00:02';
/** Those of 3.x answer the first time they are asked, within so many ms. */
const PROMPT_MS = 500;

interface Answer {
  dueNs: bigint;
  frame: Uint8Array;
}

const hex = (hi: number, lo: number): string => ((hi << 8) | lo).toString(16);
export const hostAt = (family: 4 | 6, hi: number, lo: number): string =>
  family === 4 ? `10.0.${hi}.${lo}` : `fd00::${hex(hi, lo)}`;

export class Neighbours {
  #answers: Answer[] = [];

  constructor(
    readonly rng: Rng,
    /** Hardware address of the stack. */
    readonly mac: string,
  ) {}

  /** Looks at what the stack sent; true when it was a question, which may be answered. */
  asked(frame: Uint8Array, nowNs: bigint): boolean {
    const type = (frame[12] << 8) | frame[13];
    if (type === 0x0806) {
      this.#answer(4, frame[40], frame[41], nowNs);
      return true;
    }
    if (type !== 0x86dd || frame[20] !== 58) return false;
    if (frame[54] === 135) this.#answer(6, frame[76], frame[77], nowNs);
    return true;
  }

  #answer(family: 4 | 6, hi: number, lo: number, nowNs: bigint): void {
    if (hi !== 1 && hi !== 3) return;
    if (hi === 1 && this.rng.chance(0.3)) return;
    const ms = hi === 1 ? this.rng.below(1200) : this.rng.below(PROMPT_MS);
    this.#answers.push({ dueNs: nowNs + BigInt(ms) * 1_000_000n, frame: this.answerOf(family, hi, lo) });
  }

  /** What such a host says when it is asked; or unasked. */
  answerOf(family: 4 | 6, hi: number, lo: number): Uint8Array {
    const from = hostAt(family, hi, lo);
    return family === 4
      ? arp({ oper: 2, spa: from, tha: this.mac, dst: this.mac })
      : nd({ type: 136, src: from, dst: 'fd00::1', target: from, flags: 0x60000000, dmac: this.mac });
  }

  /** Answers whose time has come. */
  due(nowNs: bigint): Uint8Array[] {
    if (this.#answers.length === 0) return [];
    const now = this.#answers.filter(a => a.dueNs <= nowNs);
    if (now.length > 0) this.#answers = this.#answers.filter(a => a.dueNs > nowNs);
    return now.map(a => a.frame);
  }
}
