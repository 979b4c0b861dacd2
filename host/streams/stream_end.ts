/**
 * The application's end of one stream: bytes in and out of its rings in the arena, without a message to anybody. Used from
 * the thread that owns the application (stream_app.ts), main thread or worker.
 *
 *   write ─▶ send ring ─▶ transport            transport ─▶ receive ring ─▶ read
 *            sndAcked … sndEnd                               rcvRead … rcvEnd
 *
 * What it writes and asks is seen by the lane after `StreamApp.flush`. Nothing here allocates but views that are asked for.
 * Rings may grow (assembly/stream/rings.ts): the send ring while this end waits for room, the receive ring at any time.
 */
import { EtherloomError } from '../errors.js';
import { StreamLayout as L, StreamFlag, StreamRequest } from '../layout/layout.gen.js';
import type { StreamApp } from './stream_app.js';
import { copyWords, SHORT } from './words.js';

/** A send ring that is full wakes the application when at least this part of it is free: 1 / 2^FREE_SHIFT. */
const FREE_SHIFT = 1;
/** Who looks for room finds less than this part of the ring: 1 / 2^ASK_SHIFT. Then a larger one is asked for. */
const ASK_SHIFT = 2;
/** Times that a send ring is found full, after a larger one was asked for in vain, before that is done again. */
const PATIENCE = 64;
/** Most that is to be written at once that a send ring is made for, bytes: AT_ONCE of assembly/stream/rings.ts. */
const SEND_AT_ONCE = 262_144;
/** The transport is told of room in the receive ring in steps of this part of it: 1 / 2^READ_SHIFT. */
const READ_SHIFT = 2;

/** Requests after which nothing can be sent. */
const ENDING = StreamRequest.SHUTDOWN | StreamRequest.CLOSE | StreamRequest.ABORT;

/**
 * Of two fields, `private` and no `#`: V8 looks for the name of each of those in the context before it looks at the field,
 * and every message goes through here. Cursors are signed, for larger numbers do not lie in the object itself.
 */
export class StreamEnd {
  private readonly u8: Uint8Array;
  private readonly i32: Int32Array;
  private readonly dv: DataView;
  /** Its lane runs on this thread. */
  private readonly near: boolean;
  /** Index of the record in words. */
  private readonly at: number;
  private sndBytes: number;
  private rcvBytes: number;
  /** Addresses of the rings; 0 = not made yet. */
  private snd = 0;
  private rcv = 0;
  /** What can be read goes on in a larger receive ring, from position `edge` on. */
  private edged = false;
  private edge = 0;
  private next = 0;
  private nextBytes = 0;
  /** Own cursors, and the lane's as they were last seen. All modulo 2^32. */
  private written: number;
  private acked: number;
  private taken: number;
  private received: number;
  private gone = false;
  /** SHUTDOWN, CLOSE or ABORT was asked for: what would be written now could not be sent. */
  private shut = false;
  /** A send ring was asked for, or a larger one: until that is answered the one that there is is the lane's. */
  private asked: boolean;
  /** Views of the send ring were given out, and may be written to. */
  private lent = false;
  /** Times that the send ring must be full before a larger one is asked for: there was no memory for one. */
  private patience = 0;
  /** Position of its last doorbell in the ring, in the lane's own thread. */
  private rang = 0;
  /** Who is told of its events, where one application has several kinds of streams: whoever took it says so. */
  hearer: { heard(events: number): void } | undefined = undefined;

  /** Made by StreamApp, for a stream that is its application's. */
  constructor(
    readonly app: StreamApp,
    readonly id: number,
    /** Life of the number that is meant. */
    readonly generation: number,
    /** Lane that owns the stream. */
    readonly lane: number,
  ) {
    const { arena } = app;
    this.near = lane === app.seat;
    this.u8 = arena.u8;
    this.i32 = arena.i32;
    this.dv = arena.dv;
    this.at = (arena.header.streamsAt + id * L.size) >> 2;
    this.sndBytes = this.word(L.sndBytes);
    this.rcvBytes = this.word(L.rcvBytes);
    this.asked = (this.word(L.requests) & StreamRequest.WANTS_RING) !== 0;
    this.written = this.word(L.sndEnd);
    this.acked = this.word(L.sndAcked);
    this.taken = this.word(L.rcvRead);
    // Nothing is known of the ring yet: `readable` looks for both.
    this.received = this.taken;
  }

