/**
 * What is known of one peer of a socket: messages of it that came in part, and requests of it that are to be answered. Places
 * and turns are those of one socket of a client; another one that has its port later begins with them anew. So each of them
 * chooses an epoch, which stands behind the head of every frame, both ways:
 *
 *   ┌──────────────── frame.ts ─┬──────────────────┬─────────────
 *   │ kind … call, turn    24 B │ epoch        4 B │ bytes …
 *   └───────────────────────────┴──────────────────┴─────────────
 *
 * A server that hears of another epoch has lost the client of the former one: the transport keeps their order.
 */
import type { Correspondent } from '../../streams/datagram_end.js';
import { Account } from '../accounts.js';
import type { Part } from '../parts.js';
import type { Post } from './post.js';

export class Correspondence {
  /** By call: messages that came in part. */
  readonly parts = new Map<number, Part>();
  /** A server's: requests that are to be answered. */
  readonly account: Account;
  /** Bytes of messages to it that wait, and what they take beside. */
  waiting = 0;
  /** When something was heard of it, ms. */
  heardMs = 0;
  /** A server's: when it was asked last whether it is there still, ms. */
  askedMs = 0;
  /** A client's: calls in flight. */
  calls = 0;
  /** A client's: since when there are calls, or none, or it was heard, ms: what was last. */
  sinceMs = 0;
  /** A client's: further calls have a socket of their own. This one is closed when its last call is over. */
  left = false;
  /** Time before `sinceMs` for which calls waited since it was heard last, ms. */
  private waitedMs = 0;

  constructor(
    readonly post: Post,
    readonly to: Correspondent,
    readonly address: string,
    /** The client socket's. */
    readonly epoch: number,
  ) {
    const { accounts, limits } = post.carrier;
    this.account = new Account(accounts, limits.unanswered, false, () => {});
  }

  heard(nowMs: number): void {
    this.heardMs = nowMs;
    this.waitedMs = 0;
    if (this.calls > 0) this.sinceMs = nowMs;
  }

  /** A call begins. */
  begins(nowMs: number): void {
    if (this.calls++ === 0) this.sinceMs = nowMs;
  }

  /** A call is over. */
  ends(nowMs: number): void {
    if (--this.calls > 0) return;
    this.waitedMs += nowMs - this.sinceMs;
    this.sinceMs = nowMs;
  }

  /** For how long calls waited, and nothing was heard, ms. Who is not asked may be silent. */
  silentMs(nowMs: number): number {
    return this.waitedMs + (this.calls > 0 ? nowMs - this.sinceMs : 0);
  }

  /** Time passes: messages whose next part is late are forgotten. Returns how much is left for one of the others, ms. */
  wait(ms: number, mostMs: number): number {
    let leftMs = mostMs;
    for (const [call, part] of this.parts) {
      const its = part.wait(ms, mostMs);
      if (its < 0) this.forget(call);
      else leftMs = Math.min(leftMs, its);
    }
    return leftMs;
  }

  forget(call: number): void {
    this.parts.get(call)?.drop();
    this.parts.delete(call);
  }

  drop(): void {
    for (const part of this.parts.values()) part.drop();
    this.parts.clear();
  }
}
