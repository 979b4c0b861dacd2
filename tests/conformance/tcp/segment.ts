/**
 * TCP segments as scripts see them: made into IP packets with right checksums (or wrong ones, when asked), and read
 * from packets by the dissectors of host/wire. Everything here is absolute; flow.ts makes numbers relative.
 */
import { parseIp } from '../../../host/wire/address.js';
import { dissect } from '../../../host/wire/frame.js';
import { Span } from '../../../host/wire/layer.js';
import { EtherType, IpProto, Ipv4, Ipv6, Tcp, TcpFlag, TcpOption } from '../../../host/wire/layout.gen.js';
import { tcpOptions } from '../../../host/wire/tcp.js';
import { checksum } from '../../support/packets.js';

/** Options in the order in which they stand on the wire. */
export interface Options {
  mss?: number;
  wscale?: number;
  sackOk?: true;
  /** TSval and TSecr. */
  ts?: [val: number, ecr: number];
  /** Left and right edges. */
  sack?: [from: number, to: number][];
  /** Bytes as they are, behind the others; sent only. */
  raw?: number[];
}

export interface Segment {
  srcPort: number;
  dstPort: number;
  seq: number;
  ack: number;
  flags: number;
  window: number;
  urgent: number;
  options: Options;
  payload: Uint8Array;
  /** Codepoint of RFC 3168: 0 not-ECT, 1 ECT(1), 2 ECT(0), 3 CE. */
  ecn: number;
}

/** What is made wrong on purpose. */
export interface Damage {
  /** Added to the right checksum. */
  checksum?: number;
  /** Written instead of the right data offset, in words. */
  dataOffset?: number;
  /** Bytes of TCP that remain; the IP length says so, too. */
  cut?: number;
}

/** Addresses of the two ends of a packet. */
export interface Ends {
  src: string;
  dst: string;
}

/** Names of the flags as scripts write them, in the order in which they are printed. */
const FLAGS = ['SYN', 'FIN', 'RST', 'PSH', 'URG', 'ECE', 'CWR', 'ACK'] as const;

/** `SYN ACK` → 0x12. @throws Error for a word that is no flag */
export function flagBits(words: string): number {
  let bits = 0;
  for (const word of words.split(' ').filter(Boolean)) {
    const bit = TcpFlag[word as keyof typeof TcpFlag];
    if (bit === undefined) throw new Error(`"${word}" is no TCP flag: ${FLAGS.join(' ')}`);
    bits |= bit;
  }
  return bits;
}

export const flagWords = (bits: number): string =>
  FLAGS.filter(f => bits & TcpFlag[f]).join(' ') || 'no flags';

const be16 = (n: number): number[] => [(n >>> 8) & 255, n & 255];
const be32 = (n: number): number[] => [...be16(n >>> 16), ...be16(n)];

function optionBytes(options: Options): number[] {
  const out: number[] = [];
  for (const name of Object.keys(options) as (keyof Options)[]) {
    if (options[name] === undefined) continue;
    if (name === 'mss') out.push(TcpOption.MSS, 4, ...be16(options.mss!));
    else if (name === 'wscale') out.push(TcpOption.WSCALE, 3, options.wscale!);
    else if (name === 'sackOk') out.push(TcpOption.SACK_PERMITTED, 2);
    else if (name === 'ts') out.push(TcpOption.TIMESTAMP, 10, ...options.ts!.flatMap(be32));
    else if (name === 'sack')
      out.push(TcpOption.SACK, 2 + options.sack!.length * 8, ...options.sack!.flat().flatMap(be32));
  }
  out.push(...(options.raw ?? []));
  while (out.length % 4) out.push(TcpOption.NOP);
  return out;
}

const pseudo = (src: Uint8Array, dst: Uint8Array, length: number, protocol: number): Uint8Array =>
  Uint8Array.from(
    src.length === 4
      ? [...src, ...dst, 0, protocol, ...be16(length)]
      : [...src, ...dst, ...be32(length), 0, 0, 0, protocol],
  );

let packetId = 1;

