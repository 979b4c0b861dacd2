/** Frames of RPCs: however they come in pieces, and wherever the ring begins anew, the messages are the same or the refusal is. */
import { EtherloomError } from '../../../host/errors.js';
import { FRAME_HEAD, FrameKind, writeHead } from '../../../host/rpc/frame.js';
import { PartPool } from '../../../host/rpc/parts.js';
import { Found, Receiver } from '../../../host/rpc/tcp/receiver.js';
import { Ring } from '../../rpc/ring.js';
import type { FuzzTarget } from '../../support/fuzz.js';

/** What comes of the input: messages, and the refusal that ends them. */
function heard(input: Uint8Array, size: number, step: number, start: number): string[] {
  const ring = new Ring(input, size, start);
  const receiver = new Receiver(ring, ring.u8, new DataView(ring.u8.buffer), new PartPool());
  const out: string[] = [];
  let moved = true;
  while (moved) {
    moved = ring.come(step);
    for (;;) {
      const found = receiver.next();
      if (found === Found.NOTHING) break;
      moved = true;
      if (found === Found.BAD) return [...out, receiver.wrong];
      if (found === Found.PART) continue;
      const { head, memory, at, first, again } = receiver;
      const bytes = [
        ...memory.subarray(at, at + first),
        ...memory.subarray(again, again + head.length - first),
      ];
      if (bytes.length !== head.length) throw new Error(`${bytes.length} bytes of ${head.length}`);
      out.push(`${head.kind} ${head.call} ${head.turn} ${bytes.join()}`);
    }
    receiver.done();
  }
  return out;
}

const frame = (kind: FrameKind, call: number, length: number, offset: number, n: number): Buffer => {
  const out = Buffer.alloc(FRAME_HEAD + n, call);
  writeHead(new DataView(out.buffer, out.byteOffset), 0, kind, n, length, offset, call, 1);
  return out;
};

export const target: FuzzTarget = {
  name: 'rpc',
  maxBytes: 8192,
  seeds: () => [
    Buffer.concat([frame(FrameKind.REQUEST, 1, 32, 0, 32), frame(FrameKind.CANCEL, 1, 0, 0, 0)]),
    Buffer.concat([
      frame(FrameKind.REQUEST, 1, 1500, 0, 1200),
      frame(FrameKind.REQUEST, 2, 7, 0, 7),
      frame(FrameKind.REQUEST, 1, 1500, 1200, 300),
      frame(FrameKind.REQUEST, 3, 0, 0, 0),
    ]),
    Buffer.concat([
      frame(FrameKind.RESPONSE, 1, 3000, 0, 2500),
      frame(FrameKind.ERROR, 1, 9, 0, 9),
      frame(FrameKind.RESPONSE, 4, 3000, 0, 3000),
    ]),
  ],
  run: input => {
    const whole = heard(input, 16_384, 16_384, 0);
    for (const [size, step, start] of [
      [16_384, 1 + (input.length % 97), 16_000],
      [2048, 300, 2040],
    ])
      if (heard(input, size, step, start).join('\n') !== whole.join('\n'))
        throw new Error(`other messages in steps of ${step} through ${size} bytes`);
    const last = whole.at(-1);
    if (last !== undefined && !/^\d/.test(last)) throw new EtherloomError('ERR_RPC_FRAME', last);
  },
};