  private word(offset: number): number {
    return this.near ? this.i32[this.at + (offset >> 2)] : Atomics.load(this.i32, this.at + (offset >> 2));
  }

  private set(offset: number, value: number): void {
    if (this.near) this.i32[this.at + (offset >> 2)] = value;
    else Atomics.store(this.i32, this.at + (offset >> 2), value);
  }

  /** Whether `release` was called, or its application closed: it is no end of anything any more, and does nothing. */
  get released(): boolean {
    return this.gone || this.app.ended;
  }

  /** Whether the transport is done with the stream. What was received can still be read, until `release`. */
  get finished(): boolean {
    return this.released || (this.word(L.flags) & StreamFlag.OPEN) === 0;
  }

  /** Sizes of the rings as they are now, bytes; 0 = the stream has none. */
  get capacity(): { send: number; receive: number } {
    return { send: this.sndBytes, receive: this.rcvBytes };
  }

  /** Size of the receive ring as `readable` last saw it, bytes. */
  get receiveBytes(): number {
    return this.rcvBytes;
  }

  /** Size up to which the send ring may grow, bytes. */
  get sendMost(): number {
    return this.word(L.sndMost);
  }

  /**
   * Looks at what the next `read` and `write` will touch: before a batch of them on streams that are in no cache, one call on
   * each lets memory answer them all together. `StreamApp.take` does so by itself. What it returns says nothing.
   */
  fetch(): number {
    const i32 = this.i32;
    return (
      this.id |
      i32[this.at] |
      i32[this.at + (L.sndEnd >> 2)] |
      i32[(this.snd + (this.written & (this.sndBytes - 1))) >>> 2] |
      i32[(this.rcv + (this.taken & (this.rcvBytes - 1))) >>> 2]
    );
  }

  // ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Bytes that can be read now. */
  get readable(): number {
    if (this.released) return 0;
    this.received = this.word(L.rcvEnd);
    // Rings only ever become larger: another one has another size. After the cursor, in its line, so a plain look will do.
    if (this.rcv === 0 || this.i32[this.at + (L.rcvBytes >> 2)] !== this.rcvBytes) this.follow();
    return (this.received - this.taken) >>> 0;
  }

  /** Finds the ring that has what is to be read next, and the one behind it. */
  private follow(): void {
    let size: number;
    let at: number;
    let oldSize: number;
    let oldAt: number;
    let from: number;
    // Until all is of one time: each size stands for one address, and `from` changes only between two rings.
    do {
      size = this.word(L.rcvBytes);
      at = this.word(L.rcvAt) >>> 0;
      oldSize = this.word(L.rcvOldBytes);
      oldAt = this.word(L.rcvOldAt) >>> 0;
      from = this.word(L.rcvFrom);
    } while (size !== this.word(L.rcvBytes) || oldSize !== this.word(L.rcvOldBytes));
    this.edged = oldSize !== 0 && ((from - this.taken) | 0) > 0;
    this.edge = from;
    this.next = at;
    this.nextBytes = size;
    this.rcv = this.edged ? oldAt : at;
    this.rcvBytes = this.edged ? oldSize : size;
    if (at === 0) this.received = this.taken;
  }

  /** Copies received bytes to `into`. Returns how many, 0 when there are none. */
  read(into: Uint8Array): number {
    if (!(into instanceof Uint8Array)) checkBytes(into, 'read into');
    const have = (this.received - this.taken) >>> 0 || this.readable;
    const n = have < into.length ? have : into.length;
    if (n === 0 || this.released) return 0;
    if (this.edged && n > (this.edge - this.taken) >>> 0) {
      const here = (this.edge - this.taken) >>> 0;
      return this.read(into.subarray(0, here)) + this.read(into.subarray(here, n));
    }
    const at = this.taken & (this.rcvBytes - 1);
    const first = this.rcvBytes - at;
    const from = this.rcv + at;
    if (n > first) {
      into.set(this.u8.subarray(from, from + first));
      into.set(this.u8.subarray(this.rcv, this.rcv + n - first), first);
    } else {
      const view = n > SHORT ? undefined : this.app.readInto.of(into);
      if (view === undefined) into.set(this.u8.subarray(from, from + n));
      else copyWords(view, 0, this.dv, from, n);
    }
    this.took(n);
    return n;
  }

