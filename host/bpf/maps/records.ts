/**
 * Reads rings of records (assembly/bpf/maps/records.ts): the one reader of a ring buffer or of all lanes' rings
 * of a perf_event_array. Wake-ups are adaptive: while records come, the reader polls between turns of the event
 * loop; once nothing came for some turns it sleeps until a lane wakes it or a poll interval has passed (for
 * programs that submit with BPF_RB_NO_WAKEUP).
 */
import { RecordRingLayout, RecordRingView } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';

const BUSY = 0x80000000;
const DISCARD = 0x40000000;
const HEADER = 8;
/** Turns of the event loop without a record before the reader sleeps. */
const IDLE_TURNS = 16;

export interface ReadOptions {
  /** Ends the iteration. */
  signal?: AbortSignal;
  /** Keep the process alive while waiting. Default false: a reader alone does not hold it. */
  ref?: boolean;
  /** Longest sleep without a wake-up, ms. Default 20. */
  pollMs?: number;
}

type WaitAsync = (
  words: Int32Array,
  index: number,
  value: number,
  timeoutMs: number,
) => { async: boolean; value: Promise<string> | string };
const waitAsync = (Atomics as unknown as { waitAsync?: WaitAsync }).waitAsync;

/** One record: which ring it came from and a copy of its bytes. */
export interface RawRecord {
  ring: number;
  data: Uint8Array;
}

export class RecordReader {
  readonly #rings: RecordRingView[];
  readonly #words: BigInt64Array;
  #turn = 0;
  #stopped = false;

  constructor(
    readonly arena: Arena,
    ringsAt: number,
    count: number,
  ) {
    this.#rings = Array.from(
      { length: count },
      (_, i) => new RecordRingView(arena.dv, ringsAt + i * RecordRingLayout.size),
    );
    this.#words = new BigInt64Array(arena.memory.buffer);
  }

  /** Records that found no room, over all rings. */
  get dropped(): number {
    return this.#rings.reduce((n, r) => n + Number(this.#load(r, 'dropped')), 0);
  }

  /** Records of ring `i` that found no room. */
  droppedOf(i: number): number {
    return Number(this.#load(this.#rings[i], 'dropped'));
  }

  /** Bytes between consumer and producer, over all rings; records in work and discarded ones count. */
  get pendingBytes(): number {
    return this.#rings.reduce((n, r) => n + Number(this.#load(r, 'producer') - this.#load(r, 'consumer')), 0);
  }

  /** Takes the next record, from each ring in turn; undefined when none is ready. */
  next(): RawRecord | undefined {
    for (let i = 0; i < this.#rings.length; i++) {
      const ring = (this.#turn + i) % this.#rings.length;
      const data = this.#take(this.#rings[ring]);
      if (!data) continue;
      this.#turn = ring + 1;
      return { ring, data };
    }
    return undefined;
  }

  /** Skips everything that was put out so far. Only while no record is in work. */
  discardAll(): void {
    for (const r of this.#rings)
      Atomics.store(this.#words, (r.at + RecordRingLayout.consumer) >>> 3, this.#load(r, 'producer'));
  }

  #load(r: RecordRingView, field: 'consumer' | 'producer' | 'dropped'): bigint {
    return Atomics.load(this.#words, (r.at + RecordRingLayout[field]) >>> 3);
  }

  #take(r: RecordRingView): Uint8Array | undefined {
    const mask = BigInt(r.bytes - 1);
    let at = this.#load(r, 'consumer');
    const end = this.#load(r, 'producer');
    while (at < end) {
      const record = r.dataAt + Number(at & mask);
      const head = Atomics.load(this.arena.u32, record >>> 2);
      if (head & BUSY) return undefined;
      const length = (head & ~(BUSY | DISCARD)) >>> 0;
      const data =
        head & DISCARD ? undefined : this.arena.u8.slice(record + HEADER, record + HEADER + length);
      at += BigInt(Math.ceil((length + HEADER) / 8) * 8);
      Atomics.store(this.#words, (r.at + RecordRingLayout.consumer) >>> 3, at);
      if (data) return data;
    }
    return undefined;
  }

  /** Whether next() would find a record. */
  #ready(): boolean {
    return this.#rings.some(r => {
      const at = this.#load(r, 'consumer');
      if (at >= this.#load(r, 'producer')) return false;
      return !(Atomics.load(this.arena.u32, (r.dataAt + Number(at & BigInt(r.bytes - 1))) >>> 2) & BUSY);
    });
  }

  /** Ends read(): it returns after the record in hand. */
  stop(): void {
    this.#stopped = true;
    const wakes = (this.#rings[0].at + RecordRingLayout.wakes) >>> 2;
    Atomics.add(this.arena.i32, wakes, 1);
    Atomics.notify(this.arena.i32, wakes);
  }

  /** Records as they come, until stop(), the signal, or the consumer's return(). */
  async *read(options: ReadOptions = {}): AsyncGenerator<RawRecord, void, undefined> {
    this.#stopped = false;
    const stop = (): void => this.stop();
    options.signal?.addEventListener('abort', stop, { once: true });
    try {
      let idle = 0;
      while (!this.#stopped && !options.signal?.aborted) {
        const record = this.next();
        if (record) {
          idle = 0;
          yield record;
        } else if (idle++ < IDLE_TURNS) {
          await turn();
        } else {
          await this.#sleep(options.pollMs ?? 20, options.ref);
        }
      }
    } finally {
      options.signal?.removeEventListener('abort', stop);
    }
  }

  async #sleep(ms: number, ref: boolean | undefined): Promise<void> {
    const words = this.arena.i32;
    const waiting = (this.#rings[0].at + RecordRingLayout.waiting) >>> 2;
    const wakes = (this.#rings[0].at + RecordRingLayout.wakes) >>> 2;
    const before = Atomics.load(words, wakes);
    Atomics.store(words, waiting, 1);
    try {
      // A record committed before `waiting` was seen wakes nobody: look once more.
      if (this.#ready() || this.#stopped) return;
      if (!waitAsync || ref) return await pause(waitAsync ? Math.min(ms, 5) : ms, ref);
      const wait = waitAsync(words, wakes, before, ms);
      if (wait.async) await wait.value;
    } finally {
      Atomics.store(words, waiting, 0);
    }
  }
}

/** One turn of the event loop. Not unref'd: the loop would block before running an unref'd immediate. */
function turn(): Promise<void> {
  return new Promise(done => {
    setImmediate(done);
  });
}

function pause(ms: number, ref: boolean | undefined): Promise<void> {
  return new Promise(done => {
    const t = setTimeout(done, ms);
    if (!ref) t.unref();
  });
}
