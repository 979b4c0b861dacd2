/** Slots of a client in one lane: opened in batches, each carries one call at a time; calls wait where there are no more. */
import type { Call } from '../calls.js';
import { codeOf } from '../errors.js';
import { Outgoing } from '../outgoing.js';
import type { Way } from './calls.js';
import type { HomaCarrier } from './carrier.js';
import type { Slot } from './slot.js';

/** Slots of the first batch; each further one is as large as all before. */
const FIRST = 16;
/** Most slots of one pool, and most calls that wait for one. */
const MOST_SLOTS = 256;
const MOST_WAITING = 1024;

interface Waiting {
  call: Call;
  body: Uint8Array | Outgoing;
}

export class Pool {
  private readonly free: Slot[] = [];
  private waiting: Waiting[] = [];
  private slots = 0;
  private opening = false;
  /** Bytes of requests that are not in their rings yet. */
  unsent = 0;

  constructor(
    readonly carrier: HomaCarrier,
    readonly way: Way,
  ) {}

  /** False: there are too many that wait. */
  begin(call: Call, body: Uint8Array | Outgoing, own: boolean): boolean {
    if (this.unsent > this.carrier.limits.unsent) return false;
    const slot = this.free.pop();
    if (slot !== undefined) {
      slot.begin(call, body, own);
      return true;
    }
    if (this.waiting.length >= MOST_WAITING) return false;
    call.link = this;
    const kept = own || !(body instanceof Uint8Array) ? body : Uint8Array.prototype.slice.call(body);
    this.unsent += body.length;
    this.waiting.push({ call, body: kept });
    this.grow();
    return true;
  }

  /** A slot has nothing to do. */
  give(slot: Slot): void {
    if (this.waiting.length === 0) {
      this.free.push(slot);
      return;
    }
    const next = this.waiting.shift()!;
    this.unsent -= next.body.length;
    slot.begin(next.call, next.body, true);
  }

  /** A slot is no more. */
  lost(slot: Slot): void {
    this.slots--;
    const at = this.free.indexOf(slot);
    if (at >= 0) this.free.splice(at, 1);
    if (this.waiting.length > 0) this.grow();
  }

  /** A call that waits is given up. */
  cancel(call: Call): void {
    const at = this.waiting.findIndex(w => w.call === call);
    if (at < 0) return;
    const [{ body }] = this.waiting.splice(at, 1);
    this.unsent -= body.length;
    if (body instanceof Outgoing) body.drop();
  }

  private grow(): void {
    if (this.opening || this.slots >= MOST_SLOTS) return;
    this.opening = true;
    this.carrier.calls.open(
      this.way,
      Math.max(FIRST, this.slots),
      ids => this.opened(ids),
      error => this.refused(error),
    );
  }

  private opened(ids: readonly number[]): void {
    this.opening = false;
    this.slots += ids.length;
    for (const id of ids) this.give(this.carrier.opened(id, this));
  }

  /** There are none: calls wait for those in use, or fail. */
  private refused(error: unknown): void {
    this.opening = false;
    if (this.slots > 0) return;
    const { message } = error as Error;
    for (const { call, body } of this.waiting) {
      this.unsent -= body.length;
      if (body instanceof Outgoing) body.drop();
      this.carrier.home.fail(call, codeOf(error), message);
    }
    this.waiting = [];
  }
}