  /**
   * Copies the next `n` bytes, of which there are as many, to memory that has a view, if they are few and in one piece.
   * Whether it did: who reads into ever new memory spares an array of bytes for each.
   */
  readWords(into: DataView, at: number, n: number): boolean {
    if (n > SHORT || this.edged || this.released || n > (this.received - this.taken) >>> 0) return false;
    const start = this.taken & (this.rcvBytes - 1);
    if (n > this.rcvBytes - start) return false;
    copyWords(into, at, this.dv, this.rcv + start, n);
    this.took(n);
    return true;
  }

  /**
   * Views of what can be read, in order: none, one, or two where the ring begins anew; up to four while it becomes larger.
   * Good until `consume`.
   */
  readViews(): Uint8Array[] {
    const n = this.readable;
    const here = this.edged ? Math.min(n, (this.edge - this.taken) >>> 0) : n;
    const views = this.views(this.rcv, this.rcvBytes, this.taken, here);
    if (here < n) views.push(...this.views(this.next, this.nextBytes, this.edge, n - here));
    return views;
  }

  /**
   * Where `n` bytes lie that can be read, `from` bytes behind the first: `first` of them at `at` of memory, the others at
   * `again`. False where they lie in two rings. Good until `consume`. `readable` is asked before.
   */
  look(from: number, n: number, into: { at: number; first: number; again: number }): boolean {
    const position = (this.taken + from) | 0;
    let ring = this.rcv;
    let size = this.rcvBytes;
    if (this.edged && ((position + n - this.edge) | 0) > 0) {
      if (((position - this.edge) | 0) < 0) return false;
      ring = this.next;
      size = this.nextBytes;
    }
    const at = position & (size - 1);
    const first = size - at;
    into.at = ring + at;
    into.first = n < first ? n : first;
    into.again = ring;
    return true;
  }

  /** Address of the next `n` bytes that can be read; 0: they do not lie in one piece. `readable` is asked before. */
  span(n: number): number {
    const at = this.taken & (this.rcvBytes - 1);
    return this.edged || n > this.rcvBytes - at ? 0 : this.rcv + at;
  }

  /** Copies such bytes to `into`, from `at` on, and leaves them where they are. */
  peek(from: number, n: number, into: Uint8Array, at: number): void {
    const lie = { at: 0, first: 0, again: 0 };
    if (!this.look(from, n, lie)) {
      const here = (this.edge - this.taken - from) >>> 0;
      this.peek(from, here, into, at);
      this.peek(from + here, n - here, into, at + here);
      return;
    }
    into.set(this.u8.subarray(lie.at, lie.at + lie.first), at);
    if (n > lie.first) into.set(this.u8.subarray(lie.again, lie.again + n - lie.first), at + lie.first);
  }

  /** Gives the first `n` bytes of what can be read back to the ring; nothing after `release`. @throws EtherloomError ERR_STREAM_RANGE */
  consume(n: number): void {
    if (this.released) return;
    this.check(n, this.readable, 'read');
    this.took(n);
  }

  /** The same of bytes that `look` or `span` told of. */
  skip(n: number): void {
    if (!this.released) this.took(n);
  }

  private took(n: number): void {
    this.taken = (this.taken + n) | 0;
    this.set(L.rcvRead, this.taken);
    if (this.edged && ((this.taken - this.edge) | 0) >= 0) this.follow();
    // How much further the window could open than the transport last saw. An old look rings once more than it need.
    const more = (this.taken + this.rcvBytes - this.i32[this.at + (L.rcvLimit >> 2)]) | 0;
    if (more >= this.rcvBytes >> READ_SHIFT) this.knock(0);
  }

  // ── writing ───────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Bytes that can be written now. Asks for a send ring when there is none, and for a larger one when little of it is free
   * and the transport could fill that: until that is answered there is no room, then events say OUT.
   */
  get room(): number {
    const n = this.free();
    if (n >= this.sndBytes >> ASK_SHIFT || this.asked) return n;
    this.askLarger(0);
    return this.asked ? 0 : n;
  }

  /** The same of the ring that there is. */
  private free(): number {
    if (this.shut || this.released) return 0;
    if ((this.snd === 0 || this.asked) && !this.findSendRing(true)) return 0;
    this.acked = this.word(L.sndAcked);
    return this.sndBytes - ((this.written - this.acked) >>> 0);
  }

