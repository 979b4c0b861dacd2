/**
 * The trace log of programs: what bpf_trace_printk wrote, lane by lane (assembly/bpf/helpers/trace.ts).
 * One ring a lane in the scratch region; lanes write, this reads. A ring that nobody reads loses lines and counts them.
 */
import { EtherloomError } from '../errors.js';
import {
  LaneStateLayout,
  LaneStateView,
  TRACE_LINE_BYTES,
  TraceRingLayout,
  TraceRingView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';

export interface TraceLine {
  /** Lane that wrote it; laneCount for the host instance (test runs). */
  lane: number;
  /** Its clock then. */
  ns: bigint;
  text: string;
}

/** {u32 length, u64 ns} before each text. */
const HEAD = 12;

export class TraceLog {
  readonly #rings: TraceRingView[] = [];
  readonly #decoder = new TextDecoder();

  /**
   * Opens a ring of `bytes` bytes for every lane and the host instance.
   * @throws EtherloomError ERR_TRACE_SIZE, ERR_ARENA_FULL
   */
  constructor(
    readonly arena: Arena,
    bytes = 1 << 16,
  ) {
    if (bytes < 2 * TRACE_LINE_BYTES || (bytes & (bytes - 1)) !== 0)
      throw new EtherloomError('ERR_TRACE_SIZE', `trace ring of ${bytes} bytes`, {
        expected: `a power of two of at least ${2 * TRACE_LINE_BYTES}`,
      });
    const { header, scratch, dv, u8 } = arena;
    for (let i = 0; i <= header.laneCount; i++) {
      const at = scratch.alloc(TraceRingLayout.size, 64);
      u8.fill(0, at, at + TraceRingLayout.size);
      const ring = new TraceRingView(dv, at);
      ring.dataAt = scratch.alloc(bytes, 64);
      ring.bytes = bytes;
      ring.lineAt = scratch.alloc(TRACE_LINE_BYTES, 64);
      new LaneStateView(dv, header.lanesAt + i * LaneStateLayout.size).traceAt = at;
      this.#rings.push(ring);
    }
  }

  /** Lines that found no room since the start. */
  get lost(): number {
    return this.#rings.reduce((n, r) => n + r.lost, 0);
  }

  /** Takes what is there now, lane by lane, oldest first. */
  read(): TraceLine[] {
    const lines: TraceLine[] = [];
    this.#rings.forEach((ring, lane) => {
      const word = (field: 'producer' | 'consumer'): number => (ring.at + TraceRingLayout[field]) >> 2;
      const end = Atomics.load(this.arena.u32, word('producer'));
      let at = Atomics.load(this.arena.u32, word('consumer'));
      while (at !== end) {
        const length = this.#bytes(ring, at, 4).getUint32(0, true);
        const ns = this.#bytes(ring, at + 4, 8).getBigUint64(0, true);
        lines.push({ lane, ns, text: this.#decoder.decode(this.#bytes(ring, at + HEAD, length)) });
        at = (at + HEAD + ((length + 3) & ~3)) >>> 0;
      }
      Atomics.store(this.arena.u32, word('consumer'), end);
    });
    return lines;
  }

  /** A private copy of ring bytes: the arena is shared, and a decoder takes no shared memory. */
  #bytes(ring: TraceRingView, at: number, length: number): DataView {
    const copy = new Uint8Array(length);
    const offset = at & (ring.bytes - 1);
    const first = Math.min(length, ring.bytes - offset);
    copy.set(this.arena.u8.subarray(ring.dataAt + offset, ring.dataAt + offset + first));
    if (first < length) copy.set(this.arena.u8.subarray(ring.dataAt, ring.dataAt + length - first), first);
    return new DataView(copy.buffer);
  }

  /** Lines as they come, until `signal` aborts. Looks every `intervalMs`. */
  async *lines(
    options: { signal?: AbortSignal; intervalMs?: number } = {},
  ): AsyncGenerator<TraceLine, void, undefined> {
    const { signal, intervalMs = 50 } = options;
    while (true) {
      yield* this.read();
      if (signal?.aborted) return;
      await new Promise<void>(resolve => {
        const done = (): void => {
          clearTimeout(timer);
          signal?.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, intervalMs);
        signal?.addEventListener('abort', done);
      });
    }
  }

  [Symbol.asyncIterator](): AsyncGenerator<TraceLine, void, undefined> {
    return this.lines();
  }
}
