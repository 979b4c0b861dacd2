/**
 * Applications that call and answer by slots, as host/transports/homa/README.md says: records and messages in the rings of
 * streams. What comes is compared with what was to come; nothing is known of Homa here.
 */
import { StreamEvent, StreamRequest } from '../../host/layout/layout.gen.js';
import type { StreamApp } from '../../host/streams/stream_app.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { parseIp } from '../../host/wire/address.js';

export const RECORD = 32;
const filled = (length: number): number => (length + RECORD - 1) & -RECORD;

export interface Message {
  call: number;
  /** Whom it is for, or from. */
  address: Uint8Array;
  port: number;
  bytes: Uint8Array;
}

/** A record and its message, filled up, as they stand in a ring. `length`: says that it is longer or shorter than it is. */
export function inRing({ call, address, port, bytes }: Message, length = bytes.length): Uint8Array {
  const out = new Uint8Array(RECORD + filled(bytes.length));
  const dv = new DataView(out.buffer);
  dv.setUint32(0, length, true);
  out[4] = address.length === 4 ? 2 : 10;
  dv.setUint16(6, port);
  out.set(address, 8);
  dv.setUint32(24, call, true);
  out.set(bytes, RECORD);
  return out;
}

/** Puts together what comes out of a stream's ring: records, and bytes as they come. */
export class Reader {
  #parts: Uint8Array[] = [];
  #have = 0;
  /** Of the message that is coming: its bytes so far. */
  begun: Message | undefined;
  #length = 0;

  constructor(readonly end: StreamEnd) {}

  /** The next message that is whole. */
  next(): Message | undefined {
    const n = this.end.readable;
    if (n > 0) {
      const into = new Uint8Array(n);
      this.end.read(into);
      this.#parts.push(into);
      this.#have += n;
    }
    if (!this.begun && this.#have >= RECORD) {
      const head = this.#take(RECORD);
      const dv = new DataView(head.buffer);
      this.#length = dv.getUint32(0, true);
      const address = head.slice(8, head[4] === 2 ? 12 : 24);
      this.begun = { call: dv.getUint32(24, true), address, port: dv.getUint16(6), bytes: new Uint8Array() };
    }
    if (!this.begun || this.#have < filled(this.#length)) return undefined;
    const whole = { ...this.begun, bytes: this.#take(filled(this.#length)).subarray(0, this.#length) };
    this.begun = undefined;
    return whole;
  }

  #take(n: number): Uint8Array {
    const all = Buffer.concat(this.#parts);
    this.#parts = all.length > n ? [all.subarray(n)] : [];
    this.#have = all.length - n;
    return Uint8Array.from(all.subarray(0, n));
  }
}

/** Writes as rings take it. */
export class Writer {
  #left: Uint8Array[] = [];

  constructor(readonly end: StreamEnd) {}

  put(bytes: Uint8Array): void {
    this.#left.push(bytes);
  }

  get waiting(): boolean {
    return this.#left.length > 0;
  }

  work(): void {
    while (this.#left.length > 0) {
      const n = this.end.write(this.#left[0]);
      if (n < this.#left[0].length) {
        this.#left[0] = this.#left[0].subarray(n);
        return;
      }
      this.#left.shift();
    }
  }
}

/** A slot of a client, call after call. */
export class ClientSlot {
  readonly reader: Reader;
  readonly writer: Writer;
  #call = 0;
  /** Numbers and answers, as they came. */
  readonly answers: Message[] = [];
  failed = false;

  constructor(readonly end: StreamEnd) {
    this.reader = new Reader(end);
    this.writer = new Writer(end);
    end.askRing(RECORD);
  }

  call(to: { address: string; port: number }, bytes: Uint8Array): number {
    const call = this.#call++;
    this.writer.put(inRing({ call, address: parseIp(to.address), port: to.port, bytes }));
    return call;
  }

  /** Calls that have no answer yet. */
  get open(): number {
    return this.#call - this.answers.length;
  }

  work(): void {
    if (this.end.released) return;
    this.writer.work();
    for (let m = this.reader.next(); m; m = this.reader.next()) this.answers.push(m);
  }
}

/** Answers by `answer`; undefined: it never does. */
export class Server {
  readonly slots = new Map<number, { end: StreamEnd; reader: Reader; writer: Writer }>();
  readonly requests: { id: number; message: Message }[] = [];
  readonly failed: number[] = [];

  constructor(
    readonly app: StreamApp,
    readonly answer: (request: Message) => Uint8Array | undefined,
  ) {}

  /** Takes events; each slot that is new is taken. */
  work(): void {
    this.app.take((end, events) => {
      if (events & (StreamEvent.HUP | StreamEvent.FREED) && !this.slots.has(end.id)) {
        end.release();
        return;
      }
      let slot = this.slots.get(end.id);
      if (slot?.end !== end) {
        slot = { end, reader: new Reader(end), writer: new Writer(end) };
        this.slots.set(end.id, slot);
        end.askRing(RECORD);
      }
      if (events & StreamEvent.ERR) this.failed.push(end.id);
      if (events & StreamEvent.HUP) {
        this.slots.delete(end.id);
        end.release();
      }
    });
    for (const [id, { reader, writer }] of this.slots) {
      for (let m = reader.next(); m; m = reader.next()) {
        this.requests.push({ id, message: m });
        const bytes = this.answer(m);
        if (bytes) writer.put(inRing({ ...m, bytes }));
      }
      writer.work();
    }
    this.app.flush();
  }
}

/** Takes the events of a client's slots, and lets them work. */
export function workClient(app: StreamApp, slots: readonly ClientSlot[]): void {
  app.take((end, events) => {
    const slot = slots.find(s => s.end === end);
    if (!slot || !(events & StreamEvent.HUP)) return;
    slot.work();
    slot.failed = true;
    end.request(StreamRequest.CLOSE);
    end.release();
  });
  for (const slot of slots) if (!slot.failed) slot.work();
  app.flush();
}
