/** One connection that carries calls: a client's, or one that came to a server. */
import { Account } from '../accounts.js';
import type { Call } from '../calls.js';
import { LOOK_MS, SETTLE_MS, TICK_MS } from '../carrier.js';
import { whyFailed } from '../errors.js';
import type { Events } from '../event.js';
import { FrameKind } from '../frame.js';
import type { RpcPeer } from '../peer.js';
import type { TcpCarrier } from './carrier.js';
import type { LinkToBe, RpcConnection } from './connection.js';
import { Found, type Inbox, Receiver } from './receiver.js';
import { Sender } from './sender.js';

export class Link implements LinkToBe, Inbox {
  connection: RpcConnection | undefined;
  readonly sender = new Sender();
  receiver: Receiver | undefined;
  /** It stands in the carrier's list of those with news. */
  ready = false;
  /** Its last events have bytes in the ring. */
  touched = false;
  /** A server's: requests that are to be answered. */
  readonly account: Account;
  /** A client's: calls in flight. */
  calls = 0;
  over = false;
  /** Of a server's: those of its listener, and what that was made with. */
  served: Set<Link> | undefined;
  service: unknown;
  /** It is to end when the bytes of its events are given back. */
  private ending: { code: string; reason: string; reset: boolean } | undefined;
  /** It ends when what was answered has arrived: why, and how much of that is on its way. */
  private closing: { code: string; reason: string; left: number; untilMs: number; shut: boolean } | undefined;
  /** A server's: not read on before something was answered, or sent. */
  private paused = false;
  /** What `tick` saw the last time, and since when it is so. */
  private seenIn = 0;
  private seenOut = 0;
  private seenInFrame = false;
  private seenStuck = false;
  /** For how long the rest of a frame was waited for, ms. */
  private inMs = 0;
  private outSinceMs: number;
  private idleSinceMs: number;
  private tickedMs: number;

  /** @param peer whom a client's connection leads to; undefined for one that came */
  constructor(
    readonly carrier: TcpCarrier,
    readonly peer: RpcPeer | undefined,
  ) {
    this.account = new Account(carrier.accounts, carrier.limits.unanswered, true, () => this.goOn());
    this.outSinceMs = this.idleSinceMs = this.tickedMs = carrier.home.nowMs();
  }

  opened(connection: RpcConnection): void {
    if (this.over) return connection.abort();
    this.connection = connection;
    connection.data = this;
    const { arena } = connection.end.app;
    const inbox = this.peer === undefined ? this : undefined;
    this.receiver = new Receiver(connection.end, arena.u8, arena.dv, this.carrier.home.pool, inbox);
    this.sender.opened(connection);
    this.sender.pump();
  }

  refused(error: unknown): void {
    this.carrier.refused(this, error);
  }

  /** Takes what came. Returns whether there may be more. */
  work(events: Events): boolean {
    const { receiver } = this;
    if (receiver === undefined) return false;
    if (this.closing !== undefined) {
      this.settle(this.carrier.home.nowMs());
      return false;
    }
    while (!this.over && this.ending === undefined) {
      if (events.full) return true;
      const found = receiver.next();
      if (found === Found.NOTHING) break;
      if (found === Found.FULL) {
        if (this.connection?.closed) break;
        this.paused = true;
        return false;
      }
      if (!this.touched) this.carrier.list.touch(this);
      if (found === Found.WHOLE) this.heard(events, receiver);
      else if (found === Found.BAD) this.finish('EPROTO', receiver.wrong, true);
      else this.part(events, receiver);
    }
    const { connection } = this;
    if (!this.over && connection !== undefined && (connection.closed || connection.ended)) {
      const code = connection.error ?? 'ECONNRESET';
      this.finish(code, whyFailed(this.peer, 'tcp', code), false);
    }
    // One that is to end does so at the next poll: there is a reason for it.
    return !this.over && this.ending !== undefined;
  }

  admits(length: number): boolean {
    if (this.sender.waiting <= this.carrier.limits.unsent) return this.account.take(length);
    this.account.leave();
    return false;
  }

