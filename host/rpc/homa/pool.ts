/**
 * Slots of a client in one lane: opened in batches, each carries one call at a time. Calls wait where there are no more, in a
 * queue for each peer; peers take turns, and none has so many slots that nothing is left for others.
 *
 *   Share: a peer's calls that wait ─┐  round robin
 *   Share ───────────────────────────┴─▶ Pool: free slots ─▶ Slot ─▶ back, or lost
 */
import type { Call } from '../calls.js';
import { codeOf, whyFailed } from '../errors.js';
import { Outgoing } from '../outgoing.js';
import type { Way } from './calls.js';
import type { HomaCarrier } from './carrier.js';
import { Chain, type Linked } from './chain.js';
import type { Slot } from './slot.js';

/** Slots of the first batch; each further one is as large as all before. */
const FIRST = 16;
/** Most slots of one pool. */
const MOST_SLOTS = 256;
/** Most calls of one peer that wait for a slot. */
const MOST_WAITING = 1024;
/** After a refusal more are asked for again, ms. */
const RETRY_MS = 1000;
/** Slots that nobody needed for so long are given back, ms. */
const IDLE_MS = 10_000;
/** Refusals for which the peer is the reason: others of the pool may be reached all the same. */
const OF_PEER = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'ERR_ADDRESS']);

/** A call that waits for a slot. */
export class Waiting implements Linked<Waiting> {
  chain: Chain<Waiting> | undefined = undefined;
  before: Waiting | undefined = undefined;
  behind: Waiting | undefined = undefined;

  constructor(
    readonly share: Share,
    readonly call: Call,
    readonly body: Uint8Array | Outgoing,
  ) {}
}

/** What one peer has of a pool. */
export class Share implements Linked<Share> {
  /** Where it waits for a slot itself. */
  chain: Chain<Share> | undefined = undefined;
  before: Share | undefined = undefined;
  behind: Share | undefined = undefined;
  /** Calls that wait for a slot. */
  readonly waiting = new Chain<Waiting>();
  /** Slots that carry its calls. */
  held = 0;
  /** Bytes of requests that are not in their rings yet. */
  unsent = 0;

  /** @param address of the peer */
  constructor(
    readonly pool: Pool,
    readonly address: string,
  ) {}

  /** False: too many wait. */
  begin(call: Call, body: Uint8Array | Outgoing, own: boolean): boolean {
    const { pool } = this;
    if (this.unsent > pool.carrier.limits.unsent) return false;
    if (this.waiting.length === 0 && pool.mayTake(this)) {
      const slot = pool.take();
      if (slot !== undefined) {
        this.held++;
        slot.begin(call, body, own, this);
        return true;
      }
    }
    if (this.waiting.length >= MOST_WAITING) return false;
    const kept = own || !(body instanceof Uint8Array) ? body : Uint8Array.prototype.slice.call(body);
    this.unsent += body.length;
    const waiting = new Waiting(this, call, kept);
    call.link = waiting;
    this.waiting.push(waiting);
    pool.wait(this);
    return true;
  }

  /** The next of its calls, which is to have a slot. */
  next(slot: Slot): void {
    const { call, body } = this.waiting.shift()!;
    this.unsent -= body.length;
    this.held++;
    slot.begin(call, body, true, this);
  }

  /** A call that waits is given up. */
  cancel(waiting: Waiting): void {
    // Its last event is still to be told of: it has failed.
    if (waiting.chain === undefined) return;
    this.waiting.remove(waiting);
    this.leave(waiting);
    if (this.waiting.length === 0) this.chain?.remove(this);
  }

  /** None of its calls will have a slot. */
  fail(code: string, reason: string): void {
    this.chain?.remove(this);
    // Only those that wait now.
    for (let n = this.waiting.length; n > 0; n--) {
      const each = this.waiting.shift()!;
      this.leave(each);
      this.pool.carrier.home.fail(each.call, code, whyFailed(each.call.peer, 'homa', code, reason));
    }
  }

  private leave({ body }: Waiting): void {
    this.unsent -= body.length;
    if (body instanceof Outgoing) body.drop();
  }
}

export class Pool {
  private readonly free: Slot[] = [];
  /** Shares with calls that wait, the next one first: those that hold no slot, and those that do, never more than slots. */
  private readonly without = new Chain<Share>();
  private readonly holding = new Chain<Share>();
  private slots = 0;
  /** Slots that there can be: what there is when no more are given. */
  private most = MOST_SLOTS;
  private opening = false;
  private serving = false;
  private again = false;
  /** When no more were given. */
  private refusedMs = 0;
  /** Slots that were free all the time since then. */
  private idle = 0;
  private idleSinceMs = 0;
  /** It has no slots, and is not known any more. */
  gone = false;

  constructor(
    readonly carrier: HomaCarrier,
    readonly way: Way,
  ) {}

  /**
   * Whether it may have one slot more: also one of those that are not opened yet. A peer has no more than it leaves to others
   * (dynamic thresholds, Choudhury and Hahne 1998): one alone has 128, and those that do not answer half of what was left.
   */
  mayTake({ held }: Share): boolean {
    return held < this.free.length + this.most - this.slots || held === 0;
  }

