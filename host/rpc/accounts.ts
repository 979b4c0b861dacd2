/**
 * What of its peers' requests a carrier bears at once: how many there are, and how many bytes they have. A request counts from
 * when its first bytes are taken until it was answered, or nobody waits for it and whoever works on it has let go of it: giving
 * calls up makes no room for others before their handlers have returned (CVE-2023-44487).
 *
 *   take ─▶ some of it came ─▶ asked ─▶ kept ─▶ answered, or given up and let go of ─▶ give
 *
 * What finds no room stays in the network; whose it is is told to ask again.
 */
import type { Asked, CarrierLimits } from './carrier.js';
import type { KeptRequest } from './event.js';

/** Requests of up to so many bytes are short: they count as so long, for what is known of them. */
const SHORT = 1024;

const costOf = (length: number): number => (length > SHORT ? length : SHORT);

/** Room for short requests, or for long ones, of everybody: who is promised much and sends little holds up no short ones. */
class Room {
  bytes = 0;
  /** Those that found none, the first one first. */
  readonly queue = new Set<Account>();

  constructor(readonly most: number) {}

  /** One request always has room, and one that comes among parts of those that have it all: they end behind it. */
  fits(cost: number, among: number): boolean {
    return this.bytes === among || this.bytes + cost <= this.most;
  }

  /** Those for whom there is enough ask again, in turn. */
  wake(): void {
    let { bytes } = this;
    for (const account of this.queue) {
      if (bytes > 0 && bytes + account.wants > this.most) return;
      bytes += account.wants;
      account.goOn();
    }
  }
}

/** Of all peers of a carrier. */
export class Accounts {
  readonly short: Room;
  readonly long: Room;
  /** Peers that are gone, while there are requests of theirs that somebody works on. */
  ghosts = 0;

  constructor(readonly limits: CarrierLimits) {
    this.short = new Room(limits.allUnansweredBytes / 2);
    this.long = new Room(limits.allUnansweredBytes / 2);
  }

  of(cost: number): Room {
    return cost > SHORT ? this.long : this.short;
  }

  /** Whether others wait until there is room for long requests. */
  get pressed(): boolean {
    return this.long.queue.size > 0;
  }
}

/** Of one peer. */
export class Account {
  /** Those that are to be answered, by call: the turn, or who keeps it. */
  readonly open = new Map<number, number | KeptRequest>();
  /** Lengths of those that are not short. */
  private readonly long = new Map<number, number>();
  /** All that count. */
  count = 0;
  bytes = 0;
  /** Those of which only part came, and what the short and the long ones of them cost. */
  private parts = 0;
  private partsShort = 0;
  private partsLong = 0;
  /** What the one that found no room takes. */
  wants = 0;
  private over = false;

  /**
   * @param most requests at once @param inOrder what finds no room holds up all that comes behind it
   * @param goOn there may be room for what found none
   */
  constructor(
    readonly all: Accounts,
    readonly most: number,
    readonly inOrder: boolean,
    readonly goOn: () => void,
  ) {}

  /** Takes a request of so many bytes in. False: there is no room now. */
  take(length: number): boolean {
    const cost = costOf(length);
    const { bytes } = this;
    const full = this.count >= this.most || bytes + cost > this.all.limits.unansweredBytes;
    // What comes among the parts of all that there is must be taken, or they would never be whole.
    if (full && this.count > (this.inOrder ? this.parts : 0)) {
      this.leave();
      return false;
    }
    const room = this.all.of(cost);
    const { queue } = room;
    const among = this.inOrder ? (cost > SHORT ? this.partsLong : this.partsShort) : 0;
    if (!room.fits(cost, among) || (queue.size > 0 && !queue.has(this) && room.bytes > among)) {
      this.wants = cost;
      queue.add(this);
      return false;
    }
    if (queue.size > 0) queue.delete(this);
    room.bytes += cost;
    this.bytes = bytes + cost;
    this.count++;
    return true;
  }

  /** It does not ask for room now: those behind it do not wait for that. */
  leave(): void {
    const { short, long } = this.all;
    if (short.queue.size > 0 && short.queue.delete(this)) short.wake();
    if (long.queue.size > 0 && long.queue.delete(this)) long.wake();
  }

  /** Part of one that was taken came, or all of it, or it will not: `n` is 1 or -1. */
  part(length: number, n: number): void {
    this.parts += n;
    if (length > SHORT) this.partsLong += n * length;
    else this.partsShort += n * SHORT;
  }

  /** One counts no more. */
  give(length: number): void {
    const cost = costOf(length);
    const room = this.all.of(cost);
    room.bytes -= cost;
    this.bytes -= cost;
    this.count--;
    if (room.queue.size > 0) room.wake();
    if (!this.over) this.goOn();
    else if (this.count === 0) this.all.ghosts--;
  }

  /** All of one is there, and told of. */
  asked(call: number, turn: number, length: number): void {
    this.open.set(call, turn);
    if (length > SHORT) this.long.set(call, length);
  }

  /** Whether that one is to be answered still. */
  waits({ call, turn }: Pick<Asked, 'call' | 'turn'>): boolean {
    const known = this.open.get(call);
    return known !== undefined && turnOf(known) === turn;
  }

  keep(kept: KeptRequest): void {
    if (this.open.get(kept.call) === kept.turn) this.open.set(kept.call, kept);
    else kept.over = true;
  }

  /** One is answered, or nobody waits for it: then who kept it is returned, and is to hear of it. */
  close(call: number, answered: boolean): KeptRequest | undefined {
    const known = this.open.get(call);
    this.open.delete(call);
    let length = 0;
    if (this.long.size > 0) {
      length = this.long.get(call) ?? 0;
      this.long.delete(call);
    }
    const kept = typeof known === 'object' ? known : undefined;
    this.release(kept, length, answered);
    return kept;
  }

  /** One of so many bytes counts no more, or when its keeper has let go of it. */
  release(kept: KeptRequest | undefined, length: number, answered: boolean): void {
    if (kept !== undefined && (kept.held || !answered)) kept.letsGo = () => this.give(length);
    else this.give(length);
  }

  /** One counts, whether there is room or not: what was given up before anybody said that he works on it. */
  add(length: number): void {
    const cost = costOf(length);
    this.all.of(cost).bytes += cost;
    this.bytes += cost;
    if (this.count++ === 0 && this.over) this.all.ghosts++;
  }

  /** The peer is gone. What is still to be answered was closed before. */
  end(): void {
    this.over = true;
    this.leave();
    if (this.count > 0) this.all.ghosts++;
  }
}

export const turnOf = (known: number | KeptRequest): number =>
  typeof known === 'number' ? known : known.turn;