  private heard(events: Events, receiver: Receiver): void {
    const { kind, call, turn } = receiver.head;
    if (this.peer !== undefined) {
      if (kind === FrameKind.RESPONSE || kind === FrameKind.ERROR) this.answered(events, receiver);
      else this.finish('EPROTO', 'a server that calls', true);
    } else if (kind === FrameKind.REQUEST) {
      if (this.account.open.has(call)) {
        this.account.give(receiver.head.length);
        return this.finish('EPROTO', 'a call that was made twice', true);
      }
      this.account.asked(call, turn, receiver.head.length);
      const event = events.next();
      event.kind = 'request';
      event.tag = undefined;
      this.fill(event, receiver);
    } else if (kind === FrameKind.CANCEL) {
      receiver.forget(call, turn);
      this.sender.dropOf(call, turn);
      if (!this.account.waits(receiver.head)) return;
      const kept = this.account.close(call, false);
      if (kept !== undefined) this.carrier.home.cancelled(kept);
    } else this.finish('EPROTO', 'a client that answers', true);
  }

  private answered(events: Events, receiver: Receiver): void {
    const { kind, turn } = receiver.head;
    const call = this.carrier.home.find(receiver.head.call, turn);
    // One that nobody waits for any more.
    if (call === undefined || call.link !== this) return;
    const event = events.next();
    event.kind = kind === FrameKind.RESPONSE ? 'response' : 'failed';
    event.tag = call.tag;
    event.code = kind === FrameKind.RESPONSE ? undefined : 'ERR_RPC_REMOTE';
    this.fill(event, receiver);
    // It was answered before all of it was sent: what is left is not.
    if (call.out !== undefined && !call.out.whole) this.withdraw(call);
    this.calls--;
    this.carrier.home.over(call);
  }

  private fill(event: ReturnType<Events['next']>, receiver: Receiver): void {
    event.carrier = this.carrier;
    event.service = this.service;
    event.link = this;
    event.call = receiver.head.call;
    event.turn = receiver.head.turn;
    event.length = receiver.head.length;
    event.memory = receiver.memory;
    event.at = receiver.at;
    event.first = receiver.first;
    event.again = receiver.again;
    event.part = receiver.part;
  }

  /** More of a message came: who reads it meanwhile is told. */
  private part(events: Events, receiver: Receiver): void {
    const { head, part } = receiver;
    if (part === undefined || part.kind > FrameKind.RESPONSE) return;
    let tag: unknown;
    if (this.peer !== undefined) {
      const call = this.carrier.home.find(head.call, head.turn);
      // The rest of what nobody waits for may never come.
      if (call === undefined || call.link !== this) return receiver.forget(head.call, head.turn);
      tag = call.tag;
    }
    if (!this.carrier.home.inParts) return;
    const event = events.next();
    event.kind = 'part';
    event.tag = tag;
    event.carrier = this.carrier;
    event.service = this.service;
    event.link = this;
    event.call = head.call;
    event.turn = head.turn;
    event.length = head.length;
    event.part = part;
  }

  /** Takes back what of a request was not sent; the peer is told, if it knows of it. */
  withdraw(call: Call): void {
    if (!this.over) this.sender.cancel(call.place, call.turn);
  }

  /** Something was answered, or sent: perhaps it goes on. */
  goOn(): void {
    if (!this.paused || this.over) return;
    this.paused = false;
    this.carrier.list.add(this);
  }

  /** There is room. */
  writable(): void {
    this.sender.pump();
    if (this.closing !== undefined) this.carrier.list.add(this);
    else this.goOn();
  }

