/**
 * Segments for fuzzing, quickly: link, IP (with options, or extension headers), TCP with any options, payload; lengths and
 * checksums right unless it is said otherwise. Ten million of them are made, so nothing is parsed or joined.
 */
import { parseIp } from '../../../host/wire/address.js';
import type { Rng } from '../../support/fuzz.js';

const ETH = 14;
const TCP = 20;
const HEADER = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 0x66];

export interface Quick {
  /** Of 4 or 16 bytes, both. */
  src: Uint8Array;
  dst: Uint8Array;
  sport: number;
  dport: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  urgent: number;
  /** At most 40, of a length that 4 divides. */
  options: Uint8Array;
  payload: number;
  /** Bytes of IPv4 options (a multiple of 4, 40 at most), or of IPv6 extension headers (of 8, 64 at most). */
  extra: number;
  ecn: number;
  /** What is added to the right checksum, to the right data offset, to the right length of the packet. */
  wrongSum: number;
  wrongOffset: number;
  wrongLength: number;
}

export const address = (text: string): Uint8Array => parseIp(text);

/** Ones' complement sum of bytes, not folded. */
function sum(bytes: Uint8Array, from: number, to: number): number {
  let s = 0;
  let i = from;
  for (; i + 1 < to; i += 2) s += (bytes[i] << 8) | bytes[i + 1];
  return i < to ? s + (bytes[i] << 8) : s;
}

function fold(s: number): number {
  let n = s;
  while (n > 0xffff) n = (n & 0xffff) + Math.floor(n / 0x10000);
  return ~n & 0xffff;
}

/** Where the IP payload of a frame begins and which protocol it is; undefined where that cannot be told. */
function payloadOf(
  frame: Uint8Array,
): { at: number; end: number; protocol: number; v6: boolean } | undefined {
  if (frame.length < ETH + 20) return undefined;
  const type = (frame[12] << 8) | frame[13];
  if (type === 0x0800) {
    const total = (frame[16] << 8) | frame[17];
    const at = ETH + (frame[ETH] & 15) * 4;
    const end = ETH + total;
    return end <= frame.length && at <= end ? { at, end, protocol: frame[ETH + 9], v6: false } : undefined;
  }
  if (type !== 0x86dd || frame.length < ETH + 40) return undefined;
  const end = ETH + 40 + ((frame[ETH + 4] << 8) | frame[ETH + 5]);
  let at = ETH + 40;
  let protocol = frame[ETH + 6];
  while ((protocol === 0 || protocol === 60) && at + 8 <= end && end <= frame.length) {
    protocol = frame[at];
    at += (frame[at + 1] + 1) * 8;
  }
  return end <= frame.length && at <= end ? { at, end, protocol, v6: true } : undefined;
}

/** Makes the checksums of a TCP or ICMP frame right, if it is sound enough to have any; `wrong` is added to the last. */
export function mend(frame: Uint8Array, wrong = 0): void {
  const p = payloadOf(frame);
  if (!p) return;
  const { at, end, protocol, v6 } = p;
  if (!v6) {
    frame[ETH + 10] = frame[ETH + 11] = 0;
    const s = fold(sum(frame, ETH, at));
    frame[ETH + 10] = s >> 8;
    frame[ETH + 11] = s & 255;
  }
  const check = at + (protocol === 6 ? 16 : 2);
  if ((protocol !== 6 && protocol !== 1 && protocol !== 58) || check + 2 > end) return;
  frame[check] = frame[check + 1] = 0;
  let s = sum(frame, at, end);
  if (protocol !== 1) s += sum(frame, ETH + (v6 ? 8 : 12), ETH + (v6 ? 40 : 20)) + protocol + (end - at);
  s = (fold(s) + wrong) & 0xffff;
  frame[check] = s >> 8;
  frame[check + 1] = s & 255;
}

/** Whether the checksums of a frame that the host sent are right. */
export function sound(frame: Uint8Array): boolean {
  const copy = frame.slice();
  mend(copy);
  return Buffer.compare(copy, frame) === 0;
}

