/**
 * A frame of an RPC: what carriers of bytes and of datagrams put before each piece of a message. A message goes in one frame
 * or in several, at rising offsets, with frames of others between them.
 *
 *    0               8               16              24              31
 *   ┌───────────────┬───────────────┬───────────────┬───────────────┐
 *   │ magic 0xe7    │ version 1     │ kind          │ 0             │
 *   ├───────────────┴───────────────┴───────────────┴───────────────┤
 *   │ bytes of the body that follow in this frame                   │
 *   ├───────────────────────────────────────────────────────────────┤
 *   │ length of the whole body                                      │
 *   ├───────────────────────────────────────────────────────────────┤
 *   │ offset of these bytes in it                                   │
 *   ├───────────────────────────────────────────────────────────────┤
 *   │ call: place of the call at who makes it                       │
 *   ├───────────────────────────────────────────────────────────────┤
 *   │ turn: which call of that place it is                          │
 *   └───────────────────────────────────────────────────────────────┘
 *
 * Words are big-endian. Responses, errors and cancellations name call and turn of their request. The body of an error is text:
 * its code, a line feed, its message.
 */

/** Bytes before the body. */
export const FRAME_HEAD = 24;
/** Longest message: as Homa's. */
export const MOST_MESSAGE = 1_000_000;
/** Longest body of a frame that is taken. */
export const MOST_FRAME = 65_536;
/** Longest text of an error, bytes. */
export const MOST_ERROR = 4096;
const MAGIC = 0xe7;
const VERSION = 1;
/** Magic, version and a kind of 0. */
const FIRST = ((MAGIC << 24) | (VERSION << 16)) >>> 0;

/** Whether a turn of a place came after that one. */
export const isNewer = (turn: number, than: number): boolean => ((turn - than) | 0) > 0;

export const FrameKind = { REQUEST: 1, RESPONSE: 2, ERROR: 3, CANCEL: 4 } as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** What a frame says before its body. */
export interface FrameHead {
  kind: FrameKind;
  bytes: number;
  length: number;
  offset: number;
  call: number;
  turn: number;
}

/** Offsets of the words. */
const BYTES = 4;
const LENGTH = 8;
const OFFSET = 12;
const CALL = 16;
const TURN = 20;

/** What is wrong with a head; undefined for a good one, which is in `into` then. */
export function readHead(dv: DataView, at: number, into: FrameHead): string | undefined {
  const first = dv.getUint32(at);
  const kind = (first >>> 8) & 0xff;
  const bytes = dv.getUint32(at + BYTES);
  const length = dv.getUint32(at + LENGTH);
  const offset = dv.getUint32(at + OFFSET);
  if ((first & 0xffff_00ff) >>> 0 !== FIRST) return 'what came is no frame of an RPC';
  if (kind < FrameKind.REQUEST || kind > FrameKind.CANCEL) return `a frame of kind ${kind}`;
  if (length > (kind < FrameKind.ERROR ? MOST_MESSAGE : kind === FrameKind.ERROR ? MOST_ERROR : 0))
    return `a message of ${length} bytes`;
  if (bytes > MOST_FRAME) return `a frame of ${bytes} bytes`;
  if (offset + bytes > length) return `bytes ${offset} to ${offset + bytes} of a message of ${length}`;
  if (bytes === 0 && length !== 0) return 'a frame without bytes';
  into.kind = kind as FrameKind;
  into.bytes = bytes;
  into.length = length;
  into.offset = offset;
  into.call = dv.getUint32(at + CALL);
  into.turn = dv.getUint32(at + TURN);
  return undefined;
}

export function writeHead(
  dv: DataView,
  at: number,
  kind: FrameKind,
  bytes: number,
  length: number,
  offset: number,
  call: number,
  turn: number,
): void {
  dv.setUint32(at, FIRST | (kind << 8));
  dv.setUint32(at + BYTES, bytes);
  dv.setUint32(at + LENGTH, length);
  dv.setUint32(at + OFFSET, offset);
  dv.setUint32(at + CALL, call);
  dv.setUint32(at + TURN, turn);
}

const NAMES = ['', 'request', 'response', 'error', 'cancel'];

/** As a person reads it: `request 7.1 0+32/32`. */
export const printHead = ({ kind, bytes, length, offset, call, turn }: FrameHead): string =>
  `${NAMES[kind]} ${call}.${turn} ${offset}+${bytes}/${length}`;

export const newHead = (): FrameHead => ({ kind: 1, bytes: 0, length: 0, offset: 0, call: 0, turn: 0 });
