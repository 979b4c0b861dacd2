/** UDP, RFC 768. Picture: assembly/wire/udp.ts. */
import { checksumOk } from './checksum.js';
import { broken, type Dissected, type Span } from './layer.js';
import { Udp } from './layout.gen.js';

/** `pseudo` is undefined for a fragment: then length and checksum cannot be told. */
export function dissectUdp(s: Span, pseudo: number | undefined): Dissected {
  // A fragment too short for ports shows none; a whole datagram that short is damaged.
  if (s.length < Udp.size) return broken('udp', s, 'TRUNCATED');
  const length = s.u16(Udp.length);
  const fields = { srcPort: s.u16(Udp.srcPort), dstPort: s.u16(Udp.dstPort), length };
  const ports = `${fields.srcPort} > ${fields.dstPort}`;
  if (pseudo === undefined)
    return {
      layer: { name: 'udp', at: s.at, fields, text: `${ports}, length ${length - Udp.size} in fragments` },
    };
  if (length < Udp.size) return broken('udp', s, 'BAD_LENGTH', fields);
  if (length > s.length) return broken('udp', s, 'TRUNCATED', fields);
  const none = s.u16(Udp.checksum) === 0;
  // The pseudo header was summed for the IP payload; UDP says its own length, which may be shorter. + 0xffff is + 0.
  const ok = none || checksumOk(s.from(0, length), pseudo + 0xffff - s.length + length);
  const text = [
    ports,
    `length ${length - Udp.size}`,
    ...(ok ? (none ? ['no checksum'] : []) : ['bad checksum']),
  ].join(', ');
  return { layer: { name: 'udp', at: s.at, fields: { ...fields, checksumOk: ok }, text } };
}
