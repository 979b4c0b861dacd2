/**
 * From a frame to text: its headers one after the other, in one line as tcpdump has it or nested.
 * Takes any bytes and never throws: what is damaged is said to be.
 */
import { dissectArp } from './arp.js';
import { dissectEth } from './eth.js';
import { dissectHoma } from './homa.js';
import { dissectIcmp } from './icmp.js';
import { dissectIcmpv6 } from './icmpv6.js';
import { dissectIpv4 } from './ipv4.js';
import { dissectIpv6 } from './ipv6.js';
import { type Dissected, type Layer, type Next, nameOf, Span } from './layer.js';
import { EtherType, IpProto } from './layout.gen.js';
import { dissectTcp } from './tcp.js';
import { hexDump } from './text.js';
import { dissectUdp } from './udp.js';

function dissectNext({ space, type, span, pseudo }: Next): Dissected | undefined {
  if (space === 'ether') {
    if (type === EtherType.ARP) return dissectArp(span);
    if (type === EtherType.IPV4) return dissectIpv4(span);
    if (type === EtherType.IPV6) return dissectIpv6(span);
    return undefined;
  }
  // A fragment may be too short even for its transport header's ports.
  if (type === IpProto.UDP)
    return pseudo === undefined && span.length < 8 ? undefined : dissectUdp(span, pseudo);
  if (type === IpProto.TCP) return dissectTcp(span, pseudo);
  if (type === IpProto.ICMP) return dissectIcmp(span, pseudo === undefined);
  if (type === IpProto.ICMPV6) return dissectIcmpv6(span, pseudo);
  if (type === IpProto.HOMA && pseudo !== undefined) return dissectHoma(span);
  return undefined;
}

/** The headers of a frame, outermost first. The last may have a `problem`. */
export function dissect(frame: Uint8Array): Layer[] {
  const layers: Layer[] = [];
  let step: Dissected | undefined = dissectEth(new Span(frame));
  while (step) {
    layers.push(step.layer);
    step = step.next && dissectNext(step.next);
  }
  return layers;
}

const LABELS: Record<string, string> = { arp: 'ARP', ipv4: 'IP', ipv6: 'IP6' };

/** One line a packet, without time: `IP 10.0.0.1.4711 > 10.0.0.2.80: TCP Flags [S], seq 1, win 1024, length 0`. */
export function printLine(frame: Uint8Array): string {
  const [eth, net, transport] = dissect(frame);
  const tags = eth.fields.vlans === undefined ? '' : `vlan ${eth.fields.vlans} `;
  if (!net || net.problem || net.name === 'arp') {
    const label = net ? (LABELS[net.name] ?? net.name) : 'eth';
    return `${tags}${label} ${(net ?? eth).text}, length ${frame.length}`;
  }
  const f = net.fields;
  const t = transport?.fields;
  const port = (p: unknown): string => (p === undefined ? '' : `.${p}`);
  const from = `${f.src}${port(t?.srcPort)} > ${f.dst}${port(t?.dstPort)}`;
  const frag = f.more || f.offset ? ` frag ${f.offset}${f.more ? '+' : ''}` : '';
  const bad = f.checksumOk === false ? ', bad header checksum' : '';
  // The ports stand beside the addresses already.
  const rest = transport
    ? `${transport.problem ? '' : `${transport.name.toUpperCase()} `}${transport.text.replace(/^\d+ > \d+, /, '')}`
    : `${nameOf(IpProto, Number(f.protocol))}, length ${f.length}`;
  return `${tags}${LABELS[net.name]} ${from}:${frag} ${rest}${bad}`;
}

/** A line for each header, each further in than the one that carries it. `dump`: the bytes of the frame below. */
export function printNested(frame: Uint8Array, dump = false): string {
  const lines = dissect(frame).map(
    (l, depth) => `${'  '.repeat(depth)}${l.problem ? '' : `${l.name} `}${l.text}`,
  );
  if (dump) lines.push(...hexDump(frame).map(l => `    ${l}`));
  return lines.join('\n');
}
