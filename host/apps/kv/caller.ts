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

/** What the callers of a workload share: keys that are not set yet, and what came of their requests. */
export class KvCalls {
  /** Next key to be set. */
  #next = 0;
  /** Keys whose set was answered. */
  preloaded = 0;
  misses = 0;
  failures = 0;

  constructor(
    readonly workload: Workload,
    /** The callers begin with the workload only then: until it is true they have nothing to ask for once the keys are set. */
    public started = false,
  ) {}

  /** The next key to be set; -1: all are. */
  nextToSet(): number {
    return this.#next < this.workload.keys ? this.#next++ : -1;
  }

  get ready(): boolean {
    return this.preloaded === this.workload.keys;
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

  ask(out: Answers): boolean {
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
      throw new Error(`an answer to request ${wordAt(bytes, at + 12)} where that to ${this.#answered} was due`);
    this.#answered = (this.#answered + 1) >>> 0;
    this.#body = bodyBytesOf(bytes, at);
    const status = statusOf(bytes, at);
    if (status === Status.NOT_FOUND) calls.misses++;
    else if (status !== Status.OK) calls.failures++;
    if (!calls.ready) calls.preloaded++;
  }
}
