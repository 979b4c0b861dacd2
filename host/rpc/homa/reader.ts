/**
 * Messages out of a slot's receive ring: a record of 32 bytes, then the message, filled up to a multiple of 32. One that lies
 * whole in the ring is told of where it lies, and waited for; one that the ring has no room for, or whose parts are wanted, is
 * gathered as it comes. One at a time: the next after `done`.
 */
import type { StreamEnd } from '../../streams/stream_end.js';
import { MOST_MESSAGE } from '../frame.js';
import { Part, type PartPool } from '../parts.js';
import { Found, type Inbox, type Lie } from '../tcp/receiver.js';
import { ENVELOPE, isMarked } from './envelope.js';

export const RECORD = 32;
/** A message of up to so many bytes is waited for even where parts are wanted. */
const WAIT_BYTES = 1024;
const AF_INET = 2;
const NOTHING = new Uint8Array(0);

/** Bytes that a message takes in a ring. */
export const roomOf = (length: number): number => RECORD + ((length + RECORD - 1) & -RECORD);

export class SlotReader implements Lie {
  // Of the record.
  length = 0;
  family: 4 | 6 = 4;
  port = 0;
  w0 = 0;
  w1 = 0;
  w2 = 0;
  w3 = 0;
  call = 0;
  /** Kind of an enveloped message; undefined for one that is as it is. */
  enveloped: number | undefined = undefined;
  // Where the message lies.
  memory: Uint8Array = NOTHING;
  at = 0;
  first = 0;
  again = 0;
  part: Part | undefined = undefined;
  /** There was no room for what `nearby` looked at. */
  private full = false;
  /** Bytes of a message that was found and is not given back. */
  private held = 0;
  private found = false;
  private readonly u8: Uint8Array;
  private readonly i32: Int32Array;
  private readonly dv: DataView;
  private readonly scratch = new Uint8Array(RECORD);
  private readonly scratchView = new DataView(this.scratch.buffer);

  private readonly envelopes: boolean;

  /**
   * @param inbox of a server's; a client's messages may be enveloped
   * @param inParts whether what came of a long one is told of before all did
   */
  constructor(
    readonly end: StreamEnd,
    readonly pool: PartPool,
    readonly inbox: Inbox | undefined,
    readonly inParts: boolean,
  ) {
    this.envelopes = inbox === undefined;
    this.u8 = end.app.arena.u8;
    this.i32 = end.app.arena.i32;
    this.dv = end.app.arena.dv;
  }

  /** Whether a message begins that nobody has looked at. */
  get pending(): boolean {
    return !this.found && this.part === undefined && this.end.readable >= RECORD;
  }

  next(): Found {
    if (this.found) return Found.NOTHING;
    const have = this.end.readable;
    if (this.part !== undefined) return have > 0 ? this.gather(have) : Found.NOTHING;
    if (have < RECORD) return Found.NOTHING;
    if (this.nearby(have)) return Found.WHOLE;
    if (this.full) {
      this.full = false;
      return Found.FULL;
    }
    this.record();
    const { length } = this;
    if (length > MOST_MESSAGE) return Found.BAD;
    const all = roomOf(length);
    const whole = have >= all;
    if (!whole && (length <= WAIT_BYTES || have < RECORD + ENVELOPE || this.awaits(have, all)))
      return Found.NOTHING;
    if (this.inbox !== undefined && !this.inbox.admits(length)) return Found.FULL;
    const skip = this.envelope();
    if (whole && this.end.look(RECORD + skip, length - skip, this)) {
      this.length = length - skip;
      this.memory = this.u8;
      this.held = all;
      this.found = true;
      return Found.WHOLE;
    }
    this.length = length - skip;
    this.end.consume(RECORD + skip);
    this.part = new Part(this.pool, this.call, 0, 0, length - skip, this.inbox?.account);
    // What fills it up comes with its last bytes.
    this.held = all - RECORD - length;
    return this.gather(have - RECORD - skip);
  }

  /** Whether all of it will lie in the ring, which may still grow: until half of it is full, its memory may come. */
  private awaits(have: number, all: number): boolean {
    const { receiveBytes } = this.end;
    return !this.inParts && (all <= receiveBytes || have < receiveBytes >> 1);
  }

  /** A message that lies whole and in one piece in the ring, as almost all do, and is not enveloped. */
  private nearby(have: number): boolean {
    const at = this.end.span(RECORD);
    if (at === 0) return false;
    const { i32 } = this;
    const length = i32[at >> 2] >>> 0;
    const all = roomOf(length);
    if (length > MOST_MESSAGE || all > have || this.end.span(all) === 0) return false;
    if (this.inbox !== undefined && !this.inbox.admits(length)) {
      this.full = true;
      return false;
    }
    if (this.envelopes) {
      if (length >= ENVELOPE && this.u8[at + RECORD] === 0xe7) return false;
    } else this.whose(this.dv, at);
    this.call = i32[(at + 24) >> 2] >>> 0;
    this.enveloped = undefined;
    this.length = length;
    this.memory = this.u8;
    this.at = at + RECORD;
    this.first = length;
    this.held = all;
    this.found = true;
    return true;
  }

  /** Of a server's slot: who calls. */
  private whose(dv: DataView, at: number): void {
    this.family = dv.getUint8(at + 4) === AF_INET ? 4 : 6;
    this.port = dv.getUint16(at + 6);
    this.w0 = dv.getUint32(at + 8, true);
    this.w1 = dv.getUint32(at + 12, true);
    this.w2 = dv.getUint32(at + 16, true);
    this.w3 = dv.getUint32(at + 20, true);
  }

  private record(): void {
    let { dv } = this;
    let at = 0;
    if (this.end.look(0, RECORD, this) && this.first === RECORD) at = this.at;
    else {
      this.end.peek(0, RECORD, this.scratch, 0);
      dv = this.scratchView;
    }
    this.length = dv.getUint32(at, true);
    this.whose(dv, at);
    this.call = dv.getUint32(at + 24, true);
  }

  /** Bytes of the envelope, if there is one. */
  private envelope(): number {
    this.enveloped = undefined;
    if (!this.envelopes || this.length < ENVELOPE) return 0;
    // The first byte tells in almost all cases.
    if (this.end.look(RECORD, 1, this) && this.u8[this.at] !== 0xe7) return 0;
    this.end.peek(RECORD, ENVELOPE, this.scratch, 0);
    if (!isMarked(this.scratch)) return 0;
    this.enveloped = this.scratch[ENVELOPE - 1];
    return ENVELOPE;
  }

  private gather(have: number): Found {
    const part = this.part!;
    const n = Math.min(have, part.length - part.received);
    const last = part.received + n === part.length;
    if (last && have < n + this.held) return Found.NOTHING;
    if (n > 0) {
      this.end.peek(0, n, part.room(n), part.received);
      part.received += n;
      part.pieces++;
    }
    this.end.consume(last ? n + this.held : n);
    if (!last) return Found.PART;
    this.held = 0;
    this.found = true;
    part.end();
    this.memory = part.bytes;
    this.at = 0;
    this.first = part.length;
    this.again = 0;
    return Found.WHOLE;
  }

  /** Gives back the message that was found. Whether there is more to look at. */
  done(): boolean {
    if (!this.found) return false;
    this.found = false;
    if (this.held > 0) this.end.skip(this.held);
    this.held = 0;
    this.part?.drop();
    this.part = undefined;
    return this.end.readable > 0;
  }

  /** It is over. */
  drop(): void {
    this.part?.drop();
    this.part = undefined;
  }
}
