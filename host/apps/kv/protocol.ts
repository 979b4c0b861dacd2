/**
 * The wire of the store: memcached's binary protocol, as flexkvs speaks it, so that clients of memcached do. All numbers
 * big-endian.
 *
 *    0       1        2          4         5          6             8            12       16            24
 *    magic   opcode   key bytes  extras    data type  status (ask:  body bytes   opaque   cas (0 here)  extras, key, value
 *                                bytes                vbucket)
 */
export const HEADER_BYTES = 24;
export const ASK = 0x80;
export const ANSWER = 0x81;

export const Opcode = {
  GET: 0x00,
  SET: 0x01,
  ADD: 0x02,
  REPLACE: 0x03,
  DELETE: 0x04,
  QUIT: 0x07,
  GETQ: 0x09,
  NOOP: 0x0a,
  VERSION: 0x0b,
  GETK: 0x0c,
  GETKQ: 0x0d,
  SETQ: 0x11,
  ADDQ: 0x12,
  REPLACEQ: 0x13,
  DELETEQ: 0x14,
  QUITQ: 0x17,
} as const;

export const Status = {
  OK: 0x00,
  NOT_FOUND: 0x01,
  EXISTS: 0x02,
  TOO_LARGE: 0x03,
  INVALID: 0x04,
  NOT_STORED: 0x05,
  UNKNOWN: 0x81,
  NO_MEMORY: 0x82,
  NOT_SUPPORTED: 0x83,
} as const;

/** Longest key, as memcached's. */
export const KEY_BYTES = 250;
/** Longest value. memcached's own default is 1 MiB less what it needs for the item. */
export const VALUE_BYTES = 1 << 20;
/** Flags and expiration of what is stored, and the flags of what is found. */
export const SET_EXTRAS = 8;
export const GET_EXTRAS = 4;

/** Fields of a header at `at` of `bytes`, which has all of it. */
export const keyBytesOf = (bytes: Uint8Array, at: number): number => (bytes[at + 2] << 8) | bytes[at + 3];
export const statusOf = (bytes: Uint8Array, at: number): number => (bytes[at + 6] << 8) | bytes[at + 7];
export const bodyBytesOf = (bytes: Uint8Array, at: number): number => wordAt(bytes, at + 8);

export const wordAt = (bytes: Uint8Array, at: number): number =>
  ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;

export function setWord(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

/** Writes all of a header but `opaque`, which is the asker's. */
export function writeHeader(
  to: Uint8Array,
  at: number,
  magic: number,
  opcode: number,
  keyBytes: number,
  extras: number,
  status: number,
  bodyBytes: number,
): void {
  to[at] = magic;
  to[at + 1] = opcode;
  to[at + 2] = keyBytes >>> 8;
  to[at + 3] = keyBytes;
  to[at + 4] = extras;
  to[at + 5] = 0;
  to[at + 6] = status >>> 8;
  to[at + 7] = status;
  setWord(to, at + 8, bodyBytes);
  for (let i = at + 16; i < at + HEADER_BYTES; i++) to[i] = 0;
}
