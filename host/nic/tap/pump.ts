/**
 * Moves packets between a descriptor and the rings of a port, one system call each. Used by whoever polls the
 * interface: the host, or the lane that owns the queue. What it takes it has put somewhere when it returns.
 *
 *   descriptor ─read─▶ frame of the pool ─▶ receive ring          transmit ring ─▶ frame ─write─▶ descriptor
 *
 * A TUN interface carries bare IP packets: the lanes see Ethernet frames with a header made here, and what leaves
 * loses it again. Frames that hold no IP packet stay here, counted.
 */
import { FRAME_HEADROOM, FRAME_SIZE, NO_FRAME } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import type { Device } from './device.js';
import type { Hand } from './hand.js';
import { EBADFD } from './request.js';
import { Count, type TapCounts } from './stats.js';

const ETHERNET = 14;
/** Room of a frame behind its headroom. A read that fills it may have been cut. */
export const ROOM = FRAME_SIZE - FRAME_HEADROOM;
const TYPE: Record<number, number> = { 4: 0x0800, 6: 0x86dd };

export interface Pump {
  arena: Arena;
  core: Core;
  device: Device;
  /** Of the thread that writes. */
  hand: Hand;
  stats: TapCounts;
  /** TUN: the header that packets get, 12 bytes of addresses; undefined for TAP. */
  header: Uint8Array | undefined;
}

/** The interface of the descriptor was deleted. */
export const GONE = -EBADFD;

/**
 * Reads up to `max` packets into the receive rings `feeds` (producer views); several are chosen from by RSS of the port
 * at `portAt`. Stops when one of them is full or no frame is free. Returns packets read, or GONE.
 */
export function pull(p: Pump, feeds: readonly number[], portAt: number, max: number): number {
  const { arena, device, stats } = p;
  const x = p.core.exports;
  const { packetAt } = arena.header;
  const offset = p.header ? ETHERNET : 0;
  let taken = 0;
  let status = 0;
  for (let tries = 0; tries < max; tries++) {
    let room = true;
    for (const feed of feeds) room &&= x.ring_reserve(feed, 1) !== 0;
    if (!room) break;
    const frame = x.frame_alloc() >>> 0;
    if (frame === NO_FRAME) break;
    const at = packetAt + frame + FRAME_HEADROOM;
    const n = device.read(arena.u8, at + offset, ROOM - offset);
    if (n <= 0) {
      x.frame_free(frame);
      if (n === GONE) status = GONE;
      else if (n < 0) stats.refuse(n);
      break;
    }
    if (n === ROOM - offset || (p.header && !wrap(p, at))) {
      stats.add(n === ROOM - offset ? Count.TOO_LONG : Count.NOT_IP);
      x.frame_free(frame);
      continue;
    }
    const length = n + offset;
    const feed = feeds.length === 1 ? feeds[0] : feeds[x.port_steer(portAt, at, length)];
    x.ring_push(feed, frame + FRAME_HEADROOM, length, 0);
    taken++;
  }
  if (taken) {
    stats.add(Count.RECEIVED, taken);
    for (const feed of feeds) x.ring_submit(feed);
  }
  return taken || status;
}

/** Puts an Ethernet header before the IP packet at `at` + 14. False when it is of no known version. */
function wrap({ arena, header }: Pump, at: number): boolean {
  const type = TYPE[arena.u8[at + ETHERNET] >> 4];
  if (type === undefined) return false;
  arena.u8.set(header!, at);
  arena.u8[at + 12] = type >> 8;
  arena.u8[at + 13] = type & 0xff;
  return true;
}

/**
 * Writes up to `max` packets of the consumer view `out`. Stops when the kernel has no room. Returns packets taken off the
 * ring, or GONE.
 */
export function push(p: Pump, out: number, max: number): number {
  const { arena, device, hand, stats } = p;
  const x = p.core.exports;
  const waiting = x.ring_peek(out, max);
  if (waiting === 0) return 0;
  const { packetAt } = arena.header;
  let done = 0;
  let status = 0;
  for (; done < waiting; done++) {
    const d = (x.ring_entry(out, done) >>> 0) >> 2;
    const at = packetAt + arena.u32[d];
    const length = arena.u32[d + 2];
    let rc: number;
    hand.take(out, done + 1);
    if (p.header) {
      const type = length > ETHERNET ? (arena.u8[at + 12] << 8) | arena.u8[at + 13] : 0;
      if (type !== TYPE[4] && type !== TYPE[6]) {
        stats.add(Count.NOT_IP);
        continue;
      }
      rc = device.write(arena.u8, at + ETHERNET, length - ETHERNET);
    } else rc = device.write(arena.u8, at, length);
    if (rc === 0) break;
    if (rc > 0) stats.add(Count.SENT);
    else if (rc === GONE) {
      status = GONE;
      break;
    } else stats.refuse(rc);
  }
  if (done) x.ring_discard(out, done);
  hand.empty();
  return done || status;
}

/** Drops what waits for an interface that is not there. */
export function discard(p: Pump, out: number): void {
  const dropped = p.core.exports.ring_discard(out, 0x7fffffff);
  if (dropped) p.stats.refuse(GONE, dropped);
}