export function forge(q: Quick, rng: Rng): Uint8Array {
  const v6 = q.src.length === 16;
  const at = ETH + (v6 ? 40 : 20) + q.extra;
  const head = TCP + q.options.length;
  const frame = new Uint8Array(at + head + q.payload);
  const view = new DataView(frame.buffer);
  frame.set(HEADER);
  const length = frame.length - ETH + q.wrongLength;
  if (v6) {
    view.setUint16(12, 0x86dd);
    view.setUint32(ETH, 0x60000000 | (q.ecn << 20));
    view.setUint16(ETH + 4, Math.max(0, length - 40));
    frame[ETH + 7] = 64;
    let before = ETH + 6;
    for (let x = ETH + 40; x < at; ) {
      // Hop-by-hop or destination options; seldom one that is not to be walked over.
      frame[before] = rng.chance(0.05)
        ? rng.pick([43, 44, 51, 59])
        : x === ETH + 40 && rng.chance(0.5)
          ? 0
          : 60;
      const bytes = Math.min(at - x, 8 * rng.between(1, 3));
      frame[x + 1] = rng.chance(0.03) ? rng.u32() : bytes / 8 - 1;
      for (let i = 2; i < bytes; i++) frame[x + i] = i === 2 ? 1 : i === 3 ? bytes - 4 : 0;
      before = x;
      x += bytes;
    }
    frame[before] = 6;
    frame.set(q.src, ETH + 8);
    frame.set(q.dst, ETH + 24);
  } else {
    view.setUint16(12, 0x0800);
    frame[ETH] = 0x40 | (5 + q.extra / 4);
    frame[ETH + 1] = q.ecn;
    view.setUint16(ETH + 2, length);
    if (rng.chance(0.02)) view.setUint16(ETH + 6, rng.pick([0x2000, 1, 0x4000, 0x8000, 185]));
    frame[ETH + 8] = 64;
    frame[ETH + 9] = 6;
    frame.set(q.src, ETH + 12);
    frame.set(q.dst, ETH + 16);
    frame.fill(1, ETH + 20, at);
  }
  view.setUint16(at, q.sport);
  view.setUint16(at + 2, q.dport);
  view.setUint32(at + 4, q.seq);
  view.setUint32(at + 8, q.ack);
  frame[at + 12] = ((head / 4 + q.wrongOffset) & 15) << 4;
  frame[at + 13] = q.flags;
  view.setUint16(at + 14, q.window);
  view.setUint16(at + 18, q.urgent);
  frame.set(q.options, at + TCP);
  for (let i = at + head; i < frame.length; i++) frame[i] = i * 17;
  mend(frame, q.wrongSum);
  return frame;
}

/** An ICMP or ICMPv6 error about a segment that `dst` sent to `about`. */
export function forgeError(
  from: Uint8Array,
  dst: Uint8Array,
  about: { peer: Uint8Array; sport: number; dport: number; seq: number },
  kind: { type: number; code: number; mtu: number; length: number },
): Uint8Array {
  const v6 = dst.length === 16;
  const ip = v6 ? 40 : 20;
  const frame = new Uint8Array(ETH + ip + 8 + ip + 20);
  const view = new DataView(frame.buffer);
  frame.set(HEADER);
  const header = (at: number, length: number, protocol: number, a: Uint8Array, b: Uint8Array): void => {
    if (v6) {
      view.setUint32(at, 0x60000000);
      view.setUint16(at + 4, length);
      frame[at + 6] = protocol;
      frame[at + 7] = 64;
      frame.set(a, at + 8);
      frame.set(b, at + 24);
    } else {
      frame[at] = 0x45;
      view.setUint16(at + 2, length + 20);
      frame[at + 8] = 64;
      frame[at + 9] = protocol;
      frame.set(a, at + 12);
      frame.set(b, at + 16);
    }
  };
  view.setUint16(12, v6 ? 0x86dd : 0x0800);
  header(ETH, frame.length - ETH - ip, v6 ? 58 : 1, from, dst);
  const at = ETH + ip;
  frame[at] = kind.type;
  frame[at + 1] = kind.code;
  view.setUint32(at + 4, kind.mtu);
  header(at + 8, kind.length, 6, dst, about.peer);
  const tcp = at + 8 + ip;
  view.setUint16(tcp, about.sport);
  view.setUint16(tcp + 2, about.dport);
  view.setUint32(tcp + 4, about.seq);
  mend(frame);
  return frame;
}
