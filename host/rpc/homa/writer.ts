/** Messages into a slot's send ring, one after another: the record promises a length, the bytes may follow as they come. */
import type { StreamEnd } from '../../streams/stream_end.js';
import { Outgoing } from '../outgoing.js';
import { RECORD, roomOf } from './reader.js';

const AF_INET = 2;
const AF_INET6 = 10;
/** Most bytes of one write. */
const PIECE = 65_536;
/** Most that a ring grows to for what is to be written at once, bytes: beyond, the transport says. */
const AT_ONCE = 262_144;
const FILL = new Uint8Array(RECORD);

/** Whom a message is for: RpcPeer is one. Of a response nobody looks. */
export interface MessageTo {
  readonly family: 4 | 6;
  readonly port: number;
  readonly words: readonly [number, number, number, number];
}

export class SlotWriter {
  private readonly dv: DataView;
  private readonly head = new Uint8Array(RECORD);
  private readonly headView = new DataView(this.head.buffer);
  /** What does not stand in the ring yet: the record, the message, what fills it up. */
  private record: Uint8Array | undefined;
  private out: Outgoing | undefined;
  private fill = 0;
  /** What the ring must come to have: nothing of a message is given back before all of it has arrived. */
  private wants = 0;

  constructor(readonly end: StreamEnd) {
    this.dv = end.app.arena.dv;
    end.askRing(RECORD);
  }

  /** Whether some of the last message is to come still. */
  get busy(): boolean {
    return this.out !== undefined || this.fill > 0;
  }

  /** The last message is busy no more. @returns what is left of this one */
  send(
    call: number,
    to: MessageTo | undefined,
    body: Uint8Array | Outgoing,
    own: boolean,
  ): Outgoing | undefined {
    const { length } = body;
    if (body instanceof Uint8Array) {
      const all = roomOf(length);
      const at = this.end.reserve(all);
      if (at !== 0) {
        this.write(this.dv, at, length, to, call);
        if (length > 0) this.end.fill(body, at + RECORD);
        this.end.handOver(all);
        return undefined;
      }
    }
    this.write(this.headView, 0, length, to, call);
    this.record = this.head;
    const out = body instanceof Uint8Array ? Outgoing.of(body) : body;
    this.out = out;
    this.fill = roomOf(length) - RECORD - length;
    this.wants = roomOf(length);
    this.pump();
    if (!this.busy) return undefined;
    if (body instanceof Uint8Array && !own) out.keep();
    return out;
  }

  private write(dv: DataView, at: number, length: number, to: MessageTo | undefined, call: number): void {
    dv.setUint32(at, length, true);
    // Of a response nobody looks at the rest.
    if (to !== undefined) {
      dv.setUint32(at + 4, ((to.family === 4 ? AF_INET : AF_INET6) << 24) | to.port);
      const { words } = to;
      dv.setUint32(at + 8, words[0], true);
      dv.setUint32(at + 12, words[1], true);
      dv.setUint32(at + 16, words[2], true);
      dv.setUint32(at + 20, words[3], true);
    }
    dv.setUint32(at + 24, call, true);
    dv.setUint32(at + 28, 0);
  }

  /** Writes what there is room for; of room for the rest an event tells. */
  pump(): void {
    const { end } = this;
    if (this.record !== undefined) {
      const n = end.write(this.record);
      if (n < this.record.length) {
        this.record = this.record.subarray(n);
        return;
      }
      this.record = undefined;
    }
    // Behind the record, from which the transport knows how far the ring is to grow.
    if (this.wants > end.capacity.send && !end.wantRoom(Math.min(this.wants, AT_ONCE) - RECORD)) {
      if (end.room === 0) return;
    }
    const { out } = this;
    if (out !== undefined) {
      while (out.waiting > 0) {
        const piece = out.peek(PIECE);
        const n = end.write(piece);
        if (n > 0) out.took(n);
        if (n < piece.length) return;
      }
      if (!out.whole) return;
      this.out = undefined;
    }
    if (this.fill > 0) this.fill -= end.write(FILL.subarray(0, this.fill));
  }

  /** It is over. */
  drop(): void {
    this.out?.drop();
    this.out = undefined;
    this.record = undefined;
    this.fill = 0;
  }
}
