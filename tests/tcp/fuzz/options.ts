/** TCP options for fuzzing: those that there are, with values that matter, and such as lie about their length. */
import type { Rng } from '../../support/fuzz.js';
import type { Numbers } from './numbers.js';

const MOST = 40;
const buffer = new Uint8Array(64);
const view = new DataView(buffer.buffer);

/** Places of sequence numbers that matter to a sender: what is in flight, and just beyond. */
function edge(n: Numbers, rng: Rng): number {
  return (
    (rng.pick([n.una, n.una, n.sent, n.una + rng.below(n.sent - n.una + 2), n.una - 1, rng.u32()]) +
      rng.pick([0, 0, 0, 1, -1])) >>>
    0
  );
}

function put(rng: Rng, n: Numbers, at: number): number {
  switch (rng.below(12)) {
    case 0:
      buffer[at] = 2;
      buffer[at + 1] = 4;
      view.setUint16(at + 2, rng.pick([0, 1, 48, 88, 536, 1220, 1460, 9000, 65535]));
      return 4;
    case 1:
      buffer[at] = 3;
      buffer[at + 1] = 3;
      buffer[at + 2] = rng.pick([0, 1, 7, 14, 15, 255]);
      return 3;
    case 2:
      buffer[at] = 4;
      buffer[at + 1] = 2;
      return 2;
    case 3:
    case 4:
    case 5: {
      const blocks = rng.between(1, 4);
      buffer[at] = 5;
      buffer[at + 1] = 2 + blocks * 8;
      for (let i = 0; i < blocks && at + 10 + i * 8 <= MOST + 8; i++) {
        const from = edge(n, rng);
        view.setUint32(at + 2 + i * 8, from);
        view.setUint32(
          at + 6 + i * 8,
          rng.chance(0.7) ? from + rng.pick([1, 1, 100, 1448, 5000]) : edge(n, rng),
        );
      }
      return Math.min(2 + blocks * 8, MOST);
    }
    case 6:
      buffer[at] = 1;
      return 1;
    case 7:
      buffer[at] = 0;
      return 1;
    case 8:
      // Fast open, authentication, and kinds that nobody has.
      buffer[at] = rng.pick([6, 19, 29, 30, 34, 69, 253, 254, 255]);
      buffer[at + 1] = rng.pick([0, 1, 2, 3, 18, 40, 255]);
      return 2;
    case 9:
      buffer[at] = rng.below(9);
      buffer[at + 1] = rng.u32();
      return 2;
    default:
      buffer[at] = 1;
      buffer[at + 1] = 1;
      return 2 + stamp(rng, n, at + 2);
  }
}

function stamp(rng: Rng, n: Numbers, at: number): number {
  buffer[at] = 8;
  buffer[at + 1] = 10;
  view.setUint32(at + 2, n.ts + rng.pick([0, 0, 0, 1, 1, 100, -1, -100, 0x7fffffff, 0x80000000]));
  view.setUint32(at + 6, rng.chance(0.5) ? n.ts : rng.u32());
  return 10;
}

/** Options as a peer has them that agreed on timestamps, or anything. */
export function anyOptions(rng: Rng, n: Numbers): Uint8Array {
  buffer.fill(0);
  let at = 0;
  if (rng.chance(0.7)) {
    if (n.stamps) {
      buffer[0] = buffer[1] = 1;
      at = 2 + stamp(rng, n, 2);
    }
    if (rng.chance(0.6)) return buffer.slice(0, at);
  }
  for (let i = rng.below(5); i > 0 && at < MOST - 4; i--) at += put(rng, n, at);
  return buffer.slice(0, Math.min(MOST, (at + 3) & ~3));
}

/** The timestamps option alone, with this value. */
export function stamped(ts: number): Uint8Array {
  buffer[0] = buffer[1] = 1;
  buffer[2] = 8;
  buffer[3] = 10;
  view.setUint32(4, ts);
  view.setUint32(8, 0);
  return buffer.slice(0, 12);
}
