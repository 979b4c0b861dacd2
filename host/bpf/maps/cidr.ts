/** "192.168.0.0/16" and "2001:db8::/32" as keys of a trie. */
import { EtherloomError } from '../../errors.js';
import { parsePrefix as parse } from '../../wire/address.js';
import { MapError } from './errors.js';

/** A prefix for keys with `size` bytes of data; without "/LENGTH" the whole address. @throws MapError EINVAL */
export function parsePrefix(text: string, size: number): { prefixlen: number; data: Uint8Array } {
  try {
    const { bytes, bits } = parse(text);
    if (bytes.length === size) return { prefixlen: bits, data: bytes };
  } catch (error) {
    if (!(error instanceof EtherloomError)) throw error;
  }
  throw new MapError('EINVAL', `"${text}" as prefix`, {
    expected: `an ${size === 4 ? 'IPv4' : size === 16 ? 'IPv6' : `${size}-byte`} address and a length up to ${size * 8}`,
  });
}
