/** "192.168.0.0/16" and "2001:db8::/32" as keys of a trie. */
import { isIPv4, isIPv6 } from 'node:net';
import { MapError } from './errors.js';

/** Bytes of an address in network order. @throws MapError EINVAL */
export function parseAddress(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.'), Number);
  if (!isIPv6(text) || text.includes('%'))
    throw new MapError('EINVAL', `"${text}" is no IP address`, { expected: 'IPv4 or IPv6' });
  // An embedded IPv4 address stands for the last two groups.
  const v4 = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const groups = v4
    ? `${text.slice(0, v4.index)}${((+v4[1] << 8) | +v4[2]).toString(16)}:${((+v4[3] << 8) | +v4[4]).toString(16)}`
    : text;
  const [left, right] = groups.split('::').map(half => (half ? half.split(':') : []));
  const words = right ? [...left, ...Array(8 - left.length - right.length).fill('0'), ...right] : left;
  return Uint8Array.from(words.flatMap(w => [Number.parseInt(w, 16) >> 8, Number.parseInt(w, 16) & 255]));
}

/** A prefix for keys with `size` bytes of data; without "/LENGTH" the whole address. @throws MapError EINVAL */
export function parsePrefix(text: string, size: number): { prefixlen: number; data: Uint8Array } {
  const [address, length, ...more] = text.split('/');
  const data = parseAddress(address);
  const prefixlen =
    length === undefined ? data.length * 8 : /^\d+$/.test(length) ? Number(length) : Number.NaN;
  if (data.length !== size || more.length || !(prefixlen <= size * 8))
    throw new MapError('EINVAL', `"${text}" as prefix`, {
      expected: `an ${size === 4 ? 'IPv4' : size === 16 ? 'IPv6' : `${size}-byte`} address and a length up to ${size * 8}`,
    });
  return { prefixlen, data };
}
