/**
 * How long a service waits for a peer: for a request, for the rest of one, for room for its answers, for the peer's end; and
 * for how many at a time. A look at all connections of a thread, some times a second: what happens to bytes counts one up.
 *
 *   Carrier, BurstServer ── watch, forget ─▶ Patience ── look(now) ─▶ late(peer, why)
 */
import type { Session } from './service.js';

/** Where a session is. */
export enum Stage {
  /** No request has begun. */
  BETWEEN,
  /** The head of one, or all of one that has no other part. */
  HEAD,
  /** What follows the head. */
  BODY,
}

/** Times in ms, 0 for none: a peer that takes longer is done with. */
export interface Limits {
  /** Connections at a time; one more is turned away. */
  connections: number;
  /** Between requests, without a byte either way. */
  idleMs: number;
  /** From the first byte of a request to the end of its head; of a connection's first from the beginning. */
  headMs: number;
  /** From the end of the head to that of the request. */
  bodyMs: number;
  /** Answers wait, and the peer takes none of them. */
  stallMs: number;
  /** We have ended, and the peer has not. */
  lingerMs: number;
}

/** Why a peer is done with. */
export type Late = 'idle' | 'head' | 'body' | 'stall' | 'linger';

/** A connection as it is looked at. */
export interface Watched {
  readonly session: Session;
  /** Changes with every byte in or out. */
  readonly moved: number;
  /** Answers wait for room. */
  readonly waits: boolean;
  /** We have ended. */
  readonly over: boolean;
}

/** What the last look found. */
interface Mark {
  moved: number;
  requests: number;
  movedMs: number;
  /** When the request that is under way began, or its body. */
  begunMs: number;
  overMs: number;
  stage: Stage;
}

/** Time between two looks, ms: a quarter of the shortest limit, within these. */
const SHORTEST_STEP = 10;
const LONGEST_STEP = 1000;

export const NO_LIMITS: Limits = {
  ...{ connections: Number.POSITIVE_INFINITY, idleMs: 0, headMs: 0, bodyMs: 0, stallMs: 0, lingerMs: 0 },
};

export class Patience<W extends Watched> {
  readonly #peers = new Map<W, Mark>();
  readonly stepMs: number;
  #nextMs = 0;

  constructor(
    readonly limits: Limits,
    readonly late: (peer: W, why: Late) => void,
  ) {
    const { idleMs, headMs, bodyMs, stallMs, lingerMs } = limits;
    const shortest = Math.min(...[idleMs, headMs, bodyMs, stallMs, lingerMs].filter(ms => ms > 0));
    this.stepMs = Math.max(SHORTEST_STEP, Math.min(Math.ceil(shortest / 4), LONGEST_STEP));
  }

  /** Connections that are watched. */
  get size(): number {
    return this.#peers.size;
  }

  /** Whether one more is to be turned away. */
  get full(): boolean {
    return this.#peers.size >= this.limits.connections;
  }

  watch(peer: W): void {
    this.#peers.set(peer, {
      moved: -1,
      requests: -1,
      movedMs: 0,
      begunMs: 0,
      overMs: 0,
      stage: Stage.BETWEEN,
    });
  }

  forget(peer: W): void {
    this.#peers.delete(peer);
  }

  /** Looks at all, if it is time to. */
  look(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + this.stepMs;
    for (const [peer, mark] of this.#peers) {
      const why = this.#why(peer, mark, nowMs);
      if (why !== undefined) this.late(peer, why);
    }
  }

  #why(peer: W, mark: Mark, now: number): Late | undefined {
    const { session, moved, waits, over } = peer;
    const past = (since: number, ms: number): boolean => ms > 0 && now - since >= ms;
    if (moved !== mark.moved) {
      mark.moved = moved;
      mark.movedMs = now;
    }
    if (waits) return past(mark.movedMs, this.limits.stallMs) ? 'stall' : undefined;
    if (over) {
      mark.overMs ||= now;
      return past(mark.overMs, this.limits.lingerMs) ? 'linger' : undefined;
    }
    const { stage, requests } = session;
    if (stage === Stage.BETWEEN || stage !== mark.stage || requests !== mark.requests) mark.begunMs = now;
    mark.stage = stage;
    mark.requests = requests;
    if (stage === Stage.HEAD) return past(mark.begunMs, this.limits.headMs) ? 'head' : undefined;
    if (stage === Stage.BODY) return past(mark.begunMs, this.limits.bodyMs) ? 'body' : undefined;
    return past(mark.movedMs, this.limits.idleMs) ? 'idle' : undefined;
  }
}
