/** A socket that carries calls: of a client, one for each server that it calls; or a server's, for everybody. */
import type { Correspondent } from '../../streams/datagram_end.js';
import { turnOf } from '../accounts.js';
import { LOOK_MS, SETTLE_MS, TICK_MS } from '../carrier.js';
import type { Events, RpcEvent } from '../event.js';
import { FRAME_HEAD, FrameKind, isNewer, newHead, readHead, writeHead } from '../frame.js';
import { Outgoing } from '../outgoing.js';
import { Part } from '../parts.js';
import { MOST_PARTS } from '../tcp/receiver.js';
import type { RpcDatagram, RpcDatagramSocket } from './calls.js';
import type { DatagramCarrier } from './carrier.js';
import { Correspondence } from './correspondence.js';

/** Datagrams taken at a time. */
const BATCH = 32;
/** A client that waits for an answer is asked so often whether it is there still, ms. */
const ASK_MS = 10_000;
/** A place that no call has. */
const NO_CALL = 0xffff_ffff;
/** Messages that take turns. */
const AT_ONCE = MOST_PARTS / 2;

/** Where a datagram says its epoch (correspondence.ts), and where the bytes of its frame begin. */
const EPOCH = FRAME_HEAD;
export const POST_HEAD = EPOCH + 4;

/** What a message that waits takes beside its bytes, bytes: its frame's head, and what is known of it here. */
const COST = POST_HEAD + 256;

interface Queued {
  out: Outgoing;
  who: Correspondence;
}

export class Post {
  socket!: RpcDatagramSocket;
  ready = false;
  touched = false;
  over = false;
  /** A client's: the server. */
  server: Correspondence | undefined;
  /** Bytes that wait. */
  waiting = 0;
  /** It ends when what waits was sent. How much is left, and until when it waits for that, ms. */
  closing: { left: number; untilMs: number } | undefined;
  private readonly clients = new Map<string, Correspondence>();
  private readonly batch: RpcDatagram[] = [];
  /** Messages that events have. */
  private whole: Part[] = [];
  private queue: Queued[] = [];
  /** Errors and cancellations, which go before the queue: a place is used again when its call was given up. */
  private urgent: Queued[] = [];
  private turn = 0;
  private tickedMs = 0;
  private dv: DataView | undefined;
  private readonly head = newHead();
  private readonly scratch: Uint8Array;
  private readonly scratchView: DataView;

