/** ARP for Ethernet and IPv4, RFC 826. Picture: assembly/wire/arp.ts. */
import { broken, type Dissected, type Span } from './layer.js';
import { Arp, ArpOper, EtherType } from './layout.gen.js';
import { ipv4, mac } from './text.js';

export function dissectArp(s: Span): Dissected {
  if (s.length < Arp.size) return broken('arp', s, 'TRUNCATED');
  if (s.u16(Arp.htype) !== 1 || s.u16(Arp.ptype) !== EtherType.IPV4) return broken('arp', s, 'BAD_TYPE');
  if (s.u8(Arp.hlen) !== 6 || s.u8(Arp.plen) !== 4) return broken('arp', s, 'BAD_LENGTH');
  const oper = s.u16(Arp.oper);
  const sha = mac(s.take(Arp.sha, 6));
  const spa = ipv4(s.take(Arp.spa, 4));
  const tha = mac(s.take(Arp.tha, 6));
  const tpa = ipv4(s.take(Arp.tpa, 4));
  const text =
    oper === ArpOper.REQUEST
      ? `Request who-has ${tpa} tell ${spa}`
      : oper === ArpOper.REPLY
        ? `Reply ${spa} is-at ${sha}`
        : `operation ${oper}, ${spa} (${sha}) > ${tpa} (${tha})`;
  return { layer: { name: 'arp', at: s.at, fields: { oper, sha, spa, tha, tpa }, text } };
}
