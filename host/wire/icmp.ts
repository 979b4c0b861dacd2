/** ICMP, RFC 792. Picture: assembly/wire/icmp.ts. */
import { checksumOk } from './checksum.js';
import { broken, type Dissected, nameOf, type Span } from './layer.js';
import { Icmp, IcmpType } from './layout.gen.js';

/** `fragment`: the message goes on in other packets, so its checksum cannot be told. */
export function dissectIcmp(s: Span, fragment: boolean): Dissected {
  if (s.length < Icmp.size) return broken('icmp', s, 'TRUNCATED');
  const type = s.u8(Icmp.type);
  const code = s.u8(Icmp.code);
  const echo = type === IcmpType.ECHO_REQUEST || type === IcmpType.ECHO_REPLY;
  const ids = echo ? { id: s.u16(Icmp.id), seq: s.u16(Icmp.seq) } : {};
  const ok = fragment || checksumOk(s);
  const text = [
    nameOf(IcmpType, type),
    ...(echo ? [`id ${ids.id}`, `seq ${ids.seq}`] : code ? [`code ${code}`] : []),
    `length ${s.length}`,
    ...(ok ? [] : ['bad checksum']),
  ].join(', ');
  return { layer: { name: 'icmp', at: s.at, fields: { type, code, ...ids, checksumOk: ok }, text } };
}
