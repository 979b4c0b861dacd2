import { parseHex } from '../../../host/bpf/hex.js';
import type { FuzzTarget } from '../../support/fuzz.js';

/** Hex of --data and of conformance programs: what is taken is its bytes, digit by digit. */
export const target: FuzzTarget = {
  name: 'hex',
  maxBytes: 512,
  seeds: () => ['', '00 ff', '0x10 0X20', 'b700000002000000\n9500000000000000\n'].map(t => Buffer.from(t)),
  run: input => {
    const text = Buffer.from(input).toString('latin1');
    const digits = Buffer.from(parseHex(text, '--data', 'ERR_USAGE_HEX')).toString('hex');
    const without = text.replace(/(^|\s)0x/gi, '$1').replace(/\s/g, '');
    if (digits !== without.toLowerCase()) throw new Error(`read as ${digits}`);
  },
  dictionary: ['0x', ' 0x', '10x2', 'g', '\t', '\u00a0'],
};
