/**
 * The wire schema: headers on the wire as plain data, big-endian and packed. Offsets follow from the widths,
 * so they are said once for both sides: assembly/wire/ (the packet path) and host/wire/ (the printers).
 */
import type { ConstSchema, EnumSchema } from './schema.js';

export interface HeaderSchema {
  name: string;
  doc: string;
  /** Name and width in bytes, in order. */
  fields: [name: string, bytes: number][];
}

export const headers: HeaderSchema[] = [
  {
    name: 'Eth',
    doc: 'Ethernet II header, IEEE 802.3-2022 §3.1.1',
    fields: [
      ['dst', 6],
      ['src', 6],
      ['type', 2],
    ],
  },
  {
    name: 'Vlan',
    doc: 'What follows a tag protocol identifier: IEEE 802.1Q-2022 §9.6',
    fields: [
      ['tci', 2],
      ['type', 2],
    ],
  },
  {
    name: 'Arp',
    doc: 'ARP for Ethernet and IPv4, RFC 826',
    fields: [
      ['htype', 2],
      ['ptype', 2],
      ['hlen', 1],
      ['plen', 1],
      ['oper', 2],
      ['sha', 6],
      ['spa', 4],
      ['tha', 6],
      ['tpa', 4],
    ],
  },
  {
    name: 'Ipv4',
    doc: 'RFC 791 figure 4, without options',
    fields: [
      ['versionIhl', 1],
      ['tos', 1],
      ['totalLength', 2],
      ['id', 2],
      ['fragment', 2],
      ['ttl', 1],
      ['protocol', 1],
      ['checksum', 2],
      ['src', 4],
      ['dst', 4],
    ],
  },
  {
    name: 'Ipv6',
    doc: 'RFC 8200 §3',
    fields: [
      ['versionClassFlow', 4],
      ['payloadLength', 2],
      ['nextHeader', 1],
      ['hopLimit', 1],
      ['src', 16],
      ['dst', 16],
    ],
  },
  {
    name: 'Ipv6Ext',
    doc: 'What every IPv6 extension header begins with, RFC 6564 §4',
    fields: [
      ['nextHeader', 1],
      ['length', 1],
    ],
  },
  {
    name: 'Ipv6Fragment',
    doc: 'Fragment header, RFC 8200 §4.5',
    fields: [
      ['nextHeader', 1],
      ['reserved', 1],
      ['offset', 2],
      ['id', 4],
    ],
  },
  {
    name: 'Icmp',
    doc: 'RFC 792: common part, and the echo messages for the rest',
    fields: [
      ['type', 1],
      ['code', 1],
      ['checksum', 2],
      ['id', 2],
      ['seq', 2],
    ],
  },
  {
    name: 'Icmpv6',
    doc: 'RFC 4443 §2.1 and §4.1',
    fields: [
      ['type', 1],
      ['code', 1],
      ['checksum', 2],
      ['id', 2],
      ['seq', 2],
    ],
  },
  {
    name: 'Nd',
    doc: 'Neighbour solicitation and advertisement, RFC 4861 §4.3 and §4.4; options follow',
    fields: [
      ['type', 1],
      ['code', 1],
      ['checksum', 2],
      ['flags', 4],
      ['target', 16],
    ],
  },
  {
    name: 'Udp',
    doc: 'RFC 768',
    fields: [
      ['srcPort', 2],
      ['dstPort', 2],
      ['length', 2],
      ['checksum', 2],
    ],
  },
  {
    name: 'Tcp',
    doc: 'RFC 9293 figure 1, without options',
    fields: [
      ['srcPort', 2],
      ['dstPort', 2],
      ['seq', 4],
      ['ack', 4],
      ['dataOffset', 1],
      ['flags', 1],
      ['window', 2],
      ['checksum', 2],
      ['urgent', 2],
    ],
  },
];

export const wireEnums: EnumSchema[] = [
  {
    name: 'WireStatus',
    doc: 'What `check` says of a header. Everything but OK means: do not read it.',
    members: {
      OK: 0,
      TRUNCATED: 1,
      BAD_VERSION: 2,
      BAD_HEADER_LENGTH: 3,
      BAD_LENGTH: 4,
      BAD_OPTION: 5,
      BAD_TYPE: 6,
      TOO_MANY_HEADERS: 7,
    },
  },
  {
    name: 'EtherType',
    doc: 'IEEE 802 numbers (IANA)',
    members: { IPV4: 0x0800, ARP: 0x0806, VLAN: 0x8100, IPV6: 0x86dd, QINQ: 0x88a8 },
  },
  {
    name: 'IpProto',
    doc: 'Protocol numbers (IANA)',
    members: {
      HOPOPTS: 0,
      ICMP: 1,
      TCP: 6,
      UDP: 17,
      ROUTING: 43,
      FRAGMENT: 44,
      AH: 51,
      ICMPV6: 58,
      NONE: 59,
      DSTOPTS: 60,
      MOBILITY: 135,
      HOMA: 146,
    },
  },
  { name: 'ArpOper', doc: 'RFC 826', members: { REQUEST: 1, REPLY: 2 } },
  {
    name: 'IcmpType',
    doc: 'RFC 792',
    members: { ECHO_REPLY: 0, UNREACHABLE: 3, REDIRECT: 5, ECHO_REQUEST: 8, TIME_EXCEEDED: 11 },
  },
  {
    name: 'Icmpv6Type',
    doc: 'RFC 4443 and RFC 4861',
    members: {
      UNREACHABLE: 1,
      PACKET_TOO_BIG: 2,
      TIME_EXCEEDED: 3,
      PARAMETER_PROBLEM: 4,
      ECHO_REQUEST: 128,
      ECHO_REPLY: 129,
      ROUTER_SOLICITATION: 133,
      ROUTER_ADVERTISEMENT: 134,
      NEIGHBOR_SOLICITATION: 135,
      NEIGHBOR_ADVERTISEMENT: 136,
      MLDV2_REPORT: 143,
    },
  },
  {
    name: 'TcpFlag',
    doc: 'RFC 9293 §3.1, RFC 3168 for the last two',
    members: { FIN: 1, SYN: 2, RST: 4, PSH: 8, ACK: 16, URG: 32, ECE: 64, CWR: 128 },
  },
  {
    name: 'TcpOption',
    doc: 'IANA TCP parameters',
    members: { END: 0, NOP: 1, MSS: 2, WSCALE: 3, SACK_PERMITTED: 4, SACK: 5, TIMESTAMP: 8, MPTCP: 30 },
  },
  { name: 'NdOption', doc: 'RFC 4861 §4.6', members: { SOURCE_LINK: 1, TARGET_LINK: 2 } },
];

/** Limits that both sides keep. */
export const wireConstants: ConstSchema[] = [
  {
    name: 'MAX_TAGS',
    value: 2,
    doc: '802.1ad stacks two; more is no traffic of this world, and a bound keeps the walk short',
  },
  { name: 'MAX_EXTENSIONS', value: 8, doc: 'RFC 8200 §4.1 names seven orders of headers' },
];

/** Offset of every field of a header and its size in bytes. */
export function placeHeader(h: HeaderSchema): { fields: { name: string; offset: number }[]; size: number } {
  let at = 0;
  const fields = h.fields.map(([name, bytes]) => {
    const offset = at;
    at += bytes;
    return { name, offset };
  });
  return { fields, size: at };
}
