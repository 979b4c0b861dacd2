/** Homa packets as somebody hostile makes them: every type, fields at their edges, ids that exist, or nearly. */
import { buildHoma, type HomaPacket, HomaType, type HomaTypeName } from '../../../host/wire/homa.js';
import type { Rng } from '../../support/fuzz.js';
import { checksum } from '../../support/packets.js';
import { homaFrame } from '../packets.js';

/** What is known of a call that is under way. */
export interface Known {
  /** As the client counts it. */
  id: bigint;
  client: string;
  server: string;
  clientPort: number;
  serverPort: number;
}

const TYPES = Object.keys(HomaType) as HomaTypeName[];
const LENGTHS = [
  0,
  1,
  31,
  32,
  100,
  1424,
  1425,
  4096,
  40_000,
  40_001,
  999_999,
  1_000_000,
  1_000_001,
  2 ** 31,
  2 ** 32 - 1,
];
const at = (rng: Rng): number =>
  rng.chance(0.6) ? rng.pick(LENGTHS) : rng.chance(0.5) ? rng.below(70_000) : rng.u32();

/** An id that is the call's, of the call before or after it, of another slot, or anything. */
function idNear(rng: Rng, id: bigint): bigint {
  const near = [id, id, id, id, id + (1n << 25n), id - (1n << 25n), id + 2n, id ^ (1n << 62n), rng.u64()];
  return BigInt.asUintN(64, rng.pick(near));
}

function body(
  rng: Rng,
  type: HomaTypeName,
  common: { sport: number; dport: number; senderId: bigint },
): HomaPacket {
  const { u32 } = { u32: at(rng) };
  switch (type) {
    case 'DATA': {
      const total = at(rng);
      const payload = rng.bytes(rng.chance(0.5) ? Math.min(total, rng.below(1400)) : rng.below(1400));
      const offset = rng.chance(0.5) ? 0 : rng.chance(0.5) ? Math.max(0, total - payload.length) : at(rng);
      const ack = { clientId: common.senderId, serverPort: common.dport };
      const more = { cutoffVersion: rng.below(3), retransmit: rng.chance(0.2), offset, payload };
      return {
        type,
        ...common,
        messageLength: total,
        incoming: at(rng),
        ...(rng.chance(0.2) && { ack }),
        ...more,
      };
    }
    case 'GRANT':
      return { type, ...common, offset: u32, priority: rng.below(256) };
    case 'RESEND':
      return { type, ...common, offset: at(rng), length: at(rng), priority: rng.below(256) };
    case 'CUTOFFS':
      return {
        type,
        ...common,
        cutoffs: Array.from({ length: 8 }, () => at(rng)),
        cutoffVersion: rng.below(4),
      };
    case 'ACK':
      return {
        type,
        ...common,
        acks: Array.from({ length: rng.below(6) }, () => ({
          clientId: idNear(rng, common.senderId),
          serverPort: common.dport,
        })),
      };
    default:
      return { type, ...common };
  }
}

/** A frame about that call, to its server or to its client. */
export function forge(rng: Rng, known: Known, toServer: boolean): Uint8Array {
  const id = idNear(rng, known.id);
  const any = (port: number): number => (rng.chance(0.05) ? rng.below(65536) : port);
  const common = toServer
    ? { sport: any(known.clientPort), dport: any(known.serverPort), senderId: id }
    : { sport: any(known.serverPort), dport: any(known.clientPort), senderId: id ^ 1n };
  const packet = body(rng, rng.pick(TYPES), common);
  const ends = toServer ? { src: known.client, dst: known.server } : { src: known.server, dst: known.client };
  const frame = homaFrame(packet, ends);
  const header = frame[12] === 0x86 ? 54 : 34;
  // Of our own kind: how much has come without a gap.
  if (rng.chance(0.3)) new DataView(frame.buffer).setUint32(header + 4, at(rng));
  if (rng.chance(0.1)) frame[header + 13] = rng.below(256);
  const cut = rng.chance(0.1) ? rng.below(buildHoma(packet).length) : 0;
  const out = cut ? frame.slice(0, frame.length - cut) : frame;
  mend(out);
  if (rng.chance(0.6)) seal(out);
  return out;
}

/** Makes lengths and sum of IP right: what is broken there is not what is looked at here. */
export function mend(frame: Uint8Array): void {
  const dv = new DataView(frame.buffer, frame.byteOffset, frame.length);
  if (frame.length >= 54 && frame[12] === 0x86) dv.setUint16(18, frame.length - 54);
  if (frame.length < 34 || frame[12] !== 8) return;
  dv.setUint16(16, frame.length - 14);
  dv.setUint16(24, 0);
  dv.setUint16(24, checksum(frame.subarray(14, 34)));
}

/** Makes the checksum right that HomaModule does not have. */
export function seal(frame: Uint8Array): void {
  const header = frame[12] === 0x86 ? 54 : 34;
  if (frame.length < header + 28) return;
  const dv = new DataView(frame.buffer, frame.byteOffset, frame.length);
  const ends = header === 54 ? frame.subarray(22, 54) : frame.subarray(26, 34);
  const pseudo = new Uint8Array(ends.length + 4);
  pseudo.set(ends);
  pseudo[ends.length + 1] = 146;
  new DataView(pseudo.buffer).setUint16(ends.length + 2, frame.length - header);
  dv.setUint16(header + 16, 0);
  const sum = checksum(pseudo, frame.subarray(header));
  dv.setUint16(header + 16, sum || 0xffff);
}