  /** @param service of a server's: what it was made with */
  constructor(
    readonly carrier: DatagramCarrier,
    readonly service: unknown,
  ) {
    this.scratch = new Uint8Array(Math.max(carrier.calls.most(4), carrier.calls.most(6)));
    this.scratchView = new DataView(this.scratch.buffer);
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** As Sender.send. */
  send(
    who: Correspondence,
    kind: FrameKind,
    call: number,
    turn: number,
    body: Uint8Array | Outgoing,
    own: boolean,
  ): Outgoing | undefined {
    const short =
      body instanceof Uint8Array && body.length <= this.carrier.calls.most(who.to.family) - POST_HEAD;
    const list = kind < FrameKind.ERROR ? this.queue : this.urgent;
    const first = list.length === 0 && this.urgent.length === 0;
    if (short && first && this.put(who, kind, body.length, 0, call, turn, body)) return undefined;
    const out =
      body instanceof Uint8Array ? Outgoing.of(own ? body : Uint8Array.prototype.slice.call(body)) : body;
    out.kind = kind;
    out.call = call;
    out.turn = turn;
    this.count(who, out.length + COST);
    list.push({ out, who });
    this.pump();
    return list.some(q => q.out === out) ? out : undefined;
  }

  private put(
    { to, epoch }: Correspondence,
    kind: FrameKind,
    length: number,
    offset: number,
    call: number,
    turn: number,
    bytes: Uint8Array,
  ): boolean {
    const n = bytes.length;
    writeHead(this.scratchView, 0, kind, n, length, offset, call, turn);
    this.scratchView.setUint32(EPOCH, epoch);
    this.scratch.set(bytes, POST_HEAD);
    return this.socket.send(this.scratch.subarray(0, POST_HEAD + n), to);
  }

  pump(): void {
    while (!this.over) {
      const list = this.urgent.length > 0 ? this.urgent : this.queue;
      const at = list === this.urgent ? 0 : this.choose();
      if (at < 0) break;
      const { out, who } = list[at];
      const most = this.carrier.calls.most(who.to.family) - POST_HEAD;
      const bytes = out.length === 0 ? NOTHING : out.peek(most);
      if (!this.put(who, out.kind, out.length, out.sent, out.call, out.turn, bytes)) return;
      this.count(who, -bytes.length);
      if (bytes.length > 0) out.took(bytes.length);
      if (out.whole) {
        list.splice(at, 1);
        this.count(who, -COST);
      }
      if (list === this.queue) this.turn = out.whole ? at : at + 1;
    }
    if (this.closing !== undefined && !this.over && this.empty) this.carrier.leave(this);
  }

  private get empty(): boolean {
    return this.queue.length === 0 && this.urgent.length === 0;
  }

  /** Whose turn it is: of the first in the queue one that has bytes; -1: nobody's. */
  private choose(): number {
    const n = Math.min(this.queue.length, AT_ONCE);
    for (let i = 0; i < n; i++) {
      const k = (this.turn + i) % n;
      const { out } = this.queue[k];
      if (out.waiting > 0 || out.length === 0) return k;
    }
    return -1;
  }

  /** A request is not wanted any more. Whether the server knows of it. */
  withdraw(who: Correspondence, call: number, turn: number): boolean {
    const queued = this.queue.find(q => q.who === who && q.out.call === call && q.out.turn === turn);
    return queued === undefined || this.dropOut(queued.out);
  }

  /** A message is not wanted any more. Whether some of it was sent. */
  dropOut(out: Outgoing): boolean {
    const at = this.queue.findIndex(q => q.out === out);
    if (at >= 0) {
      this.count(this.queue[at].who, out.sent - out.length - COST);
      this.queue.splice(at, 1);
    }
    out.drop();
    return out.sent > 0;
  }

  /** Drops what of the answer to a call waits. */
  dropOf(who: Correspondence, call: number, turn: number): void {
    if (who.waiting > 0) this.withdraw(who, call, turn);
  }

  private count(who: Correspondence, bytes: number): void {
    this.waiting += bytes;
    who.waiting += bytes;
  }

  // ── receiving ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Takes what came. Returns whether there may be more, at the next poll. */
  work(events: Events): boolean {
    if (this.touched) return true;
    const n = this.socket.receive(this.batch, Math.min(BATCH, events.most - events.n));
    if (n === 0) return false;
    this.carrier.list.touch(this);
    if (this.closing === undefined) for (let i = 0; i < n; i++) this.take(events, this.batch[i]);
    return true;
  }

  done(): void {
    this.touched = false;
    for (const part of this.whole) part.drop();
    this.whole = [];
    if (this.over) this.letGo();
    else this.socket.done();
  }

  /** Who sent it: servers make a note of everybody, clients know theirs. */
  private whose(d: RpcDatagram, epoch: number): Correspondence | undefined {
    if (this.server !== undefined) {
      const { to } = this.server;
      const same = to.port === d.port && to.w0 === d.w0 && to.w1 === d.w1 && to.w2 === d.w2 && to.w3 === d.w3;
      return same && epoch === this.server.epoch ? this.server : undefined;
    }
    const key = keyOf(d);
    let known = this.clients.get(key);
    if (known !== undefined && known.epoch !== epoch) {
      this.lose(key, known);
      known = undefined;
    }
    if (known === undefined) {
      const { accounts, limits } = this.carrier;
      if (this.clients.size + accounts.ghosts >= limits.connections) return undefined;
      const { family, port, w0, w1, w2, w3 } = d;
      known = new Correspondence(this, { family, port, w0, w1, w2, w3 }, d.address, epoch);
      this.clients.set(key, known);
    }
    return known;
  }

  /** What was sent to these clients did not arrive. */
  loseAll(peers: Omit<Correspondent, 'family'>[]): void {
    for (const peer of peers) {
      const key = keyOf(peer);
      const who = this.clients.get(key);
      if (who !== undefined) this.lose(key, who);
    }
  }

  /** A client is no more: nobody waits for what it asked. */
  private lose(key: string, who: Correspondence): void {
    this.clients.delete(key);
    this.queue = this.dropAll(this.queue, who);
    this.urgent = this.dropAll(this.urgent, who);
    this.carrier.cancelAll(who);
    who.account.end();
    who.drop();
  }

  /** What is left of a list without the messages to somebody. */
  private dropAll(list: Queued[], who: Correspondence): Queued[] {
    if (who.waiting === 0) return list;
    return list.filter(queued => {
      if (queued.who !== who) return true;
      this.count(who, queued.out.sent - queued.out.length - COST);
      queued.out.drop();
      return false;
    });
  }

  private take(events: Events, d: RpcDatagram): void {
    if (d.first < POST_HEAD) return;
    this.dv ??= new DataView(d.memory.buffer);
    const { head } = this;
    // What is no frame is nobody's.
    if (readHead(this.dv, d.at, head) !== undefined || head.bytes !== d.length - POST_HEAD) return;
    const who = this.whose(d, this.dv.getUint32(d.at + EPOCH));
    if (who === undefined) return;
    who.heard(this.carrier.home.nowMs());
    d.at += POST_HEAD;
    d.first -= POST_HEAD;
    d.length -= POST_HEAD;
    // Of the wrong side.
    const answers = head.kind === FrameKind.RESPONSE || head.kind === FrameKind.ERROR;
    if (answers === (this.server === undefined)) return;
    const part = this.gather(who, d);
    if (part === null) return;
    if (part !== undefined && !part.whole) this.carrier.part(events, who, head, part, this.service);
    else {
      const event = this.carrier.heard(events, who, head, this.service, part);
      if (event !== undefined) fill(event, head.length, d, part);
      if (part !== undefined) this.whole.push(part);
    }
  }

  /** The message that a frame is part of; undefined: it is one by itself; null: it is not wanted. */
  private gather(who: Correspondence, d: RpcDatagram): Part | undefined | null {
    const { kind, call, turn, length, offset, bytes } = this.head;
    let part = who.parts.get(call);
    // Of a call that was given up: its place is another's.
    if (part && isNewer(part.turn, turn)) return null;
    if (offset === 0) {
      if (part) who.forget(call);
      if (bytes === length) return undefined;
      if (who.parts.size >= MOST_PARTS) return null;
      const asks = kind === FrameKind.REQUEST;
      // One that was made before: nobody would hear of its end.
      const known = asks ? who.account.open.get(call) : undefined;
      if (known !== undefined && !isNewer(turn, turnOf(known))) return null;
      if (asks && !this.carrier.admits(who, this.head)) return null;
      part = new Part(this.carrier.home.pool, call, turn, kind, length, asks ? who.account : undefined);
      who.parts.set(call, part);
    } else if (
      !part ||
      part.turn !== turn ||
      part.kind !== kind ||
      part.length !== length ||
      part.received !== offset
    )
      return null;
    const room = part.room(bytes);
    const first = Math.min(bytes, d.first);
    room.set(d.memory.subarray(d.at, d.at + first), part.received);
    if (bytes > first) room.set(d.memory.subarray(d.again, d.again + bytes - first), part.received + first);
    part.received += bytes;
    part.pieces++;
    if (part.whole) {
      who.parts.delete(call);
      part.end();
    }
    return part;
  }

  /** Forgets who was silent for so long, and has nothing to be answered. Returns when the first of them may be so, ms. */
  tick(nowMs: number): number {
    if (this.closing !== undefined) return this.settle(nowMs);
    const { partMs, idleMs } = this.carrier.limits;
    let nextMs = Number.POSITIVE_INFINITY;
    const passedMs = Math.min(nowMs - this.tickedMs, LOOK_MS);
    this.tickedMs = nowMs;
    for (const [key, who] of this.clients) {
      const silentMs = nowMs - who.heardMs;
      const leftMs = who.wait(passedMs, partMs);
      if (silentMs > idleMs && who.account.count === 0) this.clients.delete(key);
      // Who has something to be answered is looked at when that was.
      else if (who.account.count === 0) nextMs = Math.min(nextMs, who.heardMs + idleMs + 1);
      if (who.account.open.size > 0) nextMs = Math.min(nextMs, this.ask(who, nowMs));
      if (who.parts.size > 0) nextMs = Math.min(nextMs, nowMs + Math.min(leftMs, LOOK_MS) + 1);
    }
    return nextMs;
  }

  /**
   * Sends something to a client that waits for answers and was silent for long, which means nothing to it: the transport tells
   * when it does not arrive. Returns when to look again, ms.
   */
  private ask(who: Correspondence, nowMs: number): number {
    const dueMs = Math.max(who.heardMs, who.askedMs) + ASK_MS;
    if (nowMs < dueMs) return dueMs;
    who.askedMs = nowMs;
    // What waits already asks as well.
    if (who.waiting === 0) this.send(who, FrameKind.CANCEL, NO_CALL, 0, NOTHING, true);
    return nowMs + ASK_MS;
  }

  /** Takes no more, and ends when what was answered, or which calls were given up, was sent. */
  endSent(): void {
    if (this.over || this.closing !== undefined) return;
    for (const who of this.clients.values()) this.carrier.cancelAll(who);
    if (this.empty) return this.carrier.leave(this);
    this.closing = { left: -1, untilMs: 0 };
    this.carrier.home.stir();
  }

  /** Ends it if nothing was sent for long. Returns when to look again, ms. */
  private settle(nowMs: number): number {
    const closing = this.closing!;
    this.pump();
    if (this.over) return Number.POSITIVE_INFINITY;
    if (this.waiting !== closing.left) {
      closing.left = this.waiting;
      closing.untilMs = nowMs + SETTLE_MS;
    } else if (nowMs >= closing.untilMs) {
      this.carrier.leave(this);
      return Number.POSITIVE_INFINITY;
    }
    return nowMs + TICK_MS;
  }

  /** It is over. Whatever its last events show stays as it is. */
  close(): void {
    if (this.over) return;
    this.over = true;
    for (const { out } of this.queue) out.drop();
    this.queue = [];
    this.urgent = [];
    for (const who of this.clients.values()) {
      this.carrier.cancelAll(who);
      who.account.end();
    }
    if (!this.touched) this.letGo();
  }

  /** Nobody looks at what came: its memory is others'. */
  private letGo(): void {
    this.server?.drop();
    for (const who of this.clients.values()) who.drop();
    this.socket.close();
  }
}

const NOTHING = new Uint8Array(0);

const keyOf = ({ port, w0, w1, w2, w3 }: Omit<Correspondent, 'family'>): string =>
  `${port} ${w0} ${w1} ${w2} ${w3}`;

function fill(event: RpcEvent, length: number, d: RpcDatagram, part: Part | undefined): void {
  event.length = length;
  event.part = part;
  event.memory = part ? part.bytes : d.memory;
  event.at = part ? 0 : d.at;
  event.first = part ? length : Math.min(length, d.first);
  event.again = part ? 0 : d.again;
}
