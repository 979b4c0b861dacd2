/**
 * The store's server as a session: requests of memcached's binary protocol in a row. Whole ones are answered where they lie;
 * of one that arrives in parts the beginning is kept.
 */
import { Stage } from '../patience.js';
import type { Answers, Service, Session } from '../service.js';
import {
  ANSWER,
  ASK,
  bodyBytesOf,
  GET_EXTRAS,
  HEADER_BYTES,
  KEY_BYTES,
  keyBytesOf,
  Opcode,
  SET_EXTRAS,
  Status,
  setWord,
  VALUE_BYTES,
  wordAt,
  writeHeader,
} from './protocol.js';
import type { KvStore } from './store.js';

const VERSION = Buffer.from('1.0.0');
/** Longest request that is looked at; of a longer one the header is answered and the rest passed over. */
const MOST_BODY = SET_EXTRAS + KEY_BYTES + VALUE_BYTES;
const EMPTY = new Uint8Array(0);
const FIRST_PART = 512;

/** Opcodes that are silent when all is well: what they are otherwise. */
const QUIET = new Map<number, number>([
  [Opcode.GETQ, Opcode.GET],
  [Opcode.GETKQ, Opcode.GETK],
  [Opcode.SETQ, Opcode.SET],
  [Opcode.ADDQ, Opcode.ADD],
  [Opcode.REPLACEQ, Opcode.REPLACE],
  [Opcode.DELETEQ, Opcode.DELETE],
  [Opcode.QUITQ, Opcode.QUIT],
]);

const WHEN: Readonly<Record<number, number>> = { [Opcode.SET]: 0, [Opcode.ADD]: -1, [Opcode.REPLACE]: 1 };

export class KvSession implements Session {
  ended = false;
  requests = 0;
  #part: Uint8Array = EMPTY;
  #partBytes = 0;
  /** Bytes of a request that was answered already, still to come. */
  #skip = 0;

  constructor(readonly store: KvStore) {}

  get stage(): Stage {
    return this.#partBytes > 0 || this.#skip > 0 ? Stage.HEAD : Stage.BETWEEN;
  }

