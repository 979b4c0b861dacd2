/** Who asks for hello: one request over and over, and answers of one length, which the first tells. */
import type { Caller } from '../load/caller.js';
import type { Answers } from '../service.js';

const REQUEST = Buffer.from('GET / HTTP/1.1\r\nHost: hello\r\n\r\n');
const HEAD_MOST = 4096;

export class HelloCaller implements Caller {
  /** Bytes of an answer; 0: none is whole yet. */
  #answerBytes = 0;
  #begin = '';
  #received = 0;

  ask(out: Answers, most: number): number {
    for (let n = 0; n < most; n++) out.append(REQUEST);
    return most;
  }

  /** @throws Error for an answer that is not 200, or whose length nobody tells */
  take(bytes: Uint8Array, n: number): number {
    if (this.#answerBytes === 0) {
      this.#begin += Buffer.from(bytes.buffer, bytes.byteOffset, n).toString('latin1');
      this.#answerBytes = lengthOf(this.#begin);
      if (this.#answerBytes === 0) {
        this.#received += n;
        return 0;
      }
    }
    const size = this.#answerBytes;
    const before = this.#begin === '' ? Math.floor(this.#received / size) : 0;
    this.#begin = '';
    this.#received += n;
    return Math.floor(this.#received / size) - before;
  }
}

/** Bytes of the answer that a text begins with; 0: its head is not whole. */
function lengthOf(text: string): number {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) {
    if (text.length > HEAD_MOST) throw new Error('an answer without an end of its head');
    return 0;
  }
  const [, body] = /\r\nContent-Length: (\d+)\r\n/i.exec(text.slice(0, head + 2)) ?? [];
  if (!text.startsWith('HTTP/1.1 200 ') || body === undefined)
    throw new Error(`no answer to be counted: ${text.slice(0, 60)}`);
  return head + 4 + Number(body);
}
