/**
 * Homa as HomaModule has it: what its packets are, from bytes to objects and back. For tests, traces and people; programs
 * have bpf-progs/transports/homa/wire.h, which a test compares with this. Layouts: HomaModule homa_wire.h (9edb958).
 *
 *   0      2      4         8       11     12   13    14      16      18      20            28
 *  ┌──────┬──────┬─────────┬────────┬──────┬────┬─────┬───────┬───────┬───────┬─────────────┬──────────────────┈
 *  │sport │dport │sequence │ mark   │ type │doff│flags│window │ csum  │urgent │ sender_id   │ by type: FIELDS  │ data
 *  └──────┴──────┴─────────┴────────┴──────┴────┴─────┴───────┴───────┴───────┴─────────────┴──────────────────┈
 *
 * Shaped like TCP's header, so that cards cut large packets alike; everything big-endian. HomaModule has no checksum, and does not
 * use the mark: where it is HOMA_MARK, `sequence` of control packets, `flags` and `checksum` mean what our programs say; without it
 * they mean nothing, for versions of HomaModule leave them unset, whatever was there before.
 */
import { EtherloomError } from '../errors.js';
import { type Dissected, type Problem, Span } from './layer.js';

/** IP protocol. */
export const HOMA_PROTOCOL = 146;

export const HomaType = {
  DATA: 0x10,
  GRANT: 0x11,
  RESEND: 0x12,
  RPC_UNKNOWN: 0x13,
  BUSY: 0x14,
  CUTOFFS: 0x15,
  FREEZE: 0x16,
  NEED_ACK: 0x17,
  ACK: 0x18,
} as const;
export type HomaTypeName = keyof typeof HomaType;

/** "elm", in three bytes that HomaModule does not use: the sender is of our kind (HOMA_MARK_0 … 2 of wire.h). */
export const HOMA_MARK = 0x656c6d;
/** RPCs that one ACK packet can name. */
export const HOMA_ACKS = 5;
/** Longest message, bytes. */
export const HOMA_MAX_MESSAGE = 1_000_000;
/** RESEND's length when everything is wanted. */
export const HOMA_RESEND_ALL = 0xffffffff;
/** From here on ports are clients'. */
export const HOMA_CLIENT_PORTS = 0x8000;

/** A field: name, offset from the first byte of the Homa header, bytes. Names as HomaModule's. */
type Place = readonly [name: string, at: number, bytes: 1 | 2 | 3 | 4 | 8];

/** What every packet begins with. */
export const COMMON: readonly Place[] = [
  ['sport', 0, 2],
  ['dport', 2, 2],
  ['sequence', 4, 4],
  ['mark', 8, 3],
  ['type', 11, 1],
  ['doff', 12, 1],
  ['flags', 13, 1],
  ['window', 14, 2],
  ['checksum', 16, 2],
  ['urgent', 18, 2],
  ['sender_id', 20, 8],
];
export const COMMON_SIZE = 28;

/** { client_id, server_port }: an RPC whose response the client has. */
export const ACK_SIZE = 10;
/** Where the ACK packet's list begins. */
export const ACKS_AT = 30;

/** What follows the common header, by type, and the size of the whole header. */
export const FIELDS: Record<HomaTypeName, { size: number; fields: readonly Place[] }> = {
  DATA: {
    size: 56,
    fields: [
      ['message_length', 28, 4],
      ['incoming', 32, 4],
      ['client_id', 36, 8],
      ['server_port', 44, 2],
      ['cutoff_version', 46, 2],
      ['retransmit', 48, 1],
      // 3 bytes of padding: the part before the segment is a multiple of 4.
      ['offset', 52, 4],
    ],
  },
  GRANT: {
    size: 33,
    fields: [
      ['offset', 28, 4],
      ['priority', 32, 1],
    ],
  },
  RESEND: {
    size: 37,
    fields: [
      ['offset', 28, 4],
      ['length', 32, 4],
      ['priority', 36, 1],
    ],
  },
  RPC_UNKNOWN: { size: 28, fields: [] },
  BUSY: { size: 28, fields: [] },
  CUTOFFS: {
    size: 62,
    fields: [
      ...Array.from({ length: 8 }, (_, i): Place => [`unsched_cutoffs[${i}]`, 28 + 4 * i, 4]),
      ['cutoff_version', 60, 2],
    ],
  },
  FREEZE: { size: 28, fields: [] },
  NEED_ACK: { size: 28, fields: [] },
  ACK: { size: ACKS_AT + HOMA_ACKS * ACK_SIZE, fields: [['num_acks', 28, 2]] },
};