  private findSendRing(ask: boolean): boolean {
    if (this.sndBytes === 0) return false;
    if (this.asked) {
      if (this.word(L.requests) & StreamRequest.WANTS_RING) return false;
      this.asked = false;
      if (this.snd !== 0 && this.word(L.sndBytes) === this.sndBytes) this.patience = PATIENCE;
    }
    this.snd = this.word(L.sndAt) >>> 0;
    // It may have been made smaller than it was promised.
    this.sndBytes = this.word(L.sndBytes);
    if (this.snd === 0 && ask) {
      this.asked = true;
      this.ring(StreamRequest.WANTS_RING);
    }
    return this.snd !== 0;
  }

  /**
   * There is no room for `bytes`: asks for a larger ring, if the transport could fill that, or this one never has so much.
   * Until it is answered there is no room.
   */
  private askLarger(bytes: number): void {
    if (this.snd === 0 || this.asked || this.lent) return;
    const most = this.word(L.sndMost);
    if (Math.max(this.word(L.sndGoal), Math.min(bytes, SEND_AT_ONCE, most)) <= this.sndBytes) return;
    if (this.patience-- > 0) return;
    this.patience = 0;
    this.asked = true;
    this.acked = (this.written - this.sndBytes) | 0;
    this.ring(StreamRequest.WANTS_RING);
  }

  /** Asks for a send ring where there is none, to take `bytes` at once. */
  askRing(bytes: number): void {
    if (this.snd !== 0 || this.released) return;
    this.set(L.sndWanted, bytes);
    this.findSendRing(true);
  }

  /** Whether the send ring is there. Does not ask for one. */
  get hasSendRing(): boolean {
    return this.snd !== 0 || (!this.released && this.findSendRing(false));
  }

  /** Position behind the last byte written, modulo 2^32. */
  get position(): number {
    return this.written >>> 0;
  }

  /** Bytes written and not yet acknowledged. */
  get unacknowledged(): number {
    return this.released ? 0 : (this.written - this.word(L.sndAcked)) >>> 0;
  }

  /**
   * Copies as much of `from` into the send ring as it takes. Returns how many bytes; of the rest, events say OUT. After
   * SHUTDOWN, CLOSE or ABORT it takes nothing.
   */
  write(from: Uint8Array): number {
    if (!(from instanceof Uint8Array)) checkBytes(from, 'write');
    if (this.shut || this.released) return 0;
    let n = this.put(from);
    // Room that came after the look, and before the wish for it was seen, is told by no event.
    while (n < from.length && this.snd !== 0) {
      if (!this.wantRoom(Math.min(from.length - n, this.sndBytes >> FREE_SHIFT))) break;
      n += this.put(from.subarray(n));
    }
    return n;
  }

  /** Writes all of `from`, or, where there is no room for it, nothing. Whether it did. */
  writeAll(from: Uint8Array): boolean {
    if (this.shut || this.released || this.roomOf(from.length) < from.length) return false;
    this.put(from);
    return true;
  }

  /** The same of text that has `n` bytes, which must fit before the ring begins anew. */
  writeText(text: string, n: number, latin1: boolean): boolean {
    if (this.shut || this.released || this.roomOf(n) < n) return false;
    const at = this.written & (this.sndBytes - 1);
    if (n > this.sndBytes - at) return false;
    this.lent = false;
    this.app.text.write(text, this.snd + at, n, latin1 ? 'latin1' : 'utf8');
    this.publish(n);
    return true;
  }

  /**
   * Address of `n` bytes of room, which the caller writes and then hands over, all of them, before it writes anything else.
   * 0: there is no room for so many, or they do not lie in one piece.
   */
  reserve(n: number): number {
    if (this.shut || this.released || this.roomOf(n) < n) return 0;
    const at = this.written & (this.sndBytes - 1);
    if (n > this.sndBytes - at) return 0;
    this.lent = false;
    return this.snd + at;
  }

  /** Copies `from` to room that `reserve` gave, at address `at`. */
  fill(from: Uint8Array, at: number): void {
    const view = from.length > SHORT ? undefined : this.app.writtenFrom.of(from);
    if (view === undefined) this.u8.set(from, at);
    else copyWords(this.dv, at, view, 0, from.length);
  }

  /** Hands the `n` bytes that `reserve` gave to the transport. */
  handOver(n: number): void {
    this.publish(n);
  }

  /** Room; the lane's line is looked at only where what it said last does not do for `want` bytes. */
  private roomOf(want: number): number {
    const room = this.snd === 0 ? 0 : this.sndBytes - ((this.written - this.acked) >>> 0);
    return room < want ? this.free() : room;
  }

