/**
 * HTTP/1.1 as a session: requests in a row, pipelined or not, with bodies that are skipped; each is answered by a function.
 * Heads that arrive in parts are put together; whole ones are read where they are.
 */
import { EtherloomError } from '../../errors.js';
import { Stage } from '../patience.js';
import type { Answers, Service, Session } from '../service.js';
import { HEAD_BYTES, Head, headEnd, type Refused, readHead } from './request.js';

/** Appends an answer, head and body. */
export type Answer = (head: Head, out: Answers) => void;

const REASONS: Record<number, string> = {
  200: 'OK',
  400: 'Bad Request',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  413: 'Content Too Large',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  505: 'HTTP Version Not Supported',
};

/** A whole answer with a text as its body. `close`: the last of its connection. */
export function answerOf(status: number, body: string, close: boolean, withBody = true): Buffer {
  const bytes = Buffer.from(body);
  const head =
    `HTTP/1.1 ${status} ${REASONS[status] ?? 'Unknown'}\r\n` +
    `Content-Type: text/plain; charset=utf-8\r\nContent-Length: ${bytes.length}\r\n` +
    `Connection: ${close ? 'close' : 'keep-alive'}\r\n\r\n`;
  return withBody ? Buffer.concat([Buffer.from(head), bytes]) : Buffer.from(head);
}

const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');
const CR = 13;
const LF = 10;

export class HttpSession implements Session {
  ended = false;
  requests = 0;
  /** Bytes of a body still to come. */
  #skip = 0;
  /** A head that came in part. */
  #part: Buffer | undefined;
  #partBytes = 0;

  constructor(
    readonly answer: Answer,
    /** One for all sessions of a service: nothing in it outlives a call. */
    readonly head: Head,
  ) {}

  get stage(): Stage {
    if (this.#skip > 0) return Stage.BODY;
    // Who connects is to ask for something.
    return this.#part || this.requests === 0 ? Stage.HEAD : Stage.BETWEEN;
  }

  /** As Node's: 408 where an answer is owed. */
  late(out: Answers): void {
    if (this.stage === Stage.HEAD) out.append(answerOf(408, '', true));
  }

  take(bytes: Uint8Array, n: number, out: Answers): number {
    let at = 0;
    while (at < n && !this.ended && !out.full) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, n - at);
        this.#skip -= skipped;
        at += skipped;
      } else if (this.#part) at = this.#goOn(bytes, at, n, out);
      // Empty lines before a request are passed over (RFC 9112 §2.2).
      else if (bytes[at] === CR && at + 1 < n && bytes[at + 1] === LF) at += 2;
      else {
        const end = headEnd(bytes, at, n);
        if (end === 0) {
          this.#keep(bytes, at, n, out);
          at = n;
        } else if (end - at > HEAD_BYTES) this.#refuse(431, out);
        else {
          this.#read(asBuffer(bytes), at, end, out);
          at = end;
        }
      }
    }
    return at;
  }

  /** Keeps the beginning of a head. */
  #keep(bytes: Uint8Array, from: number, to: number, out: Answers): void {
    if (to - from >= HEAD_BYTES) return this.#refuse(431, out);
    this.#part = Buffer.allocUnsafe(HEAD_BYTES);
    this.#part.set(bytes.subarray(from, to));
    this.#partBytes = to - from;
  }

  /** Goes on with a head that was kept. Returns up to where `bytes` were of use. */
  #goOn(bytes: Uint8Array, from: number, to: number, out: Answers): number {
    const part = this.#part!;
    const before = this.#partBytes;
    // An empty line that came in two parts.
    if (before === 1 && part[0] === CR && bytes[from] === LF) {
      this.#part = undefined;
      return from + 1;
    }
    const more = Math.min(to - from, HEAD_BYTES - before);
    part.set(bytes.subarray(from, from + more), before);
    this.#partBytes = before + more;
    const end = headEnd(part, Math.max(0, before - 3), this.#partBytes);
    if (end === 0) {
      if (this.#partBytes === HEAD_BYTES) this.#refuse(431, out);
      return from + more;
    }
    this.#part = undefined;
    this.#read(part, 0, end, out);
    return from + (end - before);
  }

  #read(bytes: Buffer, from: number, end: number, out: Answers): void {
    const { head } = this;
    this.requests++;
    const refused = readHead(bytes, from, end, head);
    if (refused !== 0) return this.#refuse(refused, out);
    if (head.expectsContinue && head.bodyBytes > 0) out.append(CONTINUE);
    this.#skip = head.bodyBytes;
    this.answer(head, out);
    // What comes behind it is not read: the rest of a body neither.
    if (!head.keepAlive) this.ended = true;
  }

  #refuse(status: Refused, out: Answers): void {
    out.append(answerOf(status, `${REASONS[status]}\n`, true));
    this.#part = undefined;
    this.ended = true;
  }
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A service of HTTP whose requests are answered by `answer`. @throws EtherloomError ERR_APP_OPTIONS */
export function http(answer: Answer): Service {
  if (typeof answer !== 'function')
    throw new EtherloomError('ERR_APP_OPTIONS', `http: ${String(answer)}`, { expected: 'a function' });
  const head = new Head();
  return { open: () => new HttpSession(answer, head) };
}
