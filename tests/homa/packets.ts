/** Homa packets for tests: one of each kind with no two bytes alike where it counts, and frames that carry them. */

import { parseIp, parseMac } from '../../host/wire/address.js';
import { buildHoma, HOMA_PROTOCOL, HOMA_RESEND_ALL, type HomaPacket } from '../../host/wire/homa.js';
import { checksum } from '../support/packets.js';

const toServer = { sport: 0x8123, dport: 99, senderId: 0x1122334455667788n };
const toClient = { sport: 99, dport: 0x8123, senderId: 0x1122334455667789n };

/** One packet of every type. */
export const EACH: readonly HomaPacket[] = [
  {
    type: 'DATA',
    ...toServer,
    messageLength: 512_345,
    incoming: 40_000,
    ack: { clientId: 0x0102030405060708n, serverPort: 0x1a2b },
    cutoffVersion: 0x5566,
    retransmit: true,
    offset: 38_880,
    payload: Uint8Array.from({ length: 100 }, (_, i) => i),
  },
  { type: 'GRANT', ...toClient, offset: 0x000a0b0c, priority: 3 },
  { type: 'RESEND', ...toClient, offset: 1400, length: 2800, priority: 7 },
  { type: 'RPC_UNKNOWN', ...toClient },
  { type: 'BUSY', ...toClient },
  {
    type: 'CUTOFFS',
    ...toClient,
    cutoffs: [0x7fffffff, 1_000_000, 900_000, 800_000, 700_000, 15_000, 2800, 200],
    cutoffVersion: 17,
  },
  { type: 'FREEZE', ...toServer },
  { type: 'NEED_ACK', ...toClient },
  {
    type: 'ACK',
    ...toServer,
    acks: [
      { clientId: 2n, serverPort: 99 },
      { clientId: 0xfffffffffffffffen, serverPort: 100 },
      { clientId: 6n, serverPort: 101 },
    ],
  },
];

/** Packets at the edges of their fields. */
export const EDGES: readonly HomaPacket[] = [
  {
    type: 'DATA',
    sport: 0xffff,
    dport: 0,
    senderId: 0xffffffffffffffffn,
    messageLength: 0,
    incoming: 0,
    cutoffVersion: 0,
    retransmit: false,
    offset: 0,
    payload: new Uint8Array(),
  },
  { type: 'RESEND', ...toServer, offset: 0, length: HOMA_RESEND_ALL, priority: 0 },
  { type: 'ACK', ...toServer, acks: [] },
  {
    type: 'ACK',
    ...toServer,
    acks: Array.from({ length: 5 }, (_, i) => ({ clientId: BigInt(2 * i + 2), serverPort: i })),
  },
  { type: 'BUSY', ...toClient, marked: true, flags: 0x20 },
];

export interface FrameFields {
  src?: string;
  dst?: string;
  /** Class 0 … 7, in the DSCP; with `tagged` in an 802.1Q tag instead. */
  priority?: number;
  tagged?: boolean;
}

const be16 = (n: number): number[] => [n >> 8, n & 255];

/** The packet in a frame, IPv4 or IPv6 by its addresses. */
export function homaFrame(packet: HomaPacket, f: FrameFields = {}): Uint8Array {
  const homa = buildHoma(packet);
  const [src, dst] = [parseIp(f.src ?? '10.0.0.1'), parseIp(f.dst ?? '10.0.0.2')];
  const priority = f.priority ?? 0;
  const tos = f.tagged ? 0 : priority << 5;
  const tag = f.tagged ? [0x81, 0, ...be16(priority << 13)] : [];
  const macs = [...parseMac('02:00:00:00:00:02'), ...parseMac('02:00:00:00:00:01')];
  if (src.length === 16)
    return Uint8Array.from([
      ...macs,
      ...tag,
      ...[0x86, 0xdd, 0x60 | (tos >> 4), (tos & 15) << 4, 0, 0],
      ...be16(homa.length),
      ...[HOMA_PROTOCOL, 64],
      ...src,
      ...dst,
      ...homa,
    ]);
  const ip = Uint8Array.from([
    ...[0x45, tos, ...be16(20 + homa.length), 0, 0, 0x40, 0, 64, HOMA_PROTOCOL, 0, 0],
    ...src,
    ...dst,
  ]);
  ip.set(be16(checksum(ip)), 10);
  return Uint8Array.from([...macs, ...tag, 8, 0, ...ip, ...homa]);
}
