/** ringbuf: records of programs as an async iterator. */
import type { Btf } from '../btf/btf.js';
import { decodeValue } from '../btf/codec.js';
import { findType } from '../btf/types.js';
import type { MapSpec } from '../spec.js';
import { recordDecoder } from './codec.js';
import { BpfMap, type MapPlace } from './map.js';
import { type ReadOptions, RecordReader } from './records.js';

export interface RingBufOptions<T> extends ReadOptions {
  /** Turns a record's bytes into what the iterator yields. Default: by `type`, by the map's BTF value type, else bytes. */
  decode?: (record: Uint8Array) => T;
  /** Name of the structure that the records are, looked up in `btf`. */
  type?: string;
  /** Type information of the object, for `type`: a ring buffer's own says nothing of its records. */
  btf?: Btf;
}

/**
 * `for await (const record of ringbuf)` yields records in the order they were reserved. A slow reader holds
 * programs back: a full ring refuses records, which `dropped` counts. One reader at a time.
 */
export class RingBufMap<T = Uint8Array> extends BpfMap implements AsyncIterable<T> {
  readonly #reader: RecordReader;
  readonly #decode: (record: Uint8Array) => T;
  #reading = false;

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place);
    this.#reader = new RecordReader(place.arena, place.storage.header.aux0, 1);
    this.#decode = recordDecoder(spec) as (record: Uint8Array) => T;
  }

  /** Records refused because the ring was full. */
  get dropped(): number {
    return this.#reader.dropped;
  }

  /** Bytes not read yet (BPF_RB_AVAIL_DATA). */
  get pendingBytes(): number {
    return this.#reader.pendingBytes;
  }

  /** Takes what is ready now, at most `limit` records, without waiting. */
  poll(limit = Number.POSITIVE_INFINITY): T[] {
    this.assertReadable();
    const out: T[] = [];
    while (out.length < limit) {
      const record = this.#reader.next();
      if (!record) break;
      out.push(this.#decode(record.data));
    }
    return out;
  }

  /** Skips everything that was put out so far. Only while no program is between reserve and submit. */
  discardAll(): void {
    this.assertReadable();
    this.#reader.discardAll();
  }

  /** @throws MapError EBUSY while another iterator reads */
  async *records<U = T>(options: RingBufOptions<U> = {}): AsyncGenerator<U, void, undefined> {
    this.assertReadable();
    if (this.#reading) throw this.error('EBUSY', 'another iterator reads this ring', 'one reader at a time');
    const decode = options.decode ?? (this.#decoderOf(options) as (record: Uint8Array) => U);
    this.#reading = true;
    try {
      for await (const { data } of this.#reader.read(options)) yield decode(data);
    } finally {
      this.#reading = false;
    }
  }

  #decoderOf({ type, btf = this.spec.btf?.types }: RingBufOptions<unknown>): (record: Uint8Array) => unknown {
    if (type === undefined) return this.#decode;
    const id = btf && (findType(btf, type, 'struct') ?? findType(btf, type, 'typedef'));
    if (!btf || id === undefined)
      throw this.error('ENOENT', `no type ${type}`, 'a struct or typedef in the given btf');
    return record => decodeValue(btf, id, record);
  }

  [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    return this.records();
  }

  /** Ends the iterator in use, also one that waits. */
  stop(): void {
    this.#reader.stop();
  }

  protected override onDestroy(): void {
    this.stop();
  }
}
