/**
 * What an input of UDP's fuzzing says: 12 bytes of orders, then what a hostile application writes into its send ring.
 *
 *   0 whose │ 1 Do bits │ 2 time │ 3 others │ 4 u32 where or how far │ 8 u32 what it says that it has read │ 12 bytes for the ring
 */
import type { Rng } from '../../support/fuzz.js';

export const HEAD = 12;
/** Hostile sockets. */
export const HOSTILE = 4;
/** Byte 1. Without BELIEVE it says that it wrote what it wrote; with PAST it writes elsewhere than behind what is there. */
export const Do = {
  CLOSE: 1,
  ABORT: 2,
  READ: 4,
  WANTED: 8,
  AGAIN: 16,
  BELIEVE: 32,
  PAST: 64,
  EMPTY: 128,
} as const;
/** Byte 3: a count of datagrams that others send in the two low bits. */
export const Others = { SEND: 3, ARRIVE: 4, NOISE: 8, FORGET: 16 } as const;
/** How far time goes by byte 2, ms: mostly not at all. */
const TIMES = [...new Array(20).fill(0), 1, 2, 2, 3, 5, 10, 20, 50, 100, 300, 1000, 3100];

export interface Order {
  who: number;
  bits: number;
  ms: number;
  others: number;
  word: number;
  read: number;
  bytes: Uint8Array;
}

/** Undefined: too short to say anything. */
export function orderOf(input: Uint8Array): Order | undefined {
  if (input.length < HEAD) return undefined;
  const dv = new DataView(input.buffer, input.byteOffset);
  return {
    ...{ who: input[0] % HOSTILE, bits: input[1], ms: TIMES[input[2] % TIMES.length], others: input[3] },
    ...{ word: dv.getUint32(4, true), read: dv.getUint32(8, true), bytes: input.subarray(HEAD) },
  };
}

const RECORD = 32;
const padded = (n: number): number => (n + RECORD - 1) & -RECORD;

/** Whom a hostile record names: who is there, who answers late or not, we ourselves, nobody, everybody, anything. */
function anyAddress(rng: Rng, family: number): Uint8Array {
  const four = [
    [10, 0, 0, 2],
    [10, 0, 1, rng.below(256)],
    [10, 0, 2, rng.below(8)],
    [10, 0, 2, rng.below(256)],
    [10, 0, 0, 1],
    [10, 9, 9, 9],
    [224, 0, 0, 1],
    [255, 255, 255, 255],
    [127, 0, 0, 1],
    [0, 0, 0, 0],
  ];
  if (family === 2) return Uint8Array.from(rng.chance(0.05) ? [...rng.bytes(4)] : rng.pick(four));
  const kind = rng.below(20);
  if (kind === 0) return rng.bytes(16);
  if (kind === 1) return new Uint8Array(16);
  const out = new Uint8Array(16);
  out[0] = kind === 2 ? 0xff : kind === 3 ? 0xfe : 0xfd;
  out[1] = kind === 2 ? 2 : kind === 3 ? 0x80 : 0;
  const last = rng.pick([
    [0, 2],
    [1, rng.below(256)],
    [2, rng.below(8)],
    [2, rng.below(256)],
    [0, 1],
  ]);
  out.set(last, 14);
  return out;
}

/** A record and its payload: sound, but for what is drawn to be wrong. */
function anyDatagram(rng: Rng): Uint8Array {
  const family = rng.pick([2, 2, 2, 10, 10, rng.below(256)]);
  const real = rng.pick([0, 1, rng.below(64), rng.below(64), rng.below(1500), 1452, 1472]);
  const wrong = [real + rng.between(-33, 33), rng.below(70_000), 0xffff, 0x10000, 0xffffffff, rng.u32()];
  const says = rng.chance(0.1) ? rng.pick(wrong) : real;
  const out = new Uint8Array(RECORD + padded(real));
  const dv = new DataView(out.buffer);
  dv.setUint32(0, says >>> 0, true);
  out[4] = family;
  out[5] = rng.pick([0, 64, 64, 1, 255]);
  dv.setUint16(6, rng.chance(0.5) ? 9 : rng.u32() & 0xffff);
  out.set(anyAddress(rng, family), 8);
  // Words of an IPv4 address that are not to be there.
  if (family === 2 && rng.chance(0.03)) out[12 + rng.below(12)] = 1;
  out[24] = rng.chance(0.3) ? rng.u32() : 0;
  if (rng.chance(0.2)) out.set(rng.bytes(7), 25);
  out.fill(rng.u32() & 255, RECORD, RECORD + real);
  return out;
}

/** An input: some datagrams, mostly what an application would write, and seldom the end of it all. */
export function makeOrder(rng: Rng, maxBytes: number): Uint8Array {
  const parts: Uint8Array[] = [];
  let length = HEAD;
  for (let n = rng.pick([0, 1, 1, 2, 3, 8]); n > 0; n--) {
    const part = rng.chance(0.03) ? rng.bytes(32 * rng.between(1, 8)) : anyDatagram(rng);
    if (length + part.length > maxBytes) break;
    parts.push(part);
    length += part.length;
  }
  const out = new Uint8Array(length);
  const dv = new DataView(out.buffer);
  const seldom = (p: number, bit: number): number => (rng.chance(p) ? bit : 0);
  out[0] = rng.u32();
  out[1] =
    seldom(0.005, Do.CLOSE) |
    seldom(0.005, Do.ABORT) |
    seldom(0.03, Do.READ) |
    seldom(0.03, Do.WANTED) |
    seldom(0.01, Do.AGAIN) |
    seldom(0.05, Do.BELIEVE) |
    seldom(0.05, Do.PAST) |
    seldom(0.3, Do.EMPTY);
  out[2] = rng.u32();
  out[3] = rng.u32();
  dv.setUint32(4, rng.pick([rng.below(32), rng.below(4097), rng.u32()]), true);
  dv.setUint32(8, rng.chance(0.5) ? rng.below(8192) : rng.u32(), true);
  let at = HEAD;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
