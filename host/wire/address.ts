/** IP and Ethernet addresses between text and bytes in network order: the one reader of such text. */
import { isIPv4, isIPv6 } from 'node:net';
import { EtherloomError } from '../errors.js';
import { ipv4, ipv6 } from './text.js';

export { mac as formatMac } from './text.js';

/** Addresses that are remembered: whoever connects names the same ones over and over. */
const KNOWN = 256;
const known = new Map<string, { bytes: Uint8Array; text: string }>();

function look(text: string): { bytes: Uint8Array; text: string } {
  const found = known.get(text);
  if (found) return found;
  const bytes = readIp(text);
  const made = { bytes, text: formatIp(bytes) };
  if (known.size >= KNOWN) known.clear();
  known.set(text, made);
  return made;
}

/** 4 or 16 bytes in network order: the caller's. @throws EtherloomError ERR_ADDRESS */
export const parseIp = (text: string): Uint8Array => look(text).bytes.slice();

/** As `formatIp` would write it. @throws EtherloomError ERR_ADDRESS */
export const canonicalIp = (text: string): string => look(text).text;

function readIp(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%'))
    throw new EtherloomError('ERR_ADDRESS', `"${text}" is no IP address`, {
      expected: 'IPv4 or IPv6 without zone',
    });
  // An embedded IPv4 address stands for the last two groups.
  const groups = text.replace(/[\d.]*\.[\d.]*$/, v4 => {
    const [a, b, c, d] = v4.split('.').map(Number);
    return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  });
  const [head, tail] = groups.split('::').map(half => (half ? half.split(':') : []));
  const zeros = tail ? new Array<string>(8 - head.length - tail.length).fill('0') : [];
  return Uint8Array.from(
    [...head, ...zeros, ...(tail ?? [])].flatMap(group => {
      const word = Number.parseInt(group, 16);
      return [word >> 8, word & 255];
    }),
  );
}

/** Text of 4 or 16 bytes (RFC 5952). */
export const formatIp = (bytes: Uint8Array): string => (bytes.length === 4 ? ipv4(bytes) : ipv6(bytes));

/** An address and how many of its bits count; all of them without "/LENGTH". @throws EtherloomError ERR_ADDRESS */
export function parsePrefix(text: string): { bytes: Uint8Array; bits: number } {
  const [address, length, more] = text.split('/');
  const bytes = parseIp(address);
  const most = bytes.length * 8;
  const bits = length === undefined ? most : Number(length);
  if (more !== undefined || !/^\d+$/.test(length ?? '0') || bits > most)
    throw new EtherloomError('ERR_ADDRESS', `"${text}" is no prefix`, { expected: `ADDRESS/0 … ${most}` });
  return { bytes, bits };
}

const MAC = /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i;

export const isMac = (text: string): boolean => MAC.test(text);

/** Whether it is the address of one station: no group, not all stations, not none. */
export const isUnicastMac = (text: string): boolean => {
  if (!isMac(text)) return false;
  const mac = parseMac(text);
  return (mac[0] & 1) === 0 && mac.some(b => b !== 0);
};

/** Whether 4 or 16 bytes are the address of one station: no group, not all stations (RFC 919, 1112, 4291), not none. */
export const isUnicastIp = (ip: Uint8Array): boolean =>
  ip.length === 4 ? ip[0] !== 0 && ip[0] < 224 : ip[0] !== 0xff && ip.some(b => b !== 0);

/** Six bytes. @throws EtherloomError ERR_ADDRESS */
export function parseMac(text: string): Uint8Array {
  if (!isMac(text))
    throw new EtherloomError('ERR_ADDRESS', `"${text}" is no Ethernet address`, {
      expected: '02:00:00:00:00:01',
    });
  return Uint8Array.from(text.split(/[:-]/), b => Number.parseInt(b, 16));
}