  /** Copies what there is room for, and publishes it. */
  private put(from: Uint8Array): number {
    const want = from.length;
    this.lent = false;
    const room = this.roomOf(want);
    const n = room < want ? room : want;
    if (n === 0) return 0;
    const at = this.written & (this.sndBytes - 1);
    const first = this.sndBytes - at;
    if (n <= first) {
      const view = n > SHORT ? undefined : this.app.writtenFrom.of(from);
      if (view === undefined) this.u8.set(n === want ? from : from.subarray(0, n), this.snd + at);
      else copyWords(this.dv, this.snd + at, view, 0, n);
    } else {
      this.u8.set(from.subarray(0, first), this.snd + at);
      this.u8.set(from.subarray(first, n), this.snd);
    }
    this.publish(n);
    return n;
  }

  /** Views of the room, in order: none, one, or two where the ring begins anew. Write into them, then `commit`. */
  writeViews(): Uint8Array[] {
    const n = this.free();
    this.lent = n > 0;
    if (n === 0) this.askLarger(0);
    return this.views(this.snd, this.sndBytes, this.written, n);
  }

  /** Hands the first `n` bytes of the room to the transport; nothing when it can send no more. @throws EtherloomError ERR_STREAM_RANGE */
  commit(n: number): void {
    if (this.shut || this.released) return;
    const room = this.free();
    this.check(n, room, 'written');
    // What follows in the views may be committed next.
    if (n === room) this.lent = false;
    if (n > 0) this.publish(n);
  }

  private publish(n: number): void {
    this.written = (this.written + n) | 0;
    this.set(L.sndEnd, this.written);
    this.knock(0);
  }

  /** Asks for an OUT event when `bytes` bytes are free. True when they are free now: then none comes. */
  wantRoom(bytes: number): boolean {
    if (this.shut || this.released) return false;
    this.set(L.sndWanted, bytes);
    // Room may have come between the look and the wish.
    if (this.free() < bytes) {
      this.askLarger(bytes);
      return false;
    }
    this.set(L.sndWanted, 0);
    return true;
  }

  // ── asking ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Asks the transport for what StreamRequest bits say: CONNECT, SHUTDOWN, CLOSE, ABORT, OPTIONS, or its own. */
  request(bits: number): void {
    if (bits & ENDING) this.shut = true;
    this.ring(bits & StreamRequest.MASK);
  }

  /** Rings the doorbell of its lane, unless that is on its way. `bits`: of Stream.requests. */
  ring(bits = 0): void {
    if (!this.released) this.knock(bits);
  }

  /** The same for an end that is known to be one. */
  private knock(bits: number): void {
    if (this.near && bits === 0) {
      const { app, lane, id, generation } = this;
      this.rang = app.doorHere(this.rang, lane, id, generation);
      return;
    }
    // Atomic always: whoever closes applications asks for their streams' end here.
    const before = Atomics.or(this.i32, this.at + (L.requests >> 2), bits | StreamRequest.RUNG);
    if (before >= 0) this.app.door(this.lane, this.id, this.generation);
  }

  /**
   * Lets go of the stream: the application touches its rings no more. Its number and memory are used again when the
   * transport is done, too. A transport that is not is to be told by `request` before: CLOSE or ABORT.
   */
  release(): void {
    if (this.gone) return;
    if (!this.app.ended) {
      this.set(L.released, 1);
      this.ring();
    }
    this.gone = true;
    this.app.forget(this);
  }

  private views(ring: number, size: number, cursor: number, n: number): Uint8Array[] {
    if (n <= 0) return [];
    const at = cursor & (size - 1);
    const first = Math.min(n, size - at);
    const views = [this.u8.subarray(ring + at, ring + at + first)];
    if (n > first) views.push(this.u8.subarray(ring, ring + n - first));
    return views;
  }

  private check(n: number, most: number, what: string): void {
    if (Number.isInteger(n) && n >= 0 && n <= most) return;
    throw new EtherloomError('ERR_STREAM_RANGE', `${n} bytes of ${most} that can be ${what}`, {
      expected: `a whole number from 0 to ${most}`,
    });
  }
}

/** Text would be copied as zeros. @throws EtherloomError ERR_STREAM_BYTES */
export function checkBytes(bytes: unknown, what: string): void {
  if (bytes instanceof Uint8Array) return;
  throw new EtherloomError('ERR_STREAM_BYTES', `${what}: ${bytes === null ? 'null' : typeof bytes}`, {
    expected: 'a Uint8Array or Buffer: Buffer.from(text) for text',
  });
}
