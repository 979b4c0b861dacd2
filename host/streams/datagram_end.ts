/**
 * The application's end of a socket: datagrams in and out of the rings of its stream, each behind a record of 32 bytes
 * (bpf-progs/transports/udp/socket.h, struct udp_record). Records begin at multiples of 32, so none is cut where a ring
 * begins anew; payloads may be.
 *
 *   put ─▶ send ring ─▶ transport            transport ─▶ receive ring ─▶ next … next, then done
 *
 * Nothing here allocates. What is put leaves with `StreamApp.flush`.
 */
import { StreamLayout as L, StreamRequest } from '../layout/layout.gen.js';
import type { StreamEnd } from './stream_end.js';

/** struct udp_record. */
export const RECORD_BYTES = 32;
const LEN = 0;
const FAMILY = 4;
const TTL = 5;
const PORT = 6;
const ADDRESS = 8;
const TOS = 24;
const IFINDEX = 28;
const AF_INET = 2;
const AF_INET6 = 10;

/** The transport is told of room in the receive ring in steps of this part of it: 1 / 2^READ_SHIFT. */
const READ_SHIFT = 2;

/** Bytes that a datagram takes in a ring. */
export const roomOf = (length: number): number =>
  RECORD_BYTES + ((length + RECORD_BYTES - 1) & -RECORD_BYTES);

/** Whom a datagram is for, or from: the address in words as they lie in memory, IPv4 in the first, the others 0. */
export interface Correspondent {
  family: 4 | 6;
  port: number;
  w0: number;
  w1: number;
  w2: number;
  w3: number;
}

/** Where a received datagram lies: `first` bytes at `at` of memory, the rest of its `length` at `again`. */
export interface Received extends Correspondent {
  at: number;
  length: number;
  first: number;
  again: number;
  ttl: number;
  tos: number;
  ifindex: number;
}

export class DatagramEnd {
  readonly #i32: Int32Array;
  readonly #u8: Uint8Array;
  readonly #dv: DataView;
  readonly #at: number;
  /** Own cursors, modulo 2^32. */
  #written: number;
  #published: number;
  #read: number;
  #next: number;

  constructor(readonly end: StreamEnd) {
    const { arena } = end.app;
    this.#i32 = arena.i32;
    this.#u8 = arena.u8;
    this.#dv = arena.dv;
    this.#at = (arena.header.streamsAt + end.id * L.size) >> 2;
    this.#written = this.#published = this.#word(L.sndEnd);
    this.#read = this.#next = this.#word(L.rcvRead);
    // Rings are made when they are first needed: a first datagram is not to wait for that.
    end.ring(StreamRequest.WANTS_RING);
  }

  #word(offset: number): number {
    return Atomics.load(this.#i32, this.#at + (offset >> 2)) >>> 0;
  }

  // ── receiving ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether there is a datagram that `next` has not given. */
  get readable(): boolean {
    return !this.end.released && this.#word(L.rcvEnd) !== this.#next;
  }

  /** Takes the next datagram; false when there is none. What it says lies in the ring until `done`. */
  next(into: Received): boolean {
    if (!this.readable) return false;
    const ring = this.#word(L.rcvAt);
    const size = this.#word(L.rcvBytes);
    const at = ring + (this.#next & (size - 1));
    const dv = this.#dv;
    const length = dv.getUint32(at + LEN, true);
    into.family = dv.getUint8(at + FAMILY) === AF_INET ? 4 : 6;
    into.ttl = dv.getUint8(at + TTL);
    into.port = dv.getUint16(at + PORT);
    into.w0 = dv.getUint32(at + ADDRESS, true);
    into.w1 = dv.getUint32(at + ADDRESS + 4, true);
    into.w2 = dv.getUint32(at + ADDRESS + 8, true);
    into.w3 = dv.getUint32(at + ADDRESS + 12, true);
    into.tos = dv.getUint8(at + TOS);
    into.ifindex = dv.getUint32(at + IFINDEX, true);
    const from = (this.#next + RECORD_BYTES) & (size - 1);
    into.at = ring + from;
    into.length = length;
    into.first = Math.min(length, size - from);
    into.again = ring;
    this.#next = (this.#next + roomOf(length)) >>> 0;
    return true;
  }

  /** Gives back what `next` gave: the ring has room again. */
  done(): void {
    if (this.#next === this.#read || this.end.released) return;
    this.#read = this.#next;
    Atomics.store(this.#i32, this.#at + (L.rcvRead >> 2), this.#read | 0);
    const size = this.#word(L.rcvBytes);
    // How much further the transport could go than it last saw.
    if ((this.#read + size - this.#word(L.rcvLimit)) >>> 0 >= size >>> READ_SHIFT) this.end.ring();
  }

  // ── sending ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether the send ring was made: before that nothing can be put. An OUT event tells of it. */
  get hasRing(): boolean {
    return !this.end.released && this.#word(L.sndAt) !== 0;
  }

  /** Bytes that wait in the send ring. */
  get queued(): number {
    return this.end.released ? 0 : (this.#written - this.#word(L.sndAcked)) >>> 0;
  }

  #hasRoom(need: number): boolean {
    return this.hasRing && this.#word(L.sndBytes) - this.queued >= need;
  }

  /**
   * Puts a datagram behind those that wait; false when there is no room: an OUT event tells of it then.
   * `publish` makes it, and those before it, known to the lane. @param ttl 0: the usual one
   */
  put(data: Uint8Array, to: Correspondent, ttl: number, tos: number): boolean {
    const length = data.length;
    const need = roomOf(length);
    if (!this.#hasRoom(need) && !this.#want(need)) return false;
    const ring = this.#word(L.sndAt);
    const size = this.#word(L.sndBytes);
    const at = ring + (this.#written & (size - 1));
    const dv = this.#dv;
    dv.setUint32(at + LEN, length, true);
    dv.setUint8(at + FAMILY, to.family === 4 ? AF_INET : AF_INET6);
    dv.setUint8(at + TTL, ttl);
    dv.setUint16(at + PORT, to.port);
    dv.setUint32(at + ADDRESS, to.w0, true);
    dv.setUint32(at + ADDRESS + 4, to.w1, true);
    dv.setUint32(at + ADDRESS + 8, to.w2, true);
    dv.setUint32(at + ADDRESS + 12, to.w3, true);
    dv.setUint32(at + TOS, tos, true);
    dv.setUint32(at + IFINDEX, 0, true);
    const from = (this.#written + RECORD_BYTES) & (size - 1);
    const first = size - from;
    if (length <= first) this.#u8.set(data, ring + from);
    else {
      this.#u8.set(data.subarray(0, first), ring + from);
      this.#u8.set(data.subarray(first), ring);
    }
    this.#written = (this.#written + need) >>> 0;
    return true;
  }

  /** Asks for an OUT event when there is room for `need` bytes. True when there is now. */
  #want(need: number): boolean {
    if (this.end.released) return false;
    if (!this.hasRing) {
      this.end.ring(StreamRequest.WANTS_RING);
      return false;
    }
    // What was put before must go for room to come.
    this.publish();
    Atomics.store(this.#i32, this.#at + (L.sndWanted >> 2), need);
    // Room may have come between the look and the wish.
    if (!this.#hasRoom(need)) return false;
    Atomics.store(this.#i32, this.#at + (L.sndWanted >> 2), 0);
    return true;
  }

  publish(): void {
    if (this.#published === this.#written || this.end.released) return;
    this.#published = this.#written;
    Atomics.store(this.#i32, this.#at + (L.sndEnd >> 2), this.#written | 0);
    this.end.ring();
  }
}
