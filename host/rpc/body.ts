/**
 * Bodies of requests and responses: bytes, text, or a stream of bytes. A stream whose length is known leaves as it comes; one
 * whose length is not is gathered first, up to the longest message.
 */
import { Readable } from 'node:stream';
import { RpcError } from './errors.js';
import { MOST_MESSAGE } from './frame.js';
import { Outgoing } from './outgoing.js';

/** Something that gives bytes: a Readable, a generator, an array of pieces. */
export type Pieces = AsyncIterable<Uint8Array | string> | Iterable<Uint8Array | string>;

export type RpcBodyInput = Uint8Array | string | Streamed | Pieces;

/** Pieces whose length is known: made by `streamed`. */
export class Streamed {
  constructor(
    readonly source: Pieces,
    /** Bytes in all. */
    readonly length: number,
  ) {}
}

/**
 * A body that leaves while its pieces come. @param length bytes in all: one that has other than so many ends the call
 * @throws RpcError EMSGSIZE, ERR_RPC_BODY
 */
export function streamed(source: Pieces, options: { length: number }): Streamed {
  const { length } = options ?? {};
  if (!Number.isInteger(length) || length < 0)
    throw new RpcError('ERR_RPC_BODY', `length: ${String(length)}`, {
      expected: '{ length }, a number of bytes',
    });
  if (length > MOST_MESSAGE) throw tooLong(length);
  return new Streamed(source, length);
}

const tooLong = (length: number): RpcError =>
  new RpcError('EMSGSIZE', `a message of ${length} bytes`, { expected: `${MOST_MESSAGE} at most` });

const unlike = (given: number, said: number): RpcError =>
  new RpcError(
    'ERR_RPC_BODY',
    `a body of ${given > said ? 'more than' : 'only'} ${Math.min(given, said)} bytes`,
    {
      expected: `${said}, as was said`,
    },
  );

const sourceOf = (body: Pieces | Streamed): Pieces => (body instanceof Streamed ? body.source : body);

/** Bytes that wait of a stream before its source is asked for more. */
const MOST_WAITING = 131_072;

const bytesOf = (piece: unknown): Uint8Array => {
  if (typeof piece === 'string') return Buffer.from(piece);
  if (piece instanceof Uint8Array) return piece;
  throw new RpcError('ERR_RPC_BODY', `a piece of a body that is ${piece === null ? 'null' : typeof piece}`, {
    expected: 'a Uint8Array or a string',
  });
};

/** Bytes that are there; undefined for what comes in pieces. @throws RpcError ERR_RPC_BODY, EMSGSIZE */
export function wholeBody(body: unknown): Uint8Array | undefined {
  if (body instanceof Streamed) return undefined;
  if (typeof body === 'object' && body !== null && !(body instanceof Uint8Array)) {
    if (Symbol.asyncIterator in body || Symbol.iterator in body) return undefined;
  }
  const bytes = body === undefined ? NOTHING : bytesOf(body);
  if (bytes.length > MOST_MESSAGE) throw tooLong(bytes.length);
  return bytes;
}

const NOTHING: Uint8Array = new Uint8Array(0);

/**
 * Gathers the pieces of a body whose length is not known, or is 0. @param over nobody wants the rest any more: its source is ended
 * @throws RpcError EMSGSIZE, ERR_RPC_BODY; what the source throws
 */
export async function gathered(body: Pieces | Streamed, over?: () => boolean): Promise<Uint8Array> {
  const said = body instanceof Streamed ? body.length : undefined;
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of sourceOf(body)) {
    const bytes = bytesOf(piece);
    length += bytes.length;
    if (length > (said ?? MOST_MESSAGE)) throw said === undefined ? tooLong(length) : unlike(length, said);
    pieces.push(bytes);
    if (over?.()) return NOTHING;
  }
  if (said !== undefined && length < said) throw unlike(length, said);
  return Buffer.concat(pieces);
}

/**
 * Feeds a message that leaves meanwhile. Resolves when all of it was handed over, or nobody wants it: then its source is ended.
 * Its last bytes wait until the source has ended: before, nobody knows whether it has as many as were promised.
 * @param goOn there is more @throws RpcError ERR_RPC_BODY; what the source throws
 */
export async function feed({ source, length }: Streamed, out: Outgoing, goOn: () => void): Promise<void> {
  let given = 0;
  let sent = (): void => {};
  let last: Uint8Array = NOTHING;
  if (out.dropped) return endSource(source);
  out.onSent = () => {
    // It may be idle just now.
    if (out.dropped) endSource(source);
    sent();
  };
  try {
    for await (const piece of source) {
      if (out.dropped) return;
      const bytes = bytesOf(piece);
      given += bytes.length;
      if (given > length) break;
      if (given === length) {
        if (bytes.length > 0) last = bytes;
        continue;
      }
      out.push(bytes);
      goOn();
      if (out.dropped) return;
      if (out.waiting > MOST_WAITING)
        await new Promise<void>(done => {
          sent = () => {
            if (out.dropped || out.waiting <= MOST_WAITING >> 1) done();
          };
        });
      if (out.dropped) return;
    }
  } catch (error) {
    if (out.dropped) return;
    throw error;
  }
  if (out.dropped) return;
  if (given !== length) throw unlike(given, length);
  out.push(last);
  goOn();
}

/** Ends the source of a body that nobody wants any more, whatever it is at. */
export function endSource(body: Pieces | Streamed): void {
  const source = sourceOf(body);
  const { destroy, return: back } = source as { destroy?: () => unknown; return?: () => unknown };
  try {
    if (typeof destroy === 'function') destroy.call(source);
    else if (typeof back === 'function') Promise.resolve(back.call(source)).catch(() => {});
  } catch {
    // What it has to say about its end nobody waits for.
  }
}

/** What leaves of a body as it comes; undefined of an empty one: it would be whole before its source has ended. */
export const outgoingOf = ({ length }: Streamed): Outgoing | undefined =>
  length > 0 ? new Outgoing(length) : undefined;

/** A message that is read while it comes. It may be read once. */
export class RpcBody implements AsyncIterable<Uint8Array> {
  #pieces: Uint8Array[] = [];
  #came = 0;
  #ended = false;
  #read = false;
  #error: Error | undefined;
  #news: (() => void) | undefined;

  /** @internal */
  constructor(
    /** Bytes in all. */
    readonly length: number,
  ) {}

  /** Bytes that came so far. */
  get received(): number {
    return this.#came;
  }

  /** @internal What came, in memory that is its own. */
  push(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#pieces.push(bytes);
    this.#came += bytes.length;
    if (this.#came === this.length) this.#ended = true;
    this.#wake();
  }

  /** @internal The rest will not come. */
  fail(error: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#wake();
  }

  #wake(): void {
    const news = this.#news;
    this.#news = undefined;
    news?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    if (this.#read)
      throw new RpcError('ERR_RPC_BODY', 'the body was read before', { expected: 'one reader' });
    this.#read = true;
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) yield piece;
      else if (this.#error !== undefined) throw this.#error;
      else if (this.#ended) return;
      else
        await new Promise<void>(news => {
          this.#news = news;
        });
    }
  }

  /** All of it. @throws RpcError ERR_RPC_BODY when it was read before; when the rest does not come */
  async bytes(): Promise<Buffer> {
    const pieces: Uint8Array[] = [];
    for await (const piece of this) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** All of it as text. */
  async text(): Promise<string> {
    return (await this.bytes()).toString();
  }

  /** As a stream of Node. */
  stream(): Readable {
    return Readable.from(this, { objectMode: false });
  }
}
