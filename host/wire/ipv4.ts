/** IPv4, RFC 791 §3.1. Picture: assembly/wire/ipv4.ts. */
import { checksumOk, pseudoSum } from './checksum.js';
import { broken, type Dissected, nameOf, type Span } from './layer.js';
import { IpProto, Ipv4 } from './layout.gen.js';
import { ipv4 } from './text.js';

export function dissectIpv4(s: Span): Dissected {
  if (s.length < Ipv4.size) return broken('ipv4', s, 'TRUNCATED');
  if (s.u8(Ipv4.versionIhl) >> 4 !== 4) return broken('ipv4', s, 'BAD_VERSION');
  const header = (s.u8(Ipv4.versionIhl) & 15) * 4;
  const length = s.u16(Ipv4.totalLength);
  const word = s.u16(Ipv4.fragment);
  const fields = {
    src: ipv4(s.take(Ipv4.src, 4)),
    dst: ipv4(s.take(Ipv4.dst, 4)),
    protocol: s.u8(Ipv4.protocol),
    ttl: s.u8(Ipv4.ttl),
    tos: s.u8(Ipv4.tos),
    id: s.u16(Ipv4.id),
    length,
    header,
    offset: (word & 0x1fff) * 8,
    more: (word & 0x2000) !== 0,
    dontFragment: (word & 0x4000) !== 0,
  };
  if (header < Ipv4.size) return broken('ipv4', s, 'BAD_HEADER_LENGTH', fields);
  if (length < header) return broken('ipv4', s, 'BAD_LENGTH', fields);
  if (length > s.length) return broken('ipv4', s, 'TRUNCATED', fields);
  const ok = checksumOk(s.from(0, header));
  const fragment = fields.more || fields.offset > 0;
  const text = [
    `${fields.src} > ${fields.dst}`,
    nameOf(IpProto, fields.protocol),
    `ttl ${fields.ttl}`,
    `id ${fields.id}`,
    ...(fields.tos ? [`tos 0x${fields.tos.toString(16)}`] : []),
    ...(header > Ipv4.size ? [`options ${header - Ipv4.size} bytes`] : []),
    ...(fragment ? [`frag ${fields.offset}${fields.more ? '+' : ''}`] : fields.dontFragment ? ['DF'] : []),
    `length ${length}`,
    ...(ok ? [] : ['bad header checksum']),
  ].join(', ');
  const layer = { name: 'ipv4', at: s.at, fields: { ...fields, checksumOk: ok }, text };
  if (fields.offset > 0) return { layer };
  const span = s.from(header, length - header);
  const pseudo = fragment ? undefined : pseudoSum(s.from(Ipv4.src, 8), span.length, fields.protocol);
  return { layer, next: { space: 'ip', type: fields.protocol, span, pseudo } };
}
