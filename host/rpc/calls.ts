/** The calls in flight of one endpoint, by their place: objects that are used again, told apart by their turn. */
import type { Carrier } from './carrier.js';
import { RpcError } from './errors.js';
import type { Outgoing } from './outgoing.js';
import type { RpcPeer } from './peer.js';

export class Call {
  turn = 0;
  live = false;
  /** What `begin` was given. */
  tag: unknown = undefined;
  peer!: RpcPeer;
  carrier!: Carrier;
  /** The carrier's own: where it is. */
  link: unknown = undefined;
  /** What of the request is still to be sent. */
  out: Outgoing | undefined = undefined;
  /** When it began, ms of the endpoint's clock; of a carrier that has patience. */
  begunMs = 0;
  /** When it has failed, ms of the endpoint's clock. */
  deadlineMs = Number.POSITIVE_INFINITY;

  constructor(readonly place: number) {}
}

/** Bits of a call's number that say its place, counted from 1; the others are the last ones of its turn. */
const PLACE_BITS = 20;
const PLACES = (1 << PLACE_BITS) - 1;
/** Together 31: a small integer, which V8 allocates nothing for. */
const TURNS = (1 << 11) - 1;
/** Calls that one endpoint can have in flight. */
const MOST_CALLS = PLACES;

export class Calls {
  readonly table: Call[] = [];
  readonly #free: Call[] = [];
  inFlight = 0;
  /** The earliest deadline, ms; not later than it is. */
  nextMs = Number.POSITIVE_INFINITY;

  /** Undefined: there are too many. */
  take(): Call | undefined {
    let call = this.#free.pop();
    if (call === undefined) {
      if (this.table.length >= MOST_CALLS) return undefined;
      call = new Call(this.table.length);
      this.table.push(call);
    }
    call.turn = (call.turn + 1) >>> 0;
    call.live = true;
    this.inFlight++;
    return call;
  }

  /** The call of a place, if it is in flight and that one. */
  find(place: number, turn: number): Call | undefined {
    const call = this.table[place];
    return call?.live && call.turn === turn ? call : undefined;
  }

  /** The number of a call, by which who makes it knows it; never 0. */
  static number({ place, turn }: Call): number {
    return ((turn & TURNS) << PLACE_BITS) | (place + 1);
  }

  /** The call of a number, if it is in flight: not another one of its place. */
  numbered(number: number): Call | undefined {
    const call = this.table[(number & PLACES) - 1];
    return call?.live && (call.turn & TURNS) === number >>> PLACE_BITS ? call : undefined;
  }

  /** It is over. */
  give(call: Call): void {
    call.live = false;
    call.tag = undefined;
    call.link = undefined;
    call.out = undefined;
    call.deadlineMs = Number.POSITIVE_INFINITY;
    this.inFlight--;
    this.#free.push(call);
  }

  setDeadline(call: Call, ms: number): void {
    call.deadlineMs = ms;
    if (ms < this.nextMs) this.nextMs = ms;
  }

  /** Those that are late. */
  late(nowMs: number): Call[] {
    if (nowMs < this.nextMs) return [];
    const late: Call[] = [];
    this.nextMs = Number.POSITIVE_INFINITY;
    for (const call of this.table) {
      if (!call.live) continue;
      if (call.deadlineMs <= nowMs) late.push(call);
      else if (call.deadlineMs < this.nextMs) this.nextMs = call.deadlineMs;
    }
    return late;
  }
}

/** A deadline: ms, or undefined for none. @throws RpcError ERR_RPC_OPTIONS */
export function checkDeadline(ms: number | undefined): void {
  if (ms === undefined || (typeof ms === 'number' && !Number.isNaN(ms))) return;
  const got = typeof ms === 'number' ? 'NaN' : ms === null ? 'null' : typeof ms;
  throw new RpcError('ERR_RPC_OPTIONS', `deadline: ${got}`, { expected: 'a number of ms' });
}
