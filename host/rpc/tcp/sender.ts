/**
 * What leaves over a connection: a message that fits goes straight into the send ring; others wait, and take turns frame by
 * frame, so that a long one holds up nobody for longer than one of its frames.
 */
import { FRAME_HEAD, FrameKind, writeHead } from '../frame.js';
import { Outgoing } from '../outgoing.js';
import type { RpcConnection } from './connection.js';
import { MOST_PARTS } from './receiver.js';

/** Longest body of a frame that is sent, bytes. */
const FRAME_BYTES = 32_768;
/** A frame of a longer message is not made for less room than this, bytes. */
const LEAST_BYTES = 1024;
/** Messages that take turns. */
const AT_ONCE = MOST_PARTS / 2;
/** Up to so many bytes a copy one by one is quicker than a call of `set`. */
const SHORT = 16;
/** What a message that waits takes beside its bytes, bytes: its frame's head, and what is known of it here. */
const COST = FRAME_HEAD + 256;
/** So many dropped messages may stand in the queue, whatever its length. */
const FEW = 32;

export class Sender {
  private connection: RpcConnection | undefined;
  /** The send ring is there, and all that was written before it was. */
  private fast = false;
  private u8!: Uint8Array;
  private dv!: DataView;
  private queue: Outgoing[] = [];
  /** Those in the queue that were dropped: they are passed over, and taken out when they are more than the others. */
  private dead = 0;
  /** What waits in the queue of a call: the last, should a peer have used its number again. */
  private readonly byCall = new Map<number, Outgoing>();
  /**
   * Errors and cancellations, which go before the queue: the peer counts a message as begun until it hears that it is over,
   * so that another one in its stead may come only after that.
   */
  private readonly urgent: Outgoing[] = [];
  private turn = 0;
  /** Bytes that wait, and what their messages take beside. */
  waiting = 0;
  /** Bytes that were sent, modulo 2^32. */
  moved = 0;
  private readonly head = new Uint8Array(FRAME_HEAD);
  private readonly headView = new DataView(this.head.buffer);

  /** The connection is there: it may still connect. */
  opened(connection: RpcConnection): void {
    this.connection = connection;
    this.u8 = connection.end.app.arena.u8;
    this.dv = connection.end.app.arena.dv;
  }

  get empty(): boolean {
    return this.queue.length === this.dead && this.urgent.length === 0;
  }

  /** Whether there are bytes for which there was no room: a source that has made none yet is not the peer's fault. */
  get stuck(): boolean {
    return this.urgent.length > 0 || this.choose() !== undefined;
  }

  /** Sends a message, or as much of it as there is room for: what waits of one that is not whole by then is returned. */
  send(
    kind: FrameKind,
    call: number,
    turn: number,
    body: Uint8Array | Outgoing,
    own: boolean,
  ): Outgoing | undefined {
    let out: Outgoing;
    let lent = false;
    if (body instanceof Uint8Array) {
      const n = body.length;
      if (this.empty && n <= FRAME_BYTES && this.put(kind, n, 0, call, turn, body)) return undefined;
      out = Outgoing.of(body);
      lent = !own;
    } else out = body;
    out.kind = kind;
    out.call = call;
    out.turn = turn;
    this.waiting += out.length + COST;
    if (kind < FrameKind.ERROR) {
      this.queue.push(out);
      this.byCall.set(call, out);
    } else this.urgent.push(out);
    this.pump();
    if (out.whole) return undefined;
    if (lent) out.keep();
    return out;
  }

  /** Writes a frame, if there is room for all of it. */
  private put(
    kind: FrameKind,
    length: number,
    offset: number,
    call: number,
    turn: number,
    bytes: Uint8Array,
  ): boolean {
    const connection = this.connection;
    if (connection === undefined) return false;
    const n = bytes.length;
    const all = FRAME_HEAD + n;
    if (this.fast) {
      const at = connection.end.reserve(all);
      if (at !== 0) {
        writeHead(this.dv, at, kind, n, length, offset, call, turn);
        if (n > SHORT) this.u8.set(bytes, at + FRAME_HEAD);
        else for (let i = 0; i < n; i++) this.u8[at + FRAME_HEAD + i] = bytes[i];
        connection.end.handOver(all);
        this.moved = (this.moved + all) | 0;
        return true;
      }
    } else this.fast = connection.settled && connection.writable;
    if (connection.room < all) return false;
    writeHead(this.headView, 0, kind, n, length, offset, call, turn);
    connection.write(this.head);
    connection.write(bytes);
    this.moved = (this.moved + all) | 0;
    return true;
  }

