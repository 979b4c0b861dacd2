/** Packets by hand, with right checksums, and the reverse: what a packet says, and whether its checksums hold. */
import { formatIp, parseIp, parseMac } from '../../host/wire/address.js';

export interface PacketFields {
  src?: string;
  dst?: string;
  protocol?: 'tcp' | 'udp' | 'icmp';
  sport?: number;
  dport?: number;
  /** TCP flags; 2 = SYN, 16 = ACK. */
  flags?: number;
  /** TCP's numbers. Default 1 and 2. */
  seq?: number;
  ack?: number;
  ttl?: number;
  /** ICMP type and code. */
  type?: number;
  code?: number;
  payload?: Uint8Array;
  /** VLAN ids, outermost first. */
  vlans?: number[];
  dmac?: string;
  smac?: string;
  /** IPv4 header word 3: flags and offset. */
  fragment?: number;
}

const PROTOCOL = { tcp: 6, udp: 17, icmp: 1 } as const;
const be16 = (n: number): number[] => [(n >> 8) & 255, n & 255];
const be32 = (n: number): number[] => [...be16(n >>> 16), ...be16(n)];

/** Ones' complement sum, folded and complemented. */
export function checksum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let i = 0; i < part.length; i += 2) sum += (part[i] << 8) | (part[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function pseudo(src: Uint8Array, dst: Uint8Array, length: number, protocol: number): Uint8Array {
  return src.length === 4
    ? Uint8Array.from([...src, ...dst, 0, protocol, ...be16(length)])
    : Uint8Array.from([...src, ...dst, 0, 0, ...be16(length), 0, 0, 0, protocol]);
}

const checkAt = { 6: 16, 17: 6, 1: 2, 58: 2 } as Record<number, number>;

function transport(f: PacketFields, src: Uint8Array, dst: Uint8Array, protocol: number): Uint8Array {
  const payload = f.payload ?? new Uint8Array(18);
  const ports = [...be16(f.sport ?? 40000), ...be16(f.dport ?? 80)];
  let head: number[];
  if (protocol === 6)
    head = [
      ...ports,
      ...be32(f.seq ?? 1),
      ...be32(f.ack ?? 2),
      ...[0x50, f.flags ?? 16, 0xff, 0xff, 0, 0, 0, 0],
    ];
  else if (protocol === 17) head = [...ports, ...be16(8 + payload.length), 0, 0];
  else head = [f.type ?? 8, f.code ?? 0, 0, 0, ...be16(f.sport ?? 40000), 0, 1];
  const bytes = Uint8Array.from([...head, ...payload]);
  const sum = protocol === 1 ? checksum(bytes) : checksum(pseudo(src, dst, bytes.length, protocol), bytes);
  bytes.set(be16(protocol === 17 && sum === 0 ? 0xffff : sum), checkAt[protocol]);
  return bytes;
}

/** An Ethernet frame. Family by the source address. */
export function packet(f: PacketFields = {}): Uint8Array {
  const src = parseIp(f.src ?? '10.0.0.1');
  const dst = parseIp(f.dst ?? '10.0.0.2');
  const v6 = src.length === 16;
  const name = f.protocol ?? 'tcp';
  const protocol = name === 'icmp' && v6 ? 58 : PROTOCOL[name];
  const l4 = transport(f, src, dst, protocol);
  const ttl = f.ttl ?? 64;
  let ip: Uint8Array;
  if (v6) ip = Uint8Array.from([0x60, 0, 0, 0, ...be16(l4.length), protocol, ttl, ...src, ...dst]);
  else {
    ip = Uint8Array.from([
      0x45,
      0,
      ...be16(20 + l4.length),
      0,
      1,
      ...be16(f.fragment ?? 0),
      ttl,
      protocol,
      0,
      0,
      ...src,
      ...dst,
    ]);
    ip.set(be16(checksum(ip)), 10);
  }
  const tags = (f.vlans ?? []).flatMap(id => [0x81, 0x00, ...be16(id)]);
  return Uint8Array.from([
    ...parseMac(f.dmac ?? '02:00:00:00:00:02'),
    ...parseMac(f.smac ?? '02:00:00:00:00:01'),
    ...tags,
    ...(v6 ? [0x86, 0xdd] : [0x08, 0x00]),
    ...ip,
    ...l4,
  ]);
}

export interface Seen {
  src: string;
  dst: string;
  protocol: number;
  sport: number;
  dport: number;
  ttl: number;
  dmac: string;
  smac: string;
  vlans: number[];
  /** Whether every checksum in it is right. */
  sound: boolean;
  /** Bytes after the IP header. */
  l4: Uint8Array;
}

const mac = (b: Uint8Array): string => [...b].map(x => x.toString(16).padStart(2, '0')).join(':');

/** Reads an IP packet again, from the link header or, with `at`, from an IP header on. */
export function read(frame: Uint8Array, at?: number): Seen {
  let ip = at ?? 14;
  const vlans: number[] = [];
  if (at === undefined)
    while (frame[ip - 2] === 0x81 && frame[ip - 1] === 0) {
      vlans.push(((frame[ip] << 8) | frame[ip + 1]) & 0xfff);
      ip += 4;
    }
  const v6 = frame[ip] >> 4 === 6;
  const word = (i: number): number => (frame[i] << 8) | frame[i + 1];
  const head = v6 ? 40 : (frame[ip] & 15) * 4;
  const end = ip + (v6 ? 40 + word(ip + 4) : word(ip + 2));
  const src = frame.slice(ip + (v6 ? 8 : 12), ip + (v6 ? 24 : 16));
  const dst = frame.slice(ip + (v6 ? 24 : 16), ip + (v6 ? 40 : 20));
  const protocol = frame[ip + (v6 ? 6 : 9)];
  const l4 = frame.slice(ip + head, end);
  let sound = v6 || checksum(frame.subarray(ip, ip + head)) === 0;
  if (protocol === 1) sound &&= checksum(l4) === 0;
  else if (checkAt[protocol] && !(protocol === 17 && l4[6] === 0 && l4[7] === 0))
    sound &&= checksum(pseudo(src, dst, l4.length, protocol), l4) === 0;
  return {
    src: formatIp(src),
    dst: formatIp(dst),
    protocol,
    sport: protocol === 1 ? (l4[4] << 8) | l4[5] : (l4[0] << 8) | l4[1],
    dport: (l4[2] << 8) | l4[3],
    ttl: frame[ip + (v6 ? 7 : 8)],
    dmac: mac(frame.subarray(0, 6)),
    smac: mac(frame.subarray(6, 12)),
    vlans,
    sound,
    l4,
  };
}
