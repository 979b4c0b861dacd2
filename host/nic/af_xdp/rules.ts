/**
 * Which packets the engine takes from the interface; the kernel keeps the rest. Rules are entries of a map of
 * bpf-progs/nic/xsk_redirect, so they can change while packets flow.
 */
import { EtherloomError } from '../../errors.js';
import { parsePrefix } from '../../wire/address.js';

/** IANA protocol numbers that have a name here. */
const PROTOCOLS = { icmp: 1, igmp: 2, tcp: 6, udp: 17, gre: 47, esp: 50, icmpv6: 58, sctp: 132 } as const;
const AF_INET = 2;
const AF_INET6 = 10;

/** One class of packets, by where they go to. What is left out fits everything. */
export interface RedirectRule {
  /** A name, or an IANA number from 1 to 255. */
  protocol?: keyof typeof PROTOCOLS | number;
  /** Destination address or prefix, IPv4 or IPv6: "10.0.0.1", "2001:db8::/64". */
  address?: string;
  /** Destination port, or the first and last of a range. TCP and UDP only. */
  port?: number | readonly [first: number, last: number];
}

/** Most rules of an interface: the program walks them one by one. */
export const MAX_RULES = 64;

/** struct rule of xsk_redirect.bpf.c, 40 B. */
const RULE = { bytes: 40, addr: 0, mask: 16, portLow: 32, portHigh: 34, protocol: 36, family: 37 } as const;

/** All rules of an interface. @throws EtherloomError ERR_NIC_RULE, ERR_ADDRESS */
export function encodeRules(rules: readonly RedirectRule[]): Uint8Array[] {
  if (rules.length > MAX_RULES)
    throw new EtherloomError('ERR_NIC_RULE', `${rules.length} rules`, { expected: `at most ${MAX_RULES}` });
  return rules.map(encodeRule);
}

/** @throws EtherloomError ERR_NIC_RULE, ERR_ADDRESS */
export function encodeRule(rule: RedirectRule): Uint8Array {
  if (typeof rule !== 'object' || rule === null)
    throw wrong(rule, 'it is no object', "{ protocol: 'tcp', port: 80 }");
  if (rule.address !== undefined && typeof rule.address !== 'string')
    throw wrong(rule, `address ${rule.address}`, 'text: an address or a prefix');
  const bytes = new Uint8Array(RULE.bytes);
  const view = new DataView(bytes.buffer);
  const protocol = protocolNumber(rule.protocol);
  if (protocol === undefined)
    throw wrong(rule, `protocol ${rule.protocol}`, `${Object.keys(PROTOCOLS).join(', ')}, or 1 … 255`);
  bytes[RULE.protocol] = protocol;
  if (rule.address !== undefined) {
    const { bytes: address, bits } = parsePrefix(rule.address);
    bytes[RULE.family] = address.length === 4 ? AF_INET : AF_INET6;
    for (let i = 0; i < address.length; i++) {
      const mask = 0xff & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8)));
      bytes[RULE.mask + i] = mask;
      bytes[RULE.addr + i] = address[i] & mask;
    }
  }
  const [low, high] = ports(rule);
  view.setUint16(RULE.portLow, low, true);
  view.setUint16(RULE.portHigh, high, true);
  if (rule.port !== undefined && protocol !== PROTOCOLS.tcp && protocol !== PROTOCOLS.udp)
    throw wrong(rule, 'a port without a protocol that has ports', "protocol: 'tcp' or 'udp'");
  return bytes;
}

/** 0 stands for every protocol, undefined for none that there is. */
function protocolNumber(given: unknown = 0): number | undefined {
  if (typeof given === 'string')
    return Object.hasOwn(PROTOCOLS, given) ? PROTOCOLS[given as keyof typeof PROTOCOLS] : undefined;
  return Number.isInteger(given) && (given as number) >= 0 && (given as number) <= 255
    ? (given as number)
    : undefined;
}

function ports(rule: RedirectRule): [number, number] {
  if (rule.port === undefined) return [0, 0xffff];
  const given: unknown = rule.port;
  const [low, high] = (Array.isArray(given) && given.length === 2 ? given : [given, given]) as number[];
  if (![low, high].every(p => Number.isInteger(p) && p >= 0 && p <= 0xffff) || low > high)
    throw wrong(rule, `port ${rule.port}`, 'a port, or the first and last of a range, 0 … 65535');
  return [low, high];
}

const wrong = (rule: RedirectRule, what: string, expected: string): EtherloomError =>
  new EtherloomError('ERR_NIC_RULE', `rule ${JSON.stringify(rule)}: ${what}`, { expected });
