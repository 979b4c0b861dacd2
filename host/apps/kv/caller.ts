/** Who asks the store: first every key is set once, then gets and sets by the workload. */
import type { Caller } from '../load/caller.js';
import type { Answers } from '../service.js';
import {
  ANSWER,
  ASK,
  bodyBytesOf,
  HEADER_BYTES,
  Opcode,
  SET_EXTRAS,
  Status,
  statusOf,
  wordAt,
  writeHeader,
} from './protocol.js';
import type { Workload } from './workload.js';

/** Words that the callers of all threads share. */
const AT = { next: 0, preloaded: 1, misses: 2, failures: 3, started: 4 } as const;

/** What the callers of a workload share: keys that are not set yet, and what came of their requests. */
export class KvCalls {
  readonly #words: Int32Array;

  constructor(
    readonly workload: Workload,
    memory: SharedArrayBuffer = KvCalls.memory(),
  ) {
    this.#words = new Int32Array(memory);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(32);
  }

  /** The next key to be set; -1: all are. */
  nextToSet(): number {
    const words = this.#words;
    if (words[AT.next] >= this.workload.keys) return -1;
    const k = Atomics.add(words, AT.next, 1);
    return k < this.workload.keys ? k : -1;
  }

  /** Every key was set. */
  get ready(): boolean {
    return this.#words[AT.preloaded] >= this.workload.keys;
  }

  /** The workload begins: until then callers have nothing to ask for once all keys are set. */
  start(): void {
    Atomics.store(this.#words, AT.started, 1);
  }

  get started(): boolean {
    return this.#words[AT.started] !== 0;
  }

  answered(status: number): void {
    if (!this.ready) Atomics.add(this.#words, AT.preloaded, 1);
    if (status === Status.NOT_FOUND) Atomics.add(this.#words, AT.misses, 1);
    else if (status !== Status.OK) Atomics.add(this.#words, AT.failures, 1);
  }

  /** Gets that found nothing: what the store had no room for any more. */
  get misses(): number {
    return Atomics.load(this.#words, AT.misses);
  }

  /** Answers that say that something went wrong. */
  get failures(): number {
    return Atomics.load(this.#words, AT.failures);
  }
}

export class KvCaller implements Caller {
  /** A header that came in part. */
  readonly #header = new Uint8Array(HEADER_BYTES);
  #headerBytes = 0;
  /** Bytes of a body still to come. */
  #body = 0;
  /** Requests by number: answers come in their order. */
  #asked = 0;
  #answered = 0;

  constructor(readonly calls: KvCalls) {}

  ask(out: Answers, most: number): number {
    let asked = 0;
    while (asked < most && this.#askOne(out)) asked++;
    return asked;
  }

  #askOne(out: Answers): boolean {
    const { calls } = this;
    const { workload } = calls;
    let k = calls.nextToSet();
    let get = false;
    if (k < 0) {
      if (!calls.started) return false;
      k = workload.nextKey();
      get = workload.nextIsGet();
    }
    const { keyBytes, valueBytes } = workload;
    const extras = get ? 0 : SET_EXTRAS;
    const body = extras + keyBytes + (get ? 0 : valueBytes);
    const at = out.reserve(HEADER_BYTES + body);
    const { bytes } = out;
    writeHeader(bytes, at, ASK, get ? Opcode.GET : Opcode.SET, keyBytes, extras, 0, body);
    bytes.writeUInt32BE(this.#asked >>> 0, at + 12);
    this.#asked = (this.#asked + 1) >>> 0;
    const rest = at + HEADER_BYTES;
    if (!get) for (let i = 0; i < SET_EXTRAS; i++) bytes[rest + i] = 0;
    workload.writeKey(k, bytes, rest + extras);
    if (!get) bytes.fill(k, rest + extras + keyBytes, at + HEADER_BYTES + body);
    return true;
  }

  take(bytes: Uint8Array, n: number): number {
    let answers = 0;
    for (let at = 0; at < n; ) {
      if (this.#body > 0) {
        const passed = Math.min(this.#body, n - at);
        this.#body -= passed;
        at += passed;
      } else if (this.#headerBytes === 0 && n - at >= HEADER_BYTES) {
        this.#read(bytes, at);
        at += HEADER_BYTES;
      } else {
        const more = Math.min(HEADER_BYTES - this.#headerBytes, n - at);
        for (let i = 0; i < more; i++) this.#header[this.#headerBytes + i] = bytes[at + i];
        this.#headerBytes += more;
        at += more;
        if (this.#headerBytes < HEADER_BYTES) break;
        this.#headerBytes = 0;
        this.#read(this.#header, 0);
      }
      if (this.#body === 0) answers++;
    }
    return answers;
  }

  /** @throws Error for what is no answer to the oldest request */
  #read(bytes: Uint8Array, at: number): void {
    const { calls } = this;
    if (bytes[at] !== ANSWER || wordAt(bytes, at + 12) !== this.#answered)
      throw new Error(
        `an answer to request ${wordAt(bytes, at + 12)} where that to ${this.#answered} was due`,
      );
    this.#answered = (this.#answered + 1) >>> 0;
    this.#body = bodyBytesOf(bytes, at);
    calls.answered(statusOf(bytes, at));
  }
}
