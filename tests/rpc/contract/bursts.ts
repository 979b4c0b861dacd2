/** Calls and requests of the burst API for a random driver. */
import type { RpcBurst } from '../../../host/rpc/burst.js';
import type { KeptRequest, RpcEvent } from '../../../host/rpc/event.js';
import type { Rng } from '../../support/fuzz.js';
import type { Asked, Oracle } from './oracle.js';

export class Bursts {
  readonly #events: RpcEvent[] = [];
  readonly #heard: RpcEvent[] = [];
  /** Calls in flight, by number. */
  readonly #calls = new Map<Asked, number>();
  readonly #kept = new Map<Asked, KeptRequest>();

  constructor(
    readonly oracle: Oracle,
    readonly rng: Rng,
    /** Calls, */
    public caller: RpcBurst,
    /** and answers. */
    readonly callee: RpcBurst,
  ) {}

  get idle(): boolean {
    return this.#calls.size === 0;
  }

  call(asked: Asked, address: string, deadline: number | undefined): void {
    const bytes = Buffer.from(asked.bytes);
    const number = this.caller.begin(this.caller.peer(address, asked.port), bytes, asked, deadline);
    // They may be changed at once.
    bytes.fill(0xee);
    if (number === 0) {
      asked.end = 'no room';
      return;
    }
    this.#calls.set(asked, number);
    this.caller.flush();
  }

  cancelOne(): void {
    const all = [...this.#calls];
    if (all.length > 0) this.#cancel(...all[this.rng.below(all.length)]);
  }

  #cancel(asked: Asked, number: number): void {
    this.#calls.delete(asked);
    if (!this.caller.cancel(number)) this.oracle.note(`it is not in flight: ${asked}`);
    asked.silent = true;
    this.caller.flush();
  }

  cancelEndless(): void {
    for (const [asked, number] of this.#calls) if (asked.answer === 'never') this.#cancel(asked, number);
  }

  /** The caller's Rpc is to be closed: whether its last poll tells of calls or not, they are over. */
  closes(): void {
    for (const [asked, number] of [...this.#calls]) this.#cancel(asked, number);
  }

  opens(caller: RpcBurst): void {
    this.caller = caller;
    this.#isOpen = true;
  }

  #isOpen = true;

  poll(): void {
    if (this.#isOpen) this.#answers();
    this.#requests();
  }

  #answers(): void {
    let n = 0;
    try {
      n = this.caller.poll(this.#events, 1 + this.rng.below(64));
    } catch (error) {
      // The Rpc is being closed.
      if (this.#calls.size > 0) this.oracle.note(`poll: ${(error as Error).message}`);
      return;
    }
    for (const e of this.#events.slice(0, n)) {
      const asked = e.tag as Asked;
      this.#calls.delete(asked);
      if (e.kind === 'response') this.oracle.ended(asked, 'none', this.rng.chance(0.5) ? e.bytes : e.take());
      else this.oracle.ended(asked, e.code!);
    }
  }

  #requests(): void {
    const { callee, rng, oracle } = this;
    const n = callee.poll(this.#heard, 1 + rng.below(64));
    for (const e of this.#heard.slice(0, n)) {
      if (e.kind === 'cancelled') {
        this.#kept.delete(e.tag as Asked);
        continue;
      }
      const asked = oracle.executed(e.bytes);
      if (asked === undefined) continue;
      if (asked.answer === 'throws' || isBroken(asked)) e.refuse(new Error('as it was asked'));
      else if (asked.answer === 'whole') e.reply(asked.answerBytes);
      else this.#kept.set(asked, e.keep(asked));
    }
    for (const [asked, kept] of this.#kept) {
      if (asked.answer === 'never' || rng.chance(0.8)) continue;
      this.#kept.delete(asked);
      kept.reply(asked.answerBytes);
    }
    callee.flush();
  }
}

const isBroken = ({ answer }: Asked): boolean =>
  answer === 'breaks' || answer === 'short' || answer === 'long';
