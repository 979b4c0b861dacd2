/** Bytes as people hand them over: pairs of hex digits, white space between, `0x` before a group. */
import { EtherloomError } from '../errors.js';

/** @throws EtherloomError with `code`, `what` as file and the offset in `text` */
export function parseHex(text: string, what: string, code: string): Uint8Array {
  const wrong = (offset: number): never => {
    throw new EtherloomError(code, `${what} is not hexadecimal`, {
      file: what,
      offset,
      expected: 'two hex digits a byte',
    });
  };
  // Blanks of the same length keep the offsets.
  const groups = text.replace(/(?<!\S)0x(?=\S)/gi, '  ');
  const bad = groups.search(/[^0-9a-f\s]/i);
  if (bad >= 0) wrong(bad);
  const digits = groups.replace(/\s+/g, '');
  if (digits.length % 2 !== 0) wrong(text.length);
  return new Uint8Array(Buffer.from(digits, 'hex'));
}