/** An IP packet with a payload whose checksum field lies at `checkAt`. */
export function ipPacket(
  ends: Ends,
  protocol: number,
  payload: Uint8Array,
  options: { ecn?: number; checkAt?: number; checkError?: number } = {},
): Uint8Array {
  const src = parseIp(ends.src);
  const dst = parseIp(ends.dst);
  if (options.checkAt !== undefined && payload.length >= options.checkAt + 2) {
    payload.set([0, 0], options.checkAt);
    const right =
      protocol === IpProto.ICMP
        ? checksum(payload)
        : checksum(pseudo(src, dst, payload.length, protocol), payload);
    payload.set(be16((right + (options.checkError ?? 0)) & 0xffff), options.checkAt);
  }
  const packet = new Uint8Array((src.length === 4 ? Ipv4.size : Ipv6.size) + payload.length);
  if (src.length === 4) {
    packet.set([
      0x45,
      options.ecn ?? 0,
      ...be16(packet.length),
      ...be16(packetId++),
      0,
      0,
      64,
      protocol,
      0,
      0,
    ]);
    packet.set([...src, ...dst], Ipv4.src);
    packet.set(be16(checksum(packet.subarray(0, Ipv4.size))), Ipv4.checksum);
  } else {
    packet.set([0x60, (options.ecn ?? 0) << 4, 0, 0, ...be16(payload.length), protocol, 64, ...src, ...dst]);
  }
  packet.set(payload, packet.length - payload.length);
  return packet;
}

/** The packet of a segment. */
export function encode(ends: Ends, s: Segment, damage: Damage = {}): Uint8Array {
  const options = optionBytes(s.options);
  const words = damage.dataOffset ?? (Tcp.size + options.length) / 4;
  const whole = Uint8Array.from([
    ...be16(s.srcPort),
    ...be16(s.dstPort),
    ...be32(s.seq),
    ...be32(s.ack),
    (words & 15) << 4,
    s.flags,
    ...be16(s.window),
    0,
    0,
    ...be16(s.urgent),
    ...options,
    ...s.payload,
  ]);
  const bytes = damage.cut === undefined ? whole : whole.slice(0, damage.cut);
  return ipPacket(ends, IpProto.TCP, bytes, {
    ecn: s.ecn,
    checkAt: Tcp.checksum,
    checkError: damage.checksum ?? 0,
  });
}

/** A packet that arrived, read as far as it can be. */
export interface Decoded {
  ends: Ends;
  segment?: Segment;
  /** Type and code of an ICMP or ICMPv6 message. */
  icmp?: { type: number; code: number };
  /** What is wrong with it on the wire: bad checksums, damaged headers, reserved bits. */
  faults: string[];
  /** As host/wire prints it. */
  text: string;
}

function readOptions(tcp: Span, header: number): Options {
  const read: Options = {};
  for (const { kind, at, bytes } of tcpOptions(tcp, header).options) {
    if (kind === TcpOption.MSS && bytes === 4) read.mss = tcp.u16(at + 2);
    else if (kind === TcpOption.WSCALE && bytes === 3) read.wscale = tcp.u8(at + 2);
    else if (kind === TcpOption.SACK_PERMITTED && bytes === 2) read.sackOk = true;
    else if (kind === TcpOption.TIMESTAMP && bytes === 10) read.ts = [tcp.u32(at + 2), tcp.u32(at + 6)];
    else if (kind === TcpOption.SACK && bytes % 8 === 2)
      read.sack = Array.from({ length: (bytes - 2) / 8 }, (_, i) => [
        tcp.u32(at + 2 + i * 8),
        tcp.u32(at + 6 + i * 8),
      ]);
  }
  return read;
}

/** Reads an IP packet. Undefined for what is neither TCP nor ICMP between two hosts (router solicitations and the like). */
export function decode(packet: Uint8Array): Decoded | undefined {
  const frame = new Uint8Array(14 + packet.length);
  frame.set(be16(packet[0] >> 4 === 6 ? EtherType.IPV6 : EtherType.IPV4), 12);
  frame.set(packet, 14);
  const layers = dissect(frame);
  const [, ip, top] = layers;
  if (!top || !['tcp', 'icmp', 'icmpv6'].includes(top.name)) return undefined;
  const faults = layers.flatMap(l => [
    ...(l.problem ? [`${l.name}: ${l.problem.toLowerCase()}`] : []),
    ...(l.fields.checksumOk === false ? [`${l.name}: bad checksum`] : []),
  ]);
  const decoded: Decoded = {
    ends: { src: String(ip.fields.src), dst: String(ip.fields.dst) },
    faults,
    text: top.text,
  };
  const f = top.fields as Record<string, number>;
  if (top.name !== 'tcp') return { ...decoded, icmp: { type: f.type, code: f.code } };
  if (top.problem) return decoded;
  const tcp = new Span(frame, top.at);
  if (tcp.u8(Tcp.dataOffset) & 15) faults.push('tcp: reserved bits are set');
  decoded.segment = {
    srcPort: f.srcPort,
    dstPort: f.dstPort,
    seq: f.seq,
    ack: f.ack,
    flags: f.flags,
    window: f.window,
    urgent: tcp.u16(Tcp.urgent),
    options: readOptions(tcp, f.header),
    payload: tcp.take(f.header, f.length),
    ecn: Number(ip.fields.tos ?? ip.fields.class) & 3,
  };
  return decoded;
}
