/** Frames as a carrier over datagrams takes them, for clients that are made by hand. */
import { POST_HEAD } from '../../host/rpc/datagrams/post.js';
import { FRAME_HEAD, type FrameKind, writeHead } from '../../host/rpc/frame.js';

/** A datagram with `bytes` of a message of `length`. */
export function datagramFrame(
  kind: FrameKind,
  call: number,
  turn: number,
  bytes: number | string,
  { epoch = 1, length, offset = 0 }: { epoch?: number; length?: number; offset?: number } = {},
): Buffer {
  const body = typeof bytes === 'string' ? Buffer.from(bytes) : Buffer.alloc(bytes, 1);
  const out = Buffer.alloc(POST_HEAD + body.length);
  const n = body.length;
  writeHead(new DataView(out.buffer, out.byteOffset), 0, kind, n, length ?? n, offset, call, turn);
  out.writeUInt32BE(epoch, FRAME_HEAD);
  body.copy(out, POST_HEAD);
  return out;
}