  /**
   * Peers that are too late with the rest of a frame, that do not take what is sent, or have nothing to say. Returns when the
   * first of these may be so, ms.
   */
  tick(nowMs: number): number {
    const { limits } = this.carrier;
    const { receiver, sender, connection } = this;
    if (this.closing !== undefined) return this.settle(nowMs);
    const frames = receiver?.frames ?? 0;
    const inFrame = receiver?.inFrame ?? false;
    const waits = inFrame || receiver?.inMessage === true;
    const came = frames !== this.seenIn;
    const left = sender.moved !== this.seenOut;
    const passedMs = Math.min(nowMs - this.tickedMs, LOOK_MS);
    // A frame must come to its end: bytes of it alone do not count. Others do not count for the message that waits for its next.
    this.inMs = inFrame && this.seenInFrame && !came && !this.paused ? this.inMs + passedMs : 0;
    let inLeftMs = receiver?.wait(this.paused ? 0 : passedMs, limits.partMs) ?? limits.partMs;
    if (inFrame) inLeftMs = Math.min(inLeftMs, limits.frameMs - this.inMs);
    const stuck = sender.stuck;
    if (!stuck || !this.seenStuck || left) this.outSinceMs = nowMs;
    this.seenStuck = stuck;
    const asked = this.peer === undefined ? this.account.count : this.calls;
    if (waits || came || left || asked > 0 || this.ready || !sender.empty) this.idleSinceMs = nowMs;
    this.tickedMs = nowMs;
    this.seenIn = frames;
    this.seenInFrame = inFrame;
    this.seenOut = sender.moved;
    // Clients end first: a server that did might just be called.
    const idleMs = limits.idleMs + (this.peer === undefined ? limits.frameMs : 0);
    const stalls = stuck && connection?.connected === true;
    if (inLeftMs < 0) this.finish('ETIMEDOUT', 'the rest of a message did not come', true);
    else if (stalls && nowMs - this.outSinceMs > limits.stallMs)
      this.finish('ETIMEDOUT', 'the peer takes nothing', true);
    else if (nowMs - this.idleSinceMs > idleMs) this.finish('ETIMEDOUT', 'no calls for long', false);
    if (this.over) return Number.POSITIVE_INFINITY;
    let nextMs = this.idleSinceMs + idleMs;
    if (waits && !this.paused) nextMs = Math.min(nextMs, nowMs + Math.min(inLeftMs, LOOK_MS));
    if (stalls) nextMs = Math.min(nextMs, this.outSinceMs + limits.stallMs);
    // Just then nobody is late yet.
    return nextMs + 1;
  }

  /** As `end`, when nobody looks at its ring any more: events of the last poll may, and the next one is soon. */
  finish(code: string, reason: string, reset: boolean): void {
    if (!this.touched) return this.end(code, reason, reset);
    this.ending ??= { code, reason, reset };
    this.carrier.list.add(this);
  }

  /** The bytes of its events are given back. */
  done(): void {
    this.touched = false;
    if (this.over) return;
    this.receiver!.done();
    if (this.closing !== undefined) this.carrier.list.add(this);
    const { ending } = this;
    if (ending !== undefined) this.end(ending.code, ending.reason, ending.reset);
  }

  /** Takes no more: what was answered arrives, who waits for an answer hears that none comes. */
  endAnswered(code: string, reason: string): void {
    if (this.over || this.closing !== undefined || this.ending !== undefined) return;
    const { connection, sender, carrier } = this;
    if (
      this.peer !== undefined ||
      connection === undefined ||
      (sender.empty && connection.unacknowledged === 0)
    )
      return this.finish(code, reason, false);
    this.closing = { code, reason, left: 0, untilMs: 0, shut: false };
    this.drop();
    carrier.list.add(this);
    carrier.home.stir();
  }

  /** Nobody answers what it has asked. */
  private drop(): void {
    const { account, carrier } = this;
    for (const call of [...account.open.keys()]) {
      const kept = account.close(call, false);
      if (kept !== undefined) carrier.home.cancelled(kept);
    }
  }

  /** Ends it when all has arrived, or nothing more does. Returns when to look again, ms. */
  private settle(nowMs: number): number {
    const { connection, sender, receiver } = this;
    const closing = this.closing!;
    if (!this.touched && receiver !== undefined) {
      receiver.drop();
      // A connection with bytes that were not read is reset when it is closed.
      const { end } = connection!;
      end.consume(end.readable);
    }
    sender.pump();
    const left = sender.waiting + connection!.unacknowledged + (sender.empty ? 0 : 1);
    if (left !== closing.left) {
      closing.left = left;
      closing.untilMs = nowMs + SETTLE_MS;
    }
    if (sender.empty && !closing.shut) {
      closing.shut = true;
      connection!.shutdown();
    }
    if ((left > 0 && nowMs < closing.untilMs && !connection!.closed) || this.touched) return nowMs + TICK_MS;
    this.end(closing.code, closing.reason, false);
    return Number.POSITIVE_INFINITY;
  }

  /** It is over, and so is what it carried. */
  end(code: string, reason: string, reset: boolean): void {
    if (this.over) return;
    this.over = true;
    const { connection, carrier } = this;
    this.sender.close();
    if (connection !== undefined) {
      connection.data = undefined;
      if (reset) connection.abort();
      else connection.close();
    }
    this.receiver?.drop();
    this.drop();
    this.account.end();
    this.served?.delete(this);
    carrier.ended(this, code, reason);
  }
}
