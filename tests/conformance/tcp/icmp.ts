/** ICMP errors that a script sends about a packet of the host (RFC 792, RFC 1191, RFC 4443). */
import { IcmpType, Icmpv6Type, IpProto, Ipv6, Tcp } from '../../../host/wire/layout.gen.js';
import { type Flow, wrap } from './flow.js';
import { ipPacket } from './segment.js';

/** Type and code over IPv4 and IPv6; undefined where a version has none. */
const ERRORS = {
  'net unreachable': [
    [IcmpType.UNREACHABLE, 0],
    [Icmpv6Type.UNREACHABLE, 0],
  ],
  'host unreachable': [
    [IcmpType.UNREACHABLE, 1],
    [Icmpv6Type.UNREACHABLE, 3],
  ],
  'protocol unreachable': [
    [IcmpType.UNREACHABLE, 2],
    [Icmpv6Type.PARAMETER_PROBLEM, 1],
  ],
  'port unreachable': [
    [IcmpType.UNREACHABLE, 3],
    [Icmpv6Type.UNREACHABLE, 4],
  ],
  'packet too big': [
    [IcmpType.UNREACHABLE, 4],
    [Icmpv6Type.PACKET_TOO_BIG, 0],
  ],
  'administratively prohibited': [
    [IcmpType.UNREACHABLE, 13],
    [Icmpv6Type.UNREACHABLE, 1],
  ],
  'time exceeded': [
    [IcmpType.TIME_EXCEEDED, 0],
    [Icmpv6Type.TIME_EXCEEDED, 0],
  ],
  'source quench': [[4, 0], undefined],
} as const;

export interface IcmpFields {
  error: keyof typeof ERRORS;
  /** Next-hop MTU of `packet too big`. */
  mtu?: number;
  /** Sequence number to quote instead of the packet's, relative. */
  seq?: number;
}

const HEAD = 8;
/** RFC 792: the IP header and 8 bytes. RFC 4443 wants as much as fits; the ports and the number do here, too. */
const QUOTED = 8;

/** The packet of an error from `from`, about the last packet that `flow` saw. @throws Error when there was none */
export function icmpError(from: string, to: string, flow: Flow, fields: IcmpFields): Uint8Array {
  if (!flow.lastPacket) throw new Error('an ICMP error needs a packet that it is about');
  const v6 = from.includes(':');
  const kind = ERRORS[fields.error][v6 ? 1 : 0];
  if (!kind) throw new Error(`ICMPv6 has no ${fields.error}`);
  const head = v6 ? Ipv6.size : (flow.lastPacket[0] & 15) * 4;
  const quote = flow.lastPacket.slice(0, head + (v6 ? Tcp.size : QUOTED));
  const view = new DataView(quote.buffer);
  if (fields.seq !== undefined) view.setUint32(head + Tcp.seq, wrap((flow.irs ?? 0) + fields.seq));
  const message = new Uint8Array(HEAD + quote.length);
  message.set(kind);
  if (fields.mtu !== undefined) new DataView(message.buffer).setUint32(4, fields.mtu);
  message.set(quote, HEAD);
  return ipPacket({ src: from, dst: to }, v6 ? IpProto.ICMPV6 : IpProto.ICMP, message, { checkAt: 2 });
}