  /** Sends what waits, as far as there is room; of room for the rest an event tells. */
  pump(): void {
    const { connection, urgent } = this;
    if (connection === undefined) return;
    while (!this.empty) {
      const out = urgent.length > 0 ? urgent[0] : this.choose();
      if (out === undefined) return;
      const want = Math.min(out.waiting, FRAME_BYTES, out.length === 0 ? 0 : LEAST_BYTES);
      let room = connection.room;
      if (room < FRAME_HEAD + want) {
        if (!connection.wantRoom(FRAME_HEAD + want)) return;
        room = connection.room;
        if (room < FRAME_HEAD + want) return;
      }
      const bytes = out.length === 0 ? NOTHING : out.peek(Math.min(FRAME_BYTES, room - FRAME_HEAD));
      if (!this.put(out.kind, out.length, out.sent, out.call, out.turn, bytes)) return;
      this.waiting -= bytes.length;
      if (bytes.length > 0) out.took(bytes.length);
      if (!out.whole) {
        if (out !== urgent[0]) this.turn++;
        continue;
      }
      this.waiting -= COST;
      if (out === urgent[0]) urgent.shift();
      else this.remove(out);
    }
  }

  /** Whose turn it is: of the first in the queue one that has bytes. */
  private choose(): Outgoing | undefined {
    const { queue } = this;
    for (let i = 0; this.dead > 0 && i < Math.min(queue.length, AT_ONCE); )
      if (queue[i].dropped) {
        queue.splice(i, 1);
        this.dead--;
      } else i++;
    const n = Math.min(queue.length, AT_ONCE);
    // Of long requests one is begun when there is nothing of those before it: a server that has no room for it reads on when
    // they are answered, for which it must have had them.
    let begun = false;
    for (let i = 0; i < n; i++) begun ||= queue[i].sent > 0 && queue[i].waiting > 0;
    for (let i = 0; i < n; i++) {
      const out = queue[(this.turn + i) % n];
      if (out.waiting === 0 && out.length > 0) continue;
      if (begun && out.sent === 0 && out.length > FRAME_BYTES && out.kind === FrameKind.REQUEST) continue;
      this.turn = (this.turn + i) % n;
      return out;
    }
    return undefined;
  }

  /** One of those that take turns, which stand in front. */
  private remove(out: Outgoing): void {
    if (this.byCall.get(out.call) === out) this.byCall.delete(out.call);
    this.queue.splice(this.queue.indexOf(out), 1);
  }

  /** A message is not wanted any more. Whether some of it was sent. */
  drop(out: Outgoing): boolean {
    this.waiting -= out.length - out.sent + COST;
    if (this.byCall.get(out.call) === out) this.byCall.delete(out.call);
    this.dead++;
    out.drop();
    if (this.dead > FEW && 2 * this.dead > this.queue.length) {
      this.queue = this.queue.filter(({ dropped }) => !dropped);
      this.dead = 0;
    }
    return out.sent > 0;
  }

  /** A request is not wanted any more: the peer is told, if it knows of it. */
  cancel(call: number, turn: number): void {
    const out = this.byCall.get(call);
    if (out?.turn === turn && !this.drop(out)) return;
    this.send(FrameKind.CANCEL, call, turn, NOTHING, true);
  }

  /** Drops what of the answer to a call waits in the queue. */
  dropOf(call: number, turn: number): void {
    const out = this.byCall.get(call);
    if (out?.turn === turn) this.drop(out);
  }

  /** It is over. */
  close(): void {
    this.connection = undefined;
    this.fast = false;
    for (const out of this.queue) out.drop();
    this.queue = [];
    this.dead = 0;
    this.byCall.clear();
    this.urgent.length = 0;
    this.waiting = 0;
  }
}

const NOTHING = new Uint8Array(0);