/** doff of DATA: words before the segment header, in the upper four bits. Of all others: five words. */
const DATA_DOFF = (52 >> 2) << 4;
const OTHER_DOFF = 5 << 4;

/** What every packet says. */
export interface HomaCommon {
  sport: number;
  dport: number;
  /** RPC as the sender counts it: even at the client, + 1 at the server. */
  senderId: bigint;
  /** DATA: offset of its first byte in the message, as TCP's sequence number. Default: DATA's `offset`, else 0. */
  sequence?: number;
  /** It has HOMA_MARK. */
  marked?: true;
  /** Of BUSY and RPC_UNKNOWN: bpf-progs/transports/homa/reply.h. Default: none. */
  flags?: number;
}

/** An RPC whose response the client has: the server may forget it. A client id of 0 is none. */
export interface HomaAck {
  clientId: bigint;
  serverPort: number;
}

export interface HomaData extends HomaCommon {
  type: 'DATA';
  messageLength: number;
  /** Bytes that the sender sends without being asked. */
  incoming: number;
  ack?: HomaAck;
  cutoffVersion: number;
  retransmit: boolean;
  offset: number;
  payload: Uint8Array;
}

export interface HomaGrant extends HomaCommon {
  type: 'GRANT';
  /** Bytes up to here may be sent. */
  offset: number;
  priority: number;
}

export interface HomaResend extends HomaCommon {
  type: 'RESEND';
  offset: number;
  /** HOMA_RESEND_ALL: all of it, nothing of the message is known. */
  length: number;
  priority: number;
}

export interface HomaBare extends HomaCommon {
  type: 'RPC_UNKNOWN' | 'BUSY' | 'FREEZE' | 'NEED_ACK';
}

export interface HomaCutoffs extends HomaCommon {
  type: 'CUTOFFS';
  /** Longest message of each priority, lowest first. */
  cutoffs: readonly number[];
  cutoffVersion: number;
}

export interface HomaAcks extends HomaCommon {
  type: 'ACK';
  acks: readonly HomaAck[];
}

export type HomaPacket = HomaData | HomaGrant | HomaResend | HomaBare | HomaCutoffs | HomaAcks;

const NAMES = new Map<number, HomaTypeName>(
  Object.entries(HomaType).map(([name, n]) => [n, name as HomaTypeName]),
);

/** Header and payload of a packet. @throws EtherloomError ERR_HOMA_PACKET for what no header can say */
export function buildHoma(p: HomaPacket): Uint8Array {
  const { size, fields } = FIELDS[p.type];
  const payload = p.type === 'DATA' ? p.payload : new Uint8Array();
  const bytes = new Uint8Array(size + payload.length);
  const dv = new DataView(bytes.buffer);
  const put = (places: readonly Place[], values: Record<string, number | bigint>): void => {
    for (const [name, at, width] of places) {
      const value = BigInt(values[name] ?? 0);
      if (value < 0n || value >= 1n << BigInt(8 * width))
        throw new EtherloomError('ERR_HOMA_PACKET', `${p.type}: ${name} ${value}`, {
          expected: `a number of ${8 * width} bits`,
        });
      for (let i = 0; i < width; i++)
        dv.setUint8(at + i, Number((value >> BigInt(8 * (width - 1 - i))) & 255n));
    }
  };
  put(COMMON, {
    sport: p.sport,
    dport: p.dport,
    sequence: p.sequence ?? (p.type === 'DATA' ? p.offset : 0),
    mark: p.marked ? HOMA_MARK : 0,
    type: HomaType[p.type],
    flags: p.flags ?? 0,
    doff: p.type === 'DATA' ? DATA_DOFF : OTHER_DOFF,
    sender_id: p.senderId,
  });
  switch (p.type) {
    case 'DATA':
      put(fields, {
        message_length: p.messageLength,
        incoming: p.incoming,
        client_id: p.ack?.clientId ?? 0n,
        server_port: p.ack?.serverPort ?? 0,
        cutoff_version: p.cutoffVersion,
        retransmit: p.retransmit ? 1 : 0,
        offset: p.offset,
      });
      bytes.set(payload, size);
      break;
    case 'GRANT':
      put(fields, { offset: p.offset, priority: p.priority });
      break;
    case 'RESEND':
      put(fields, { offset: p.offset, length: p.length, priority: p.priority });
      break;
    case 'CUTOFFS':
      put(fields, {
        ...Object.fromEntries(p.cutoffs.map((c, i) => [`unsched_cutoffs[${i}]`, c])),
        cutoff_version: p.cutoffVersion,
      });
      break;
    case 'ACK':
      if (p.acks.length > HOMA_ACKS)
        throw new EtherloomError('ERR_HOMA_PACKET', `ACK of ${p.acks.length} RPCs`, {
          expected: `at most ${HOMA_ACKS}`,
        });
      put(fields, { num_acks: p.acks.length });
      for (const [i, ack] of p.acks.entries()) {
        const at = ACKS_AT + i * ACK_SIZE;
        put(
          [
            ['client_id', at, 8],
            ['server_port', at + 8, 2],
          ],
          { client_id: ack.clientId, server_port: ack.serverPort },
        );
      }
  }
  return bytes;
}

