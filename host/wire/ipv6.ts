/** IPv6 and its extension headers, RFC 8200 §3 and §4. Picture: assembly/wire/ipv6.ts. */
import { pseudoSum } from './checksum.js';
import { broken, type Dissected, type Fields, nameOf, type Span } from './layer.js';
import { IpProto, Ipv6, Ipv6Ext, Ipv6Fragment, MAX_EXTENSIONS } from './layout.gen.js';
import { ipv6 } from './text.js';

const EXTENSIONS: readonly number[] = [
  IpProto.HOPOPTS,
  IpProto.ROUTING,
  IpProto.FRAGMENT,
  IpProto.DSTOPTS,
  IpProto.AH,
  IpProto.MOBILITY,
];

/** Bytes of the extension header that begins at `at`. AH counts in fours (RFC 4302 §2.2), the others in eights. */
function extensionBytes(s: Span, type: number, at: number): number {
  if (type === IpProto.FRAGMENT) return Ipv6Fragment.size;
  const n = s.u8(at + Ipv6Ext.length);
  return type === IpProto.AH ? (n + 2) * 4 : (n + 1) * 8;
}

export function dissectIpv6(s: Span): Dissected {
  if (s.length < Ipv6.size) return broken('ipv6', s, 'TRUNCATED');
  const word = s.u32(Ipv6.versionClassFlow);
  if (word >>> 28 !== 6) return broken('ipv6', s, 'BAD_VERSION');
  const length = s.u16(Ipv6.payloadLength);
  const fields: Fields = {
    src: ipv6(s.take(Ipv6.src, 16)),
    dst: ipv6(s.take(Ipv6.dst, 16)),
    hopLimit: s.u8(Ipv6.hopLimit),
    class: (word >>> 20) & 0xff,
    flow: word & 0xfffff,
    length,
  };
  const end = Ipv6.size + length;
  if (end > s.length) return broken('ipv6', s, 'TRUNCATED', fields);

  const chain: string[] = [];
  let type = s.u8(Ipv6.nextHeader);
  let at: number = Ipv6.size;
  let offset = 0;
  let fragment = false;
  while (EXTENSIONS.includes(type) && offset === 0) {
    if (chain.length === MAX_EXTENSIONS) return broken('ipv6', s, 'TOO_MANY_HEADERS', fields);
    if (at + Ipv6Fragment.size > end) return broken('ipv6', s, 'TRUNCATED', fields);
    const bytes = extensionBytes(s, type, at);
    if (at + bytes > end) return broken('ipv6', s, 'TRUNCATED', fields);
    if (type === IpProto.FRAGMENT) {
      const w = s.u16(at + Ipv6Fragment.offset);
      offset = w & 0xfff8;
      fragment = true;
      Object.assign(fields, { offset, more: (w & 1) !== 0, id: s.u32(at + Ipv6Fragment.id) });
      chain.push(`frag ${offset}${w & 1 ? '+' : ''} id 0x${s.u32(at + Ipv6Fragment.id).toString(16)}`);
    } else chain.push(nameOf(IpProto, type));
    type = s.u8(at + Ipv6Ext.nextHeader);
    at += bytes;
  }
  fields.protocol = type;
  const text = [
    `${fields.src} > ${fields.dst}`,
    ...chain,
    nameOf(IpProto, type),
    `hlim ${fields.hopLimit}`,
    ...(fields.class ? [`class 0x${fields.class.toString(16)}`] : []),
    ...(fields.flow ? [`flow 0x${fields.flow.toString(16)}`] : []),
    `length ${length}`,
  ].join(', ');
  const layer = { name: 'ipv6', at: s.at, fields, text };
  if (offset > 0) return { layer };
  const span = s.from(at, end - at);
  const pseudo = fragment ? undefined : pseudoSum(s.from(Ipv6.src, 32), span.length, type);
  return { layer, next: { space: 'ip', type, span, pseudo } };
}
