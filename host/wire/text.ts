/** Addresses and bytes as people write them. */

const hex2 = (n: number): string => n.toString(16).padStart(2, '0');

/** `02:00:00:00:00:0a` */
export const mac = (b: Uint8Array): string => Array.from(b, hex2).join(':');

/** `10.0.0.1` */
export const ipv4 = (b: Uint8Array): string => b.join('.');

/** RFC 5952: lower case, no leading zeroes, the longest run of at least two zero groups (the first of equals) as `::`. */
export function ipv6(b: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) => (b[i * 2] << 8) | b[i * 2 + 1]);
  let best = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && groups[i + n] === 0) n++;
    if (n > length) [best, length] = [i, n];
  }
  const text = (from: number, to: number): string =>
    groups
      .slice(from, to)
      .map(g => g.toString(16))
      .join(':');
  return best < 0 ? text(0, 8) : `${text(0, best)}::${text(best + length, 8)}`;
}

/** Lines of 16 bytes: offset, hex, printable characters. */
export function hexDump(b: Uint8Array): string[] {
  const lines: string[] = [];
  for (let at = 0; at < b.length; at += 16) {
    const row = b.subarray(at, at + 16);
    const pairs = Array.from(row, hex2).join(' ').padEnd(47);
    const letters = Array.from(row, c => (c >= 32 && c < 127 ? String.fromCharCode(c) : '.')).join('');
    lines.push(`${at.toString(16).padStart(4, '0')}  ${pairs}  ${letters}`);
  }
  return lines;
}
