/**
 * Messages over Homa's slots (host/transports/homa/README.md): a slot carries one call at a time, so there are as many as
 * calls are under way. Each peer has its own, and long messages have others than short ones: rings grow and stay large.
 *
 *   begin ─▶ a slot that rests, or a new one ─▶ record (32 B) and bytes ─▶ send ring        what is in them is not looked at
 *   receive ring ─▶ record ─▶ bytes taken ─▶ request: an answer by the same stream · answer: done, the slot rests
 */
import { StreamEvent, StreamRequest } from '../../layout/layout.gen.js';
import type { Stack } from '../../net/stack.js';
import type { StreamApp } from '../../streams/stream_app.js';
import type { StreamEnd } from '../../streams/stream_end.js';
import type { ClientPlace, LoadedMessages, MessageView } from '../../transports/messages.js';
import { parseIp } from '../../wire/address.js';
import { type Done, type MessageCarrier, ONE_WAY_ANSWER } from './carrier.js';

const RECORD = 32;
const filled = (length: number): number => (length + RECORD - 1) & -RECORD;
/** Messages up to so many bytes have slots of their own. */
const SHORT = 16 << 10;
/** Slots that are opened at a time; one where there are many peers, each of which has its own. */
const FEW = 4;
const MANY_PEERS = 16;

/** A stream of either side. */
class Slot {
  call = 0;
  done: Done | undefined;
  /** Bytes to be written still; undefined: nothing is under way, or only the record is missing (`owed`). */
  unsent = 0;
  /** The record of this length is to be written. */
  owed: number | undefined;
  /** Bytes of the message that comes; undefined: its record does. */
  missing: number | undefined;
  bytes = 0;

  constructor(
    readonly end: StreamEnd,
    /** Where it rests; undefined: a server's. */
    readonly rest: Slot[] | undefined,
    /** Of a client: the peer's address and port. Of a server: as it came. */
    readonly record: Uint8Array,
  ) {}
}

interface Peer {
  record: Uint8Array;
  short: Slot[];
  long: Slot[];
}

export interface HomaMessagesOptions {
  /** Where requests are taken. */
  port: number;
  /** Port of the engine, by number. */
  ifindex: number;
  /** Answers are 100 bytes. */
  oneWay?: boolean;
  /** Who calls `turn`: with `take` an inline engine is stepped by somebody else. */
  news?: 'poll' | 'take';
}

export class HomaMessages implements MessageCarrier {
  readonly served = { requests: 0, bytesIn: 0, bytesOut: 0 };
  readonly errors: string[] = [];
  readonly ready = true;
  readonly app: StreamApp;
  readonly #messages: LoadedMessages;
  readonly #view: MessageView;
  readonly #client: ClientPlace;
  readonly #peers: Peer[] = [];
  readonly #slots = new Map<number, Slot>();
  readonly #record = new Uint8Array(RECORD);
  readonly #words = new DataView(this.#record.buffer);
  /** Messages for which there was no stream. */
  readonly #waiting: { peer: number; bytes: number; done: Done }[] = [];

  /** @throws EtherloomError ERR_APPS_FULL; SocketError EADDRINUSE */
  constructor(
    readonly stack: Stack,
    readonly options: HomaMessagesOptions,
  ) {
    this.app = stack.apps.open();
    this.#messages = stack.messages!;
    this.#view = this.#messages.transport.view(stack.engine.arena, this.#messages.shared);
    this.#client = this.#messages.client({ app: this.app.number });
  }

  /** Takes requests. @throws SocketError EADDRINUSE; EtherloomError ERR_HOMA_PORT */
  serve(): void {
    this.#messages.serve({ app: this.app.number, port: this.options.port });
  }

  /** Names a peer, which gets the next number. */
  meet(host: string, port = this.options.port): number {
    const record = new Uint8Array(RECORD);
    const address = parseIp(host);
    record[4] = address.length === 4 ? 2 : 10;
    new DataView(record.buffer).setUint16(6, port);
    record.set(address, 8);
    return this.#peers.push({ record, short: [], long: [] }) - 1;
  }

  answerBytes(bytes: number): number {
    return this.options.oneWay ? ONE_WAY_ANSWER : bytes;
  }

  /** Slots of calls and answers that there are. */
  get slots(): number {
    return this.#slots.size;
  }

  begin(peer: number, bytes: number, done: Done): void {
    const p = this.#peers[peer];
    const rest = bytes > SHORT ? p.long : p.short;
    const slot = rest.pop() ?? this.#open(p, rest);
    if (slot === undefined) {
      this.#waiting.push({ peer, bytes, done });
      return;
    }
    slot.done = done;
    slot.owed = bytes;
    this.#write(slot);
  }

