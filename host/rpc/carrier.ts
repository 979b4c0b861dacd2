/**
 * What a carrier is: how requests get to a server and responses back. An endpoint (endpoint.ts) has some, begins calls on the
 * one that is in use, and serves on all of them.
 *
 *   Endpoint ── begin, reply, cancel ─▶ Carrier ─▶ connections │ slots │ datagrams
 *            ◀─ request, answer, failed ─┘
 *
 * Every carrier promises: a request is given to the server at most once; a call ends exactly once, with its response or an
 * error; messages of up to 1,000,000 bytes.
 */
import type { Call } from './calls.js';
import { RpcError } from './errors.js';
import type { Events, KeptRequest } from './event.js';
import type { FrameKind } from './frame.js';
import type { Outgoing } from './outgoing.js';
import type { PartPool } from './parts.js';

/** Whose answer a reply is: a request as its carrier knows it. */
export interface Asked {
  readonly carrier: Carrier;
  readonly link: unknown;
  readonly call: number;
  readonly turn: number;
}

/** Where a server is. */
export interface ServePlace {
  port: number;
  close(): void;
}

export interface ListenWish {
  /** 0: any that is free. */
  port: number;
  /** One of the stack's. Default: any. */
  address?: string;
  /** RpcEvent.service of what comes there. */
  data?: unknown;
}

export interface Carrier {
  readonly name: string;
  readonly home: CarrierHome;
  /** Its place in RpcPeer.places. */
  readonly index: number;
  /** ms after which a call ends with ETIMEDOUT, of one that cannot say otherwise that nobody will answer. */
  readonly patienceMs?: number;
  /**
   * Sends the request of a call. False: there is no room now. @param own the bytes will not be changed before they were
   * sent: no copy is needed
   */
  begin(call: Call, body: Uint8Array | Outgoing, own: boolean): boolean;
  /** Nobody waits for the call any more. The caller gives it back. */
  cancel(call: Call): void;
  /** Answers. False: there is no room now, or nobody waits for it. */
  reply(asked: Asked, kind: FrameKind, body: Uint8Array | Outgoing, own: boolean): boolean;
  /** A response that was begun will not be finished: the caller is to get the error instead. */
  breakOff(asked: Asked, out: Outgoing, error: Uint8Array): void;
  /** A request will be answered later: `cancelled` is to be told. */
  keep(kept: KeptRequest): void;
  remote(asked: Asked): { address: string; port: number };
  /** Takes requests at a port. */
  listen(wish: ListenWish): ServePlace | Promise<ServePlace>;
  /** Gives back the bytes of the last events. */
  done(): void;
  /** Events that there is news for, until `events` is full. */
  work(events: Events): void;
  /** Whether `work` may have more without news. */
  readonly ready: boolean;
  /** More of a body has come to what `begin` or `reply` were given. */
  goOn(link: unknown): void;
  /**
   * Peers that are too late are done with. Returns when it is to look again if nothing happens until then, ms of the
   * endpoint's clock; Infinity: nobody is waited for. What begins between two looks it tells of by `CarrierHome.stir`.
   */
  tick(nowMs: number): number;
  /** Ends everything: calls in flight have failed before. What was answered is sent on, `work` and `tick` see to it. */
  close(): void;
  /** Whether some of that is still to be sent. */
  readonly settling: boolean;
  /** That ends, too. */
  end(): void;
}

/** What a carrier has of its endpoint. */
export interface CarrierHome {
  readonly events: Events;
  readonly pool: PartPool;
  /** Requests and responses are told of as they come in parts (RpcEvent kind `part`). */
  readonly inParts: boolean;
  find(call: number, turn: number): Call | undefined;
  /** Fails all calls for which it holds. Of each there will be an event. */
  failAll(holds: (call: Call) => boolean, code: string, reason: string): void;
  /** The same of one call. */
  fail(call: Call, code: string, reason: string): void;
  /** A call was answered, whole or with an error: it is given back. */
  over(call: Call): void;
  /** A request that was kept is over: there will be an event. */
  cancelled(kept: KeptRequest): void;
  /** To be done at the next poll or look, news or not: a call that could not begin fails when its maker knows its number. */
  later(work: () => void): void;
  /** Somebody is waited for since the last look: the next one is soon, whether there is news by then or not. */
  stir(): void;
  nowMs(): number;
}

/** What must not happen to a server through those who call it. */
export interface CarrierLimits {
  /** Connections, or slots, that there may be. */
  connections: number;
  /** Requests of a connection that are not answered, or that somebody works on still: no more are read then. */
  unanswered: number;
  /** Bytes that these have, those of a message of which part came included. One message is always read. */
  unansweredBytes: number;
  /** The same of all connections: half of it for requests of up to 1024 bytes, half for longer ones. */
  allUnansweredBytes: number;
  /** Bytes that wait to be sent on a connection: no more are read then, and `begin` has no room. */
  unsent: number;
  /** Time for the rest of a frame, and for the next part of each message, ms. While others wait for room: for all its parts. */
  frameMs: number;
  partMs: number;
  /** Time without progress of what is to be sent, ms. */
  stallMs: number;
  /** A connection on which there were no calls for so long is ended, ms. */
  idleMs: number;
}

export const LIMITS: CarrierLimits = {
  connections: 4096,
  unanswered: 4096,
  unansweredBytes: 16 << 20,
  allUnansweredBytes: 256 << 20,
  unsent: 4 << 20,
  frameMs: 10_000,
  partMs: 60_000,
  stallMs: 60_000,
  idleMs: 300_000,
};

/** How long who takes nothing of what was answered is waited for when a server is closed, ms. */
export const SETTLE_MS = 1000;

/** Time between two looks that counts as waiting, at most, ms: when nobody looked, what is waited for may have come long ago. */
export const LOOK_MS = 1000;

/** Time between two looks at who is late, while there is news, ms. */
export const TICK_MS = 100;

/** Limits, some of them other than usual. @throws RpcError ERR_RPC_OPTIONS */
export function limitsOf(wished: Partial<CarrierLimits> | undefined): CarrierLimits {
  if (wished === undefined) return LIMITS;
  for (const [name, value] of Object.entries(wished ?? { limits: null })) {
    if (Object.hasOwn(LIMITS, name) && typeof value === 'number' && value > 0) continue;
    throw new RpcError('ERR_RPC_OPTIONS', `limits: ${name}: ${String(value)}`, {
      expected: `${Object.keys(LIMITS).join(', ')}: each more than 0`,
    });
  }
  return { ...LIMITS, ...wished };
}
