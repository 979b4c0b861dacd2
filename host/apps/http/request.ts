/**
 * Heads of HTTP/1.1 requests out of bytes that nobody vouches for (RFC 9112): what a server must know to answer and to find
 * the next request. Strict where lenience has been used against servers: bare CR or LF, blanks before colons, folded
 * fields, lengths that contradict each other.
 *
 *   GET /index HTTP/1.1 CRLF        line: method, target, version
 *   Host: peer CRLF                 fields: `connection`, `content-length`, `host` are looked at, the others checked
 *   CRLF
 */

/** Longest head, bytes: a longer one is answered by 431. */
export const HEAD_BYTES = 8192;
/** Longest body that is skipped, bytes: a longer one is answered by 413. */
export const BODY_BYTES = 1 << 20;

/** Statuses that a head is refused with. 0: it is not. */
export type Refused = 0 | 400 | 413 | 431 | 501 | 505;

/** What one head says. Filled by `readHead`, used again for the next. */
export class Head {
  method = '';
  target = '';
  /** The connection stays open after the answer. */
  keepAlive = true;
  /** Bytes of the body behind the head. */
  bodyBytes = 0;
  /** The body is sent only when it is asked for: 100 Continue. */
  expectsContinue = false;
}

const CR = 13;
const LF = 10;
const BLANK = 32;
const TAB = 9;
const COLON = 58;

/** Bit 1: characters of tokens (RFC 9110 §5.6.2). Bit 2: of field values. Bit 4: of targets. */
const CLASS = new Uint8Array(256);
for (let c = 0x21; c < 0x7f; c++) {
  CLASS[c] |= 2 | 4;
  if (!'"(),/:;<=>?@[\\]{}'.includes(String.fromCharCode(c))) CLASS[c] |= 1;
}
for (let c = 0x80; c < 256; c++) CLASS[c] |= 2;
CLASS[BLANK] |= 2;
CLASS[TAB] |= 2;

/**
 * Where the head that begins at `from` ends: behind its empty line. 0: it goes on beyond `to`. Looks from `look` on, for who
 * has looked before.
 */
export function headEnd(bytes: Uint8Array, look: number, to: number): number {
  for (let i = look; i + 3 < to; i++) {
    // The fourth byte tells most places apart.
    const last = bytes[i + 3];
    if (last !== LF) {
      if (last !== CR) i += 3;
      continue;
    }
    if (bytes[i] === CR && bytes[i + 1] === LF && bytes[i + 2] === CR) return i + 4;
  }
  return 0;
}

/** Names of fields that are looked at, in lower case, by their length. */
const FIELDS: Readonly<Record<string, number>> = {
  host: 1,
  connection: 2,
  'content-length': 3,
  'transfer-encoding': 4,
  expect: 5,
};
const LENGTHS = new Set(Object.keys(FIELDS).map(name => name.length));

/** Reads the head in bytes `from` … `end` - 1, whose last four are its end, as `headEnd` found it. */
export function readHead(bytes: Buffer, from: number, end: number, head: Head): Refused {
  head.bodyBytes = 0;
  head.expectsContinue = false;
  let at = from;
  while (CLASS[bytes[at]] & 1) at++;
  if (at === from || bytes[at] !== BLANK) return 400;
  head.method = bytes.toString('latin1', from, at);
  const target = ++at;
  while (CLASS[bytes[at]] & 4) at++;
  if (at === target || bytes[at] !== BLANK) return 400;
  head.target = bytes.toString('latin1', target, at);
  const minor = versionOf(bytes, at + 1);
  if (minor < 0) return 400;
  if (minor > 1) return 505;
  at += 11;
  return readFields(bytes, at, end - 2, minor, head);
}

/** The minor version of "HTTP/1.x" CRLF; -1: it is none; 9: another major version. */
function versionOf(bytes: Uint8Array, at: number): number {
  // H T T P / D . D CR LF
  if (
    bytes[at] !== 72 ||
    bytes[at + 1] !== 84 ||
    bytes[at + 2] !== 84 ||
    bytes[at + 3] !== 80 ||
    bytes[at + 4] !== 47 ||
    bytes[at + 6] !== 46 ||
    bytes[at + 8] !== CR ||
    bytes[at + 9] !== LF
  )
    return -1;
  const major = bytes[at + 5] - 48;
  const minor = bytes[at + 7] - 48;
  if (major < 0 || major > 9 || minor < 0 || minor > 9) return -1;
  return major === 1 ? minor && 1 : 9;
}

/** Reads fields from `at` to the empty line at `end`. */
function readFields(bytes: Buffer, at: number, end: number, minor: number, head: Head): Refused {
  let hosts = 0;
  let length = -1;
  let close = false;
  let keep = false;
  let coded = false;
  while (at < end) {
    const name = at;
    while (CLASS[bytes[at]] & 1) at++;
    const nameEnd = at;
    // A fold, a blank before the colon, or no name at all.
    if (nameEnd === name || bytes[at] !== COLON) return 400;
    at++;
    while (bytes[at] === BLANK || bytes[at] === TAB) at++;
    const value = at;
    while (CLASS[bytes[at]] & 2) at++;
    if (bytes[at] !== CR || bytes[at + 1] !== LF) return 400;
    let valueEnd = at;
    while (valueEnd > value && (bytes[valueEnd - 1] === BLANK || bytes[valueEnd - 1] === TAB)) valueEnd--;
    at += 2;
    if (!LENGTHS.has(nameEnd - name)) continue;
    switch (FIELDS[bytes.toString('latin1', name, nameEnd).toLowerCase()]) {
      case 1:
        hosts++;
        break;
      case 2: {
        const options = words(bytes.toString('latin1', value, valueEnd));
        close ||= options.includes('close');
        keep ||= options.includes('keep-alive');
        break;
      }
      case 3: {
        const n = lengthOf(bytes, value, valueEnd);
        if (n < 0 || (length >= 0 && n !== length)) return 400;
        length = n;
        break;
      }
      case 4:
        coded = true;
        break;
      case 5:
        if (bytes.toString('latin1', value, valueEnd).toLowerCase() === '100-continue')
          head.expectsContinue = true;
        break;
    }
  }
  // Both would be read differently by others on the way (RFC 9112 §6.3).
  if (coded) return length >= 0 || minor === 0 ? 400 : 501;
  if (hosts > 1 || (hosts === 0 && minor === 1)) return 400;
  head.keepAlive = minor === 1 ? !close : keep && !close;
  if (length > BODY_BYTES) return 413;
  head.bodyBytes = length < 0 ? 0 : length;
  return 0;
}

const words = (list: string): string[] =>
  list
    .toLowerCase()
    .split(',')
    .map(word => word.trim());

/** Digits only; so many that it would not be exact are too many for any body. -1: it is no length. */
function lengthOf(bytes: Uint8Array, from: number, to: number): number {
  if (from === to) return -1;
  let n = 0;
  for (let i = from; i < to; i++) {
    const digit = bytes[i] - 48;
    if (digit < 0 || digit > 9) return -1;
    n = n * 10 + digit;
    if (n > 2 ** 50) n = 2 ** 50;
  }
  return n;
}
