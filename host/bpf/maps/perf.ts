/** perf_event_array: samples of bpf_perf_event_output, one ring per lane, as one async iterator. */
import type { MapSpec } from '../spec.js';
import { BpfMap, type MapPlace } from './map.js';
import { type ReadOptions, RecordReader } from './records.js';

export interface PerfSample {
  /** Lane that put it out; the number of lanes for programs run on the host's thread. */
  lane: number;
  data: Uint8Array;
}

export class PerfEventArrayMap extends BpfMap implements AsyncIterable<PerfSample> {
  readonly #reader: RecordReader;
  #reading = false;

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place);
    this.#reader = new RecordReader(place.arena, place.storage.header.aux0, place.storage.header.lanes);
  }

  /** Samples lost because their lane's ring was full. */
  get lost(): number {
    return this.#reader.dropped;
  }

  /** Samples that one lane lost. */
  lostOf(lane: number): number {
    return this.#reader.droppedOf(lane);
  }

  /** Takes what is ready now, from each lane in turn, without waiting. */
  poll(limit = Number.POSITIVE_INFINITY): PerfSample[] {
    this.assertReadable();
    const out: PerfSample[] = [];
    while (out.length < limit) {
      const record = this.#reader.next();
      if (!record) break;
      out.push({ lane: record.ring, data: record.data });
    }
    return out;
  }

  /** @throws MapError EBUSY while another iterator reads */
  async *samples(options: ReadOptions = {}): AsyncGenerator<PerfSample, void, undefined> {
    this.assertReadable();
    if (this.#reading)
      throw this.error('EBUSY', 'another iterator reads these rings', 'one reader at a time');
    this.#reading = true;
    try {
      for await (const { ring, data } of this.#reader.read(options)) yield { lane: ring, data };
    } finally {
      this.#reading = false;
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<PerfSample, void, undefined> {
    return this.samples();
  }

  /** Ends the iterator in use, also one that waits. */
  stop(): void {
    this.#reader.stop();
  }

  protected override onDestroy(): void {
    this.stop();
  }
}