  take(bytes: Uint8Array, n: number, out: Answers): number {
    let at = 0;
    while (at < n && !this.ended && !out.full) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, n - at);
        this.#skip -= skipped;
        at += skipped;
      } else if (this.#partBytes > 0) at = this.#goOn(bytes, at, n, out);
      else if (n - at < HEADER_BYTES) at = this.#keep(bytes, at, n, HEADER_BYTES);
      else {
        const size = this.#sizeAt(bytes, at);
        if (at + size <= n || this.#isWrong(bytes, at)) at += this.#answer(bytes, at, n - at, size, out);
        else at = this.#keep(bytes, at, n, size);
      }
    }
    return at;
  }

  #sizeAt(bytes: Uint8Array, at: number): number {
    return HEADER_BYTES + bodyBytesOf(bytes, at);
  }

  /** Whether its header is enough to refuse it. */
  #isWrong(bytes: Uint8Array, at: number): boolean {
    return bytes[at] !== ASK || bodyBytesOf(bytes, at) > MOST_BODY;
  }

  /** Keeps the beginning of a request of which `size` bytes are wanted: memory for what came, not for what was announced. */
  #keep(bytes: Uint8Array, from: number, to: number, size: number): number {
    const more = Math.min(to - from, size - this.#partBytes);
    if (this.#part.length < this.#partBytes + more) {
      const larger = new Uint8Array(Math.min(size, Math.max(FIRST_PART, 2 * (this.#partBytes + more))));
      larger.set(this.#part.subarray(0, this.#partBytes));
      this.#part = larger;
    }
    this.#part.set(bytes.subarray(from, from + more), this.#partBytes);
    this.#partBytes += more;
    return from + more;
  }

  #goOn(bytes: Uint8Array, from: number, to: number, out: Answers): number {
    if (this.#partBytes < HEADER_BYTES) {
      from = this.#keep(bytes, from, to, HEADER_BYTES);
      if (this.#partBytes < HEADER_BYTES) return from;
    }
    const size = this.#sizeAt(this.#part, 0);
    if (!this.#isWrong(this.#part, 0)) {
      from = this.#keep(bytes, from, to, size);
      if (this.#partBytes < size) return from;
    }
    const part = this.#part;
    const have = this.#partBytes;
    this.#partBytes = 0;
    this.#part = EMPTY;
    this.#answer(part, 0, have, size, out);
    return from;
  }

  /** Answers the request at `at`, of which `have` bytes are there. Returns how many of them it was. */
  #answer(bytes: Uint8Array, at: number, have: number, size: number, out: Answers): number {
    this.requests++;
    // What does not begin as a request is no memcached protocol: where the next one begins nobody knows.
    if (bytes[at] !== ASK) {
      this.ended = true;
      return have;
    }
    const asked = bytes[at + 1];
    if (size - HEADER_BYTES > MOST_BODY) {
      this.#say(bytes, at, asked, Status.TOO_LARGE, out);
      this.#skip = Math.max(0, size - have);
      return Math.min(size, have);
    }
    const keyBytes = keyBytesOf(bytes, at);
    const extras = bytes[at + 4];
    const valueBytes = size - HEADER_BYTES - keyBytes - extras;
    if (valueBytes < 0 || keyBytes > KEY_BYTES || bytes[at + 5] !== 0)
      this.#say(bytes, at, asked, Status.INVALID, out);
    else this.#do(bytes, at, asked, keyBytes, extras, valueBytes, out);
    return size;
  }

  #do(
    bytes: Uint8Array,
    at: number,
    asked: number,
    keyBytes: number,
    extras: number,
    valueBytes: number,
    out: Answers,
  ): void {
    const quietly = QUIET.get(asked);
    const opcode = quietly ?? asked;
    const quiet = quietly !== undefined;
    const key = at + HEADER_BYTES + extras;
    switch (opcode) {
      case Opcode.GET:
      case Opcode.GETK:
        if (keyBytes === 0 || extras !== 0 || valueBytes !== 0)
          return this.#say(bytes, at, asked, Status.INVALID, out);
        return this.#get(bytes, at, asked, opcode === Opcode.GETK, key, keyBytes, quiet, out);
      case Opcode.SET:
      case Opcode.ADD:
      case Opcode.REPLACE: {
        if (keyBytes === 0 || extras !== SET_EXTRAS) return this.#say(bytes, at, asked, Status.INVALID, out);
        const status = this.#set(bytes, at, opcode, key, keyBytes, valueBytes);
        if (!quiet || status !== Status.OK) this.#say(bytes, at, asked, status, out);
        return;
      }
      case Opcode.DELETE: {
        if (keyBytes === 0 || extras !== 0 || valueBytes !== 0)
          return this.#say(bytes, at, asked, Status.INVALID, out);
        const status = this.store.delete(bytes, key, keyBytes) ? Status.OK : Status.NOT_FOUND;
        if (!quiet || status !== Status.OK) this.#say(bytes, at, asked, status, out);
        return;
      }
      case Opcode.QUIT:
        this.ended = true;
        if (!quiet) this.#say(bytes, at, asked, Status.OK, out);
        return;
      case Opcode.NOOP:
        return this.#say(bytes, at, asked, Status.OK, out);
      case Opcode.VERSION:
        this.#say(bytes, at, asked, Status.OK, out, VERSION);
        return;
      default:
        return this.#say(bytes, at, asked, Status.UNKNOWN, out);
    }
  }

  #get(
    bytes: Uint8Array,
    at: number,
    asked: number,
    withKey: boolean,
    key: number,
    keyBytes: number,
    quiet: boolean,
    out: Answers,
  ): void {
    const told = withKey ? keyBytes : 0;
    const before = out.length;
    const to = out.reserve(HEADER_BYTES + GET_EXTRAS + told);
    const valueBytes = this.store.get(bytes, key, keyBytes, out);
    if (valueBytes < 0) {
      out.length = before;
      if (!quiet) this.#say(bytes, at, asked, Status.NOT_FOUND, out);
      return;
    }
    const { bytes: b } = out;
    writeHeader(b, to, ANSWER, asked, told, GET_EXTRAS, Status.OK, GET_EXTRAS + told + valueBytes);
    copyOpaque(bytes, at, b, to);
    setWord(b, to + HEADER_BYTES, this.store.flags);
    for (let i = 0; i < told; i++) b[to + HEADER_BYTES + GET_EXTRAS + i] = bytes[key + i];
  }

  #set(
    bytes: Uint8Array,
    at: number,
    opcode: number,
    key: number,
    keyBytes: number,
    valueBytes: number,
  ): number {
    // What expires, and what is to be compared before it is replaced, this store does not have.
    if (wordAt(bytes, at + HEADER_BYTES + 4) !== 0) return Status.NOT_SUPPORTED;
    if (wordAt(bytes, at + 16) !== 0 || wordAt(bytes, at + 20) !== 0) return Status.NOT_SUPPORTED;
    if (valueBytes > this.store.valueBytes) return Status.TOO_LARGE;
    const flags = wordAt(bytes, at + HEADER_BYTES);
    if (this.store.set(bytes, key, keyBytes, key + keyBytes, valueBytes, flags, WHEN[opcode]))
      return Status.OK;
    return opcode === Opcode.ADD ? Status.EXISTS : Status.NOT_FOUND;
  }

  /** An answer without flags: of a status, or with `value`. */
  #say(bytes: Uint8Array, at: number, asked: number, status: number, out: Answers, value = EMPTY): void {
    const to = out.reserve(HEADER_BYTES);
    writeHeader(out.bytes, to, ANSWER, asked, 0, 0, status, value.length);
    copyOpaque(bytes, at, out.bytes, to);
    if (value.length) out.append(value);
  }
}

function copyOpaque(from: Uint8Array, at: number, to: Uint8Array, toAt: number): void {
  for (let i = 12; i < 16; i++) to[toAt + i] = from[at + i];
}

/** The store's service: its sessions share the store. */
export const kv = (store: KvStore): Service => ({ open: () => new KvSession(store) });