const u64 = (s: Span, at: number): bigint => (BigInt(s.u32(at)) << 32n) | BigInt(s.u32(at + 4));
const ackAt = (s: Span, at: number): HomaAck => ({ clientId: u64(s, at), serverPort: s.u16(at + 8) });

/**
 * What the bytes behind an IP header say, up to the end of the packet; else why they say nothing: too short for their
 * type, a type that Homa has not, or numbers that contradict each other (more bytes than the message has, more RPCs than
 * an ACK can name).
 */
export function parseHoma(bytes: Uint8Array | Span): HomaPacket | { problem: Problem } {
  const s = bytes instanceof Span ? bytes : new Span(bytes);
  if (s.length < COMMON_SIZE) return { problem: 'TRUNCATED' };
  const type = NAMES.get(s.u8(11));
  if (!type) return { problem: 'BAD_TYPE' };
  const { size } = FIELDS[type];
  if (s.length < size) return { problem: 'TRUNCATED' };
  const marked = s.u32(8) >>> 8 === HOMA_MARK;
  const common = {
    ...{ sport: s.u16(0), dport: s.u16(2), sequence: s.u32(4), senderId: u64(s, 20) },
    ...(marked ? { marked } : {}),
    ...(s.u8(13) ? { flags: s.u8(13) } : {}),
  };
  switch (type) {
    case 'DATA': {
      const [messageLength, offset] = [s.u32(28), s.u32(52)];
      const payload = s.take(size, s.length - size);
      if (offset + payload.length > messageLength) return { problem: 'BAD_LENGTH' };
      return {
        type,
        ...common,
        messageLength,
        incoming: s.u32(32),
        ack: ackAt(s, 36),
        cutoffVersion: s.u16(46),
        retransmit: s.u8(48) !== 0,
        offset,
        payload,
      };
    }
    case 'GRANT':
      return { type, ...common, offset: s.u32(28), priority: s.u8(32) };
    case 'RESEND':
      return { type, ...common, offset: s.u32(28), length: s.u32(32), priority: s.u8(36) };
    case 'CUTOFFS': {
      const cutoffs = Array.from({ length: 8 }, (_, i) => s.u32(28 + 4 * i));
      return { type, ...common, cutoffs, cutoffVersion: s.u16(60) };
    }
    case 'ACK': {
      const count = s.u16(28);
      if (count > HOMA_ACKS) return { problem: 'BAD_LENGTH' };
      const acks = Array.from({ length: count }, (_, i) => ackAt(s, ACKS_AT + i * ACK_SIZE));
      return { type, ...common, acks };
    }
    default:
      return { type, ...common };
  }
}

const resent = (p: HomaResend): string =>
  p.length === HOMA_RESEND_ALL ? 'all' : `${p.offset}:${p.offset + p.length}`;

function details(p: HomaPacket): string[] {
  switch (p.type) {
    case 'DATA':
      return [
        `${p.offset}:${p.offset + p.payload.length} of ${p.messageLength}`,
        `incoming ${p.incoming}`,
        ...(p.ack?.clientId ? [`acks ${p.ack.clientId}`] : []),
        ...(p.retransmit ? ['again'] : []),
      ];
    case 'GRANT':
      return [`up to ${p.offset}`, `priority ${p.priority}`];
    case 'RESEND':
      return [resent(p), `priority ${p.priority}`];
    case 'CUTOFFS':
      return [`version ${p.cutoffVersion}`, p.cutoffs.join(' ')];
    case 'ACK':
      return [p.acks.map(a => a.clientId).join(' ') || 'none'];
    default:
      return [];
  }
}

/** As a layer of a trace; undefined for what is no Homa packet. */
export function dissectHoma(s: Span): Dissected | undefined {
  const p = parseHoma(s);
  if ('problem' in p) return undefined;
  const { sport: srcPort, dport: dstPort, type, senderId } = p;
  const text = [`${srcPort} > ${dstPort}`, type, `rpc ${senderId}`, ...details(p)].join(', ');
  return { layer: { name: 'homa', at: s.at, fields: { srcPort, dstPort, type, senderId }, text } };
}
