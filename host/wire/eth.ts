/** Ethernet II and its tags: IEEE 802.3-2022 §3.1.1, IEEE 802.1Q-2022 §9. Picture: assembly/wire/eth.ts. */
import { broken, type Dissected, nameOf, type Span } from './layer.js';
import { Eth, EtherType, MAX_TAGS, Vlan } from './layout.gen.js';
import { mac } from './text.js';

const isTag = (type: number): boolean => type === EtherType.VLAN || type === EtherType.QINQ;

export function dissectEth(s: Span): Dissected {
  if (s.length < Eth.size) return broken('eth', s, 'TRUNCATED');
  const fields = { dst: mac(s.take(Eth.dst, 6)), src: mac(s.take(Eth.src, 6)) };
  const tags: { tpid: number; vlan: number; priority: number }[] = [];
  let type = s.u16(Eth.type);
  let at: number = Eth.size;
  while (isTag(type)) {
    if (tags.length === MAX_TAGS) return broken('eth', s, 'TOO_MANY_HEADERS', fields);
    if (s.length < at + Vlan.size) return broken('eth', s, 'TRUNCATED', fields);
    const tci = s.u16(at + Vlan.tci);
    tags.push({ tpid: type, vlan: tci & 0xfff, priority: tci >> 13 });
    type = s.u16(at + Vlan.type);
    at += Vlan.size;
  }
  const stack = tags.map(t => `${t.tpid === EtherType.QINQ ? 'qinq' : 'vlan'} ${t.vlan}`);
  const kind = type < 0x600 ? '802.3' : nameOf(EtherType, type);
  const text = `${fields.src} > ${fields.dst}, ${[...stack, kind === String(type) ? `type 0x${type.toString(16)}` : kind].join(', ')}`;
  const vlans = tags.length ? tags.map(t => t.vlan).join(',') : undefined;
  return {
    layer: { name: 'eth', at: s.at, fields: { ...fields, type, vlans, length: s.length }, text },
    next: { space: 'ether', type, span: s.from(at) },
  };
}
