/** ICMPv6 and neighbour discovery: RFC 4443, RFC 4861. Picture: assembly/wire/icmpv6.ts. */
import { checksumOk } from './checksum.js';
import { broken, type Dissected, type Fields, nameOf, type Span } from './layer.js';
import { Icmpv6, Icmpv6Type, Nd, NdOption } from './layout.gen.js';
import { ipv6, mac } from './text.js';

/** `pseudo` is undefined for a fragment. */
export function dissectIcmpv6(s: Span, pseudo: number | undefined): Dissected {
  const kind = s.length > 0 ? s.u8(Icmpv6.type) : 0;
  const neighbour = kind === Icmpv6Type.NEIGHBOR_SOLICITATION || kind === Icmpv6Type.NEIGHBOR_ADVERTISEMENT;
  if (s.length < (neighbour ? Nd.size : Icmpv6.size)) return broken('icmpv6', s, 'TRUNCATED');
  const code = s.u8(Icmpv6.code);
  const ok = pseudo === undefined || checksumOk(s, pseudo);
  const fields: Fields = { type: kind, code, checksumOk: ok };
  const words: string[] = [nameOf(Icmpv6Type, kind)];
  if (neighbour) {
    fields.target = ipv6(s.take(Nd.target, 16));
    words.push(
      kind === Icmpv6Type.NEIGHBOR_SOLICITATION ? `who has ${fields.target}` : `tgt is ${fields.target}`,
    );
    for (let at: number = Nd.size; at < s.length; ) {
      if (at + 8 > s.length) return broken('icmpv6', s, 'TRUNCATED', fields);
      const bytes = s.u8(at + 1) * 8;
      if (bytes === 0) return broken('icmpv6', s, 'BAD_OPTION', fields);
      if (at + bytes > s.length) return broken('icmpv6', s, 'TRUNCATED', fields);
      const option = s.u8(at);
      if (option === NdOption.SOURCE_LINK || option === NdOption.TARGET_LINK) {
        fields.linkAddress = mac(s.take(at + 2, 6));
        words.push(`${nameOf(NdOption, option)} ${fields.linkAddress}`);
      }
      at += bytes;
    }
  } else if (kind === Icmpv6Type.ECHO_REQUEST || kind === Icmpv6Type.ECHO_REPLY) {
    Object.assign(fields, { id: s.u16(Icmpv6.id), seq: s.u16(Icmpv6.seq) });
    words.push(`id ${fields.id}`, `seq ${fields.seq}`);
  } else if (code) words.push(`code ${code}`);
  words.push(`length ${s.length}`, ...(ok ? [] : ['bad checksum']));
  return { layer: { name: 'icmpv6', at: s.at, fields, text: words.join(', ') } };
}
