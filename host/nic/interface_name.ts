/** What an interface of the kernel may be called: asked before the name goes into a struct ifreq, which cuts it off. */

/** IFNAMSIZ less the zero at the end. */
const MOST_BYTES = 15;
/** By bytes, as dev_valid_name() looks at them: NUL, white space (0xa0, too), '/', ':'; '%' is a pattern there. */
const REFUSED = new Set([0x00, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x20, 0x25, 0x2f, 0x3a, 0xa0]);

/** For messages. */
export const INTERFACE_NAME = '1 to 15 bytes without blank or any of / : %';

export function isInterfaceName(name: unknown): name is string {
  if (typeof name !== 'string' || name === '.' || name === '..') return false;
  const bytes = new TextEncoder().encode(name);
  return bytes.length >= 1 && bytes.length <= MOST_BYTES && !bytes.some(b => REFUSED.has(b));
}