  #open({ record }: Peer, rest: Slot[]): Slot | undefined {
    let ids: number[] = [];
    try {
      const n = this.#peers.length > MANY_PEERS ? 1 : FEW;
      ids = this.#messages.openSlots(this.#client, n, { ifindex: this.options.ifindex });
    } catch (error) {
      if ((error as { errno?: string }).errno !== 'ENOBUFS') throw error;
    }
    for (const id of ids) {
      const slot = new Slot(this.app.end(id), rest, record);
      this.#slots.set(id, slot);
      slot.end.askRing(RECORD);
      rest.push(slot);
    }
    return rest.pop();
  }

  turn(): number {
    if (this.options.news !== 'take' && this.stack.engine.inline) this.stack.engine.step();
    const n = this.app.take(this.#heard);
    if (n > 0 && this.#waiting.length > 0) this.#beginWaiting();
    if (n > 0) this.app.flush();
    return n;
  }

  /** Who waits for another peer's slots holds nobody up. */
  #beginWaiting(): void {
    const all = this.#waiting.splice(0);
    for (const one of all) {
      const { short, long } = this.#peers[one.peer];
      if ((one.bytes > SHORT ? long : short).length > 0) this.begin(one.peer, one.bytes, one.done);
      else this.#waiting.push(one);
    }
  }

  flush(): void {
    this.app.flush();
  }

  readonly #heard = (end: StreamEnd, events: number): void => {
    let slot = this.#slots.get(end.id);
    if (slot?.end !== end) {
      if (events & (StreamEvent.HUP | StreamEvent.FREED)) {
        end.release();
        return;
      }
      slot = new Slot(end, undefined, new Uint8Array(RECORD));
      this.#slots.set(end.id, slot);
      end.askRing(RECORD);
    }
    this.#take(slot);
    this.#write(slot);
    if (events & (StreamEvent.ERR | StreamEvent.HUP)) this.#end(slot);
  };

  #write(slot: Slot): void {
    const { end } = slot;
    if (slot.owed !== undefined) {
      const { record } = slot;
      const words = this.#words;
      this.#record.set(record);
      words.setUint32(0, slot.owed, true);
      words.setUint32(24, slot.call, true);
      while (!end.writeAll(this.#record)) if (!end.wantRoom(RECORD)) return;
      slot.unsent = filled(slot.owed);
      slot.owed = undefined;
    }
    while (slot.unsent > 0) {
      const room = end.room;
      if (room === 0) {
        // No more than a ring has: what was sent stays in it, and the ring that grows may be no larger than it must.
        if (end.wantRoom(RECORD)) continue;
        return;
      }
      const n = Math.min(room, slot.unsent);
      end.commit(n);
      slot.unsent -= n;
    }
  }

  #take(slot: Slot): void {
    const { end } = slot;
    for (;;) {
      if (slot.missing === undefined) {
        if (end.readable < RECORD) return;
        end.read(this.#record);
        slot.bytes = this.#words.getUint32(0, true);
        slot.missing = filled(slot.bytes);
        const call = this.#words.getUint32(24, true);
        if (slot.rest === undefined) {
          slot.record.set(this.#record);
          slot.call = call;
          // The client gave the call before up: what was left of its answer would be the next one's.
        } else if (call !== slot.call) {
          this.#fail(slot, 'EPROTO');
          return;
        }
      }
      if (slot.missing > 0) {
        const n = Math.min(end.readable, slot.missing);
        if (n === 0) return;
        end.consume(n);
        slot.missing -= n;
        if (slot.missing > 0) return;
      }
      slot.missing = undefined;
      this.#came(slot);
    }
  }

  #came(slot: Slot): void {
    if (slot.rest === undefined) {
      const answer = this.answerBytes(slot.bytes);
      this.served.requests++;
      this.served.bytesIn += slot.bytes;
      this.served.bytesOut += answer;
      slot.owed = answer;
      this.#write(slot);
      return;
    }
    const { done } = slot;
    slot.done = undefined;
    slot.call = (slot.call + 1) >>> 0;
    slot.rest.push(slot);
    done?.(undefined);
  }

  #fail(slot: Slot, why: string): void {
    slot.end.request(StreamRequest.ABORT);
    this.#forget(slot, why);
  }

  /** The transport has ended it. */
  #end(slot: Slot): void {
    this.#forget(slot, this.#view.error(slot.end.id) ?? 'ECONNRESET');
  }

  #forget(slot: Slot, why: string): void {
    const { end, rest, done } = slot;
    this.#slots.delete(end.id);
    end.release();
    const at = rest?.indexOf(slot) ?? -1;
    if (at >= 0) rest!.splice(at, 1);
    slot.done = undefined;
    if (done === undefined) return;
    this.errors.push(why);
    done(why);
  }

  close(): void {
    for (const { end } of this.#slots.values()) {
      end.request(StreamRequest.ABORT);
      end.release();
    }
    this.#slots.clear();
    this.app.flush();
    this.#messages.unserve(this.options.port);
    this.#messages.closeClient(this.#client);
    this.stack.apps.close(this.app.number);
  }
}
