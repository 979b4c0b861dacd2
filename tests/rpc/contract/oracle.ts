/** What is known of every call that a random driver makes: what it may end with, how often it was executed, what is its answer. */
import { createHash } from 'node:crypto';
import { pattern } from '../rig.js';

/** How a request is answered. `late`: some turns later; `stream`: as it is made. */
export const ANSWERS = [
  'whole',
  'late',
  'pieces',
  'stream',
  'breaks',
  'short',
  'long',
  'throws',
  'never',
] as const;
export type Answer = (typeof ANSWERS)[number];

/** Number of the call, its answer and how long that is; the rest tells whose it is. */
export const HEAD = 12;

const sum = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex');

export class Asked {
  readonly bytes: Buffer;
  /** Codes that it may end with; 'none': with its answer. */
  readonly may: Set<string>;
  executed = 0;
  end: string | undefined;
  /** Nobody is to hear of its end: it was given up by a burst. */
  silent = false;

  constructor(
    readonly n: number,
    readonly port: number,
    /** In use when it was asked; from its begin on the one that it goes by. */
    public carrier: string,
    readonly answer: Answer,
    length: number,
    readonly answerLength: number,
    endsWith: readonly string[],
  ) {
    this.bytes = pattern(Math.max(HEAD, length), n);
    this.bytes.writeUInt32LE(n, 0);
    this.bytes.writeUInt32LE(ANSWERS.indexOf(answer), 4);
    this.bytes.writeUInt32LE(answerLength, 8);
    this.may = new Set(endsWith);
  }

  get answerBytes(): Buffer {
    return pattern(this.answerLength, ~this.n);
  }

  toString(): string {
    const { n, port, carrier, answer, bytes, answerLength, executed, end } = this;
    return `call ${n} to ${port} over ${carrier} (${bytes.length} B, ${answer} of ${answerLength} B), executed ${executed} ×, ended: ${end}`;
  }
}

export class Oracle {
  readonly asked: Asked[] = [];
  readonly problems: string[] = [];

  note(problem: string): void {
    this.problems.push(problem);
  }

  get open(): Asked[] {
    return this.asked.filter(a => a.end === undefined);
  }

  /** A request came: whose it is, if all of it is right. */
  executed(bytes: Uint8Array): Asked | undefined {
    const asked = bytes.length < HEAD ? undefined : this.asked[Buffer.from(bytes).readUInt32LE(0)];
    if (asked === undefined || sum(bytes) !== sum(asked.bytes)) {
      this.note(`a request of ${bytes.length} B that nobody sent, or not so: ${asked}`);
      return undefined;
    }
    this.begun(asked);
    return asked;
  }

  begun(asked: Asked): void {
    if (++asked.executed > 1) this.note(`executed again: ${asked}`);
  }

  /** A call came to its end. */
  ended(asked: Asked, code: string, answer?: Uint8Array): void {
    if (asked.end !== undefined) return this.note(`it ends again, with ${code}: ${asked}`);
    asked.end = code;
    if (asked.silent) return this.note(`it was given up, and ends: ${asked}`);
    if (!asked.may.has(code)) this.note(`it must end with ${[...asked.may].join(' or ')}: ${asked}`);
    if (code === 'none' && asked.executed !== 1) this.note(`an answer of nobody: ${asked}`);
    if (answer !== undefined && sum(answer) !== sum(asked.answerBytes))
      this.note(`another answer of ${answer.length} B: ${asked}`);
  }

  /** All calls that live may end so, too. */
  allow(codes: readonly string[], of: (asked: Asked) => boolean): void {
    for (const asked of this.open) if (of(asked)) for (const code of codes) asked.may.add(code);
  }
}