  take(): Slot | undefined {
    const slot = this.free.pop();
    if (this.free.length < this.idle) this.idle = this.free.length;
    return slot;
  }

  /** Calls of a share wait. */
  wait(share: Share): void {
    if (share.chain === undefined) this.enqueue(share);
    if (this.mayTake(share)) this.grow(share);
  }

  /** Last of those that wait. */
  private enqueue(share: Share): void {
    const { without, holding } = this;
    (share.held === 0 ? without : holding).push(share);
  }

  private get waits(): boolean {
    return this.without.length + this.holding.length > 0;
  }

  /** A slot has carried its call. */
  give(slot: Slot): void {
    this.drop(slot.share!);
    slot.share = undefined;
    this.free.push(slot);
    if (this.waits) this.serve();
  }

  /** A share has a slot less. */
  private drop(share: Share): void {
    if (--share.held > 0 || share.chain === undefined) return;
    share.chain.remove(share);
    this.enqueue(share);
  }

  /** A slot is no more. */
  lost(slot: Slot): void {
    this.slots--;
    if (slot.share !== undefined) this.drop(slot.share);
    else {
      const at = this.free.indexOf(slot);
      if (at >= 0) this.free.splice(at, 1);
    }
    slot.share = undefined;
    this.idle = Math.min(this.idle, this.free.length);
    if (this.waits) this.serve();
  }

  /** Gives free slots to those that wait, in turn, and asks for more. */
  private serve(): void {
    // A refusal that comes at once serves those that are left: not from within.
    this.again = true;
    if (this.serving) return;
    this.serving = true;
    while (this.again) {
      this.again = false;
      this.serveOnce();
    }
    this.serving = false;
  }

  /** Whoever holds none first: where each slot is one of those, a call that ends costs one step, however many peers wait. */
  private serveOnce(): void {
    const { without, holding, free } = this;
    while (free.length > 0 && without.first !== undefined) this.hand(without.first);
    // Whoever may have none stays where it stands; nor may it after others have had more.
    for (let share = holding.first; free.length > 0 && share !== undefined; ) {
      const { behind }: Share = share;
      const may = this.mayTake(share);
      if (may) this.hand(share);
      share = behind ?? (may && share.chain === holding ? share : undefined);
    }
    if (free.length > 0 || !this.mayGrow) return;
    let wants = without.first ?? holding.first;
    while (wants !== undefined && !this.mayTake(wants)) wants = wants.behind;
    if (wants !== undefined) this.grow(wants);
  }

  /** A free slot is for the next call of a share, which then stands behind the others. */
  private hand(share: Share): void {
    share.chain!.remove(share);
    share.next(this.take()!);
    if (share.waiting.length > 0) this.enqueue(share);
  }

  /** After a refusal those that there are have to do for a while: without any, calls fail at once. */
  private get mayGrow(): boolean {
    return !this.opening && (this.slots < this.most || this.slots === 0);
  }

  /** Asks for slots by the address of a share that waits: ports of one pool may reach some peers and not others. */
  private grow(share: Share): void {
    if (!this.mayGrow) return;
    this.opening = true;
    this.carrier.calls.open(
      { ...this.way, address: share.address },
      Math.min(Math.max(FIRST, this.slots), MOST_SLOTS - this.slots),
      ids => this.opened(ids),
      error => this.refused(share, error),
    );
  }

  private opened(ids: readonly number[]): void {
    this.opening = false;
    this.most = MOST_SLOTS;
    this.slots += ids.length;
    for (const id of ids) this.free.push(this.carrier.opened(id, this));
    this.serve();
  }

  /** There are none: calls wait for those in use, or fail. */
  private refused(share: Share, error: unknown): void {
    this.opening = false;
    const code = codeOf(error);
    const { message } = error as Error;
    if (OF_PEER.has(code)) {
      share.fail(code, message);
      this.carrier.home.stir();
      return this.serve();
    }
    this.most = this.slots;
    this.refusedMs = this.carrier.home.nowMs();
    this.carrier.home.stir();
    if (this.slots > 0) return;
    const { without } = this;
    for (let n = without.length; n > 0; n--) without.first!.fail(code, message);
  }

  /** Asks again after a refusal, gives back what nobody needs. Returns when to look again, ms. */
  tick(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    if (this.most < MOST_SLOTS) {
      if (nowMs - this.refusedMs >= RETRY_MS) {
        this.most = MOST_SLOTS;
        if (this.waits) this.serve();
      } else nextMs = this.refusedMs + RETRY_MS;
    }
    if (nowMs - this.idleSinceMs >= IDLE_MS) {
      // The last one given is the next one taken: the first were not needed.
      for (const slot of this.free.splice(0, this.idle)) slot.finish('ECANCELED', 'nobody needs the slot');
      this.idle = this.free.length;
      this.idleSinceMs = nowMs;
    }
    if (this.slots > 0) return Math.min(nextMs, this.idleSinceMs + IDLE_MS);
    this.gone = !this.opening && !this.waits;
    return nextMs;
  }
}
