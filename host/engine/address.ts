/** IP and Ethernet addresses between text and bytes in network order. Used by routes and configuration. */
import { isIPv4, isIPv6 } from 'node:net';
import { EtherloomError } from '../errors.js';

/** 4 or 16 bytes in network order. @throws EtherloomError ERR_ADDRESS */
export function parseIp(text: string): Uint8Array {
  if (isIPv4(text)) return Uint8Array.from(text.split('.').map(Number));
  if (!isIPv6(text) || text.includes('%'))
    throw new EtherloomError('ERR_ADDRESS', `"${text}" is no IP address`, {
      expected: 'IPv4 or IPv6 without zone',
    });
  const bytes = new Uint8Array(16);
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  let groups = text;
  if (dotted) {
    const [a, b, c, d] = dotted[2].split('.').map(Number);
    groups = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head, tail] = groups.split('::');
  const words = (part: string | undefined): number[] =>
    part ? part.split(':').map(w => parseInt(w, 16)) : [];
  words(head).forEach((w, i) => {
    bytes[i * 2] = w >> 8;
    bytes[i * 2 + 1] = w;
  });
  const last = words(tail);
  last.forEach((w, i) => {
    const at = 16 - (last.length - i) * 2;
    bytes[at] = w >> 8;
    bytes[at + 1] = w;
  });
  return bytes;
}

/** Text of 4 or 16 bytes (RFC 5952: the longest run of zeros is left out). */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words = Array.from({ length: 8 }, (_, i) => (bytes[i * 2] << 8) | bytes[i * 2 + 1]);
  let best = { at: -1, length: 1 };
  for (let i = 0; i < 8; ) {
    let j = i;
    while (j < 8 && words[j] === 0) j++;
    if (j - i > best.length) best = { at: i, length: j - i };
    i = Math.max(j, i + 1);
  }
  const text = (from: number, to: number): string =>
    words
      .slice(from, to)
      .map(w => w.toString(16))
      .join(':');
  return best.at < 0 ? text(0, 8) : `${text(0, best.at)}::${text(best.at + best.length, 8)}`;
}

/** An address and how many of its bits count. @throws EtherloomError ERR_ADDRESS */
export function parsePrefix(text: string): { bytes: Uint8Array; bits: number } {
  const [address, length, more] = text.split('/');
  const bytes = parseIp(address);
  const most = bytes.length * 8;
  const bits = length === undefined ? most : Number(length);
  if (more !== undefined || !/^\d+$/.test(length ?? '0') || bits > most)
    throw new EtherloomError('ERR_ADDRESS', `"${text}" is no prefix`, { expected: `ADDRESS/0 … ${most}` });
  return { bytes, bits };
}

/** Six bytes. @throws EtherloomError ERR_ADDRESS */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(text))
    throw new EtherloomError('ERR_ADDRESS', `"${text}" is no Ethernet address`, {
      expected: '02:00:00:00:00:01',
    });
  return Uint8Array.from(text.split(/[:-]/).map(b => parseInt(b, 16)));
}

export const formatMac = (bytes: Uint8Array): string =>
  [...bytes.subarray(0, 6)].map(b => b.toString(16).padStart(2, '0')).join(':');
