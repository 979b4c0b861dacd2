/** `Range: bytes=…` of one part (RFC 9110 §14.1.2). Several parts are answered whole, as a server may. */

export interface ByteRange {
  /** First and last byte. */
  from: number;
  to: number;
}

/**
 * What of a file of `size` bytes is asked for. Undefined: all of it, because the field says nothing that is understood.
 * `none`: nothing of what is asked for is there, 416.
 */
export function readRange(field: string | undefined, size: number): ByteRange | 'none' | undefined {
  const [, first, last] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(field?.trim() ?? '') ?? [];
  if (first === undefined || (first === '' && last === '')) return undefined;
  if (first === '') {
    const n = Math.min(Number(last), size);
    return n === 0 ? 'none' : { from: size - n, to: size - 1 };
  }
  const from = Number(first);
  const to = last === '' ? size - 1 : Math.min(Number(last), size - 1);
  if (last !== '' && Number(last) < from) return undefined;
  return from >= size ? 'none' : { from, to };
}
