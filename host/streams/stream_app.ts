/**
 * An application: the thread that owns some streams. It hears of them by events, in batches, and rings the doorbells of
 * the lanes that own them.
 *
 *   StreamEnd.write, request ─▶ doorbell rings ──flush──▶ lanes             one store, one bit, one look at a flag a lane
 *   take(each) ◀── event rings ◀── lanes, at the end of their rounds        nothing to take: wait()
 *
 * Any thread that has the engine's memory can be one; the rings have one producer and one consumer, so one thread it is.
 * Opened by StreamApps (stream_apps.ts); a worker that was given memory and number attaches.
 */

import { EtherloomError } from '../errors.js';
import {
  AppLaneLayout,
  AppLaneView,
  AppLayout,
  AppState,
  AppView,
  LaneStateLayout,
  RingView,
  StreamEvent,
  StreamFlag,
  StreamLaneLayout,
  StreamLayout,
  StreamPoolView,
  StreamRequest,
} from '../layout/layout.gen.js';
import { Arena } from '../mem/arena.js';
import { raiseEvent, Sleep } from '../mem/wakes.js';
import { StreamEnd } from './stream_end.js';
import { KnownBytes } from './words.js';

/** Told of one stream: `events` are StreamEvent bits. */
export type TakeEvent = (stream: StreamEnd, events: number) => void;

/** What one lane and the application have between them. Indices are of words. */
interface LaneEnd {
  lane: number;
  /** It runs on this thread, so that nothing need be ordered: an atomic store waits for all stores before it. */
  near: boolean;
  /** Words of LaneState and StreamLane that are the other side's to look at. */
  state: number;
  rung: number;
  /** The bit of this application, and where it lies from `rung`. */
  bit: number;
  overflow: number;
  door: RingSide;
  event: RingSide;
  /** Next stream of a look through the table, 0 = none under way. */
  scan: number;
}

interface RingSide {
  producer: number;
  consumer: number;
  entries: number;
  mask: number;
  slots: number;
  /** Own cursor, and the other side's as it was last seen: signed, as they lie in the words. */
  own: number;
  seen: number;
}

/** Of ES2024, and in Node 20. */
const { waitAsync } = Atomics as unknown as {
  waitAsync(
    words: Int32Array,
    index: number,
    value: number,
    ms?: number,
  ): { async: false; value: string } | { async: true; value: Promise<string> };
};

/** With fewer streams all that they need is in some cache. */
const MANY_STREAMS = 1024;
/** Events of which the streams are looked at together. */
const AHEAD = 64;

/** Words of a ring's entry. */
const ENTRY = 4;
const ENTRY_OPTIONS = 3;

export class StreamApp {
  private readonly i32: Int32Array;
  private readonly lanes: LaneEnd[];
  /** By number of the stream, a place for each that there can be: a look is one line of memory, where a Map's are three. */
  private readonly ends: (StreamEnd | undefined)[];
  private known = 0;
  /** Waits under way. */
  private asleep = 0;
  /** Lanes that were rung since the last flush. */
  private readonly rung: boolean[];
  private dirty = false;
  private first = 0;
  private readonly word: number;
  private readonly streams: number;
  /** @internal Bytes that ends of its streams know. */
  readonly readInto = new KnownBytes();
  /** @internal */
  readonly writtenFrom = new KnownBytes();
  /** @internal The arena as what takes text. */
  readonly text: Buffer;
  /** @internal Of all that was fetched ahead: bits that nobody asks for. */
  fetched = 0;

  /** Use `attach`, or StreamApps.open. */
  private constructor(
    readonly arena: Arena,
    /** What the engine knows it by: argument of el_stream_open. */
    readonly number: number,
    /** Which application of its number it is. */
    readonly life: number,
    /** The lane on whose thread it runs; -1: it has one of its own. */
    readonly seat: number,
  ) {
    const { header, dv } = arena;
    this.i32 = arena.i32;
    this.text = Buffer.from(arena.u8.buffer);
    this.streams = header.streamsAt;
    this.ends = new Array(header.streamCount);
    const pool = new StreamPoolView(dv, header.streamPoolAt);
    const at = pool.appsAt + number * AppLayout.size;
    const app = new AppView(dv, at);
    this.word = at >> 2;
    this.lanes = Array.from({ length: header.laneCount }, (_, lane) => {
      const end = app.endsAt + lane * AppLaneLayout.size;
      const view = new AppLaneView(dv, end);
      const place = (number - 1) >> 5;
      return {
        lane,
        near: lane === seat,
        state: (header.lanesAt + lane * LaneStateLayout.size) >> 2,
        rung: ((pool.lanesAt + lane * StreamLaneLayout.size + StreamLaneLayout.rung) >> 2) + place,
        bit: 1 << ((number - 1) & 31),
        overflow: (end + AppLaneLayout.overflow) >> 2,
        door: side(arena, view.doorProducer, 'producer'),
        event: side(arena, view.eventConsumer, 'consumer'),
        scan: 0,
      };
    });
    this.rung = this.lanes.map(() => false);
  }

  /**
   * The application `number` of the engine with that memory, in the thread that is to be it.
   * @throws EtherloomError ERR_ARENA_MAGIC, ERR_APP_UNKNOWN when it is not open
   */
  static attach(memory: WebAssembly.Memory, number: number): StreamApp {
    return StreamApp.over(Arena.attach(memory), number);
  }

  /**
   * The same in a lane's own thread, between its steps (EngineOptions.resident): with the streams of that lane it deals
   * without atomic operations. @throws EtherloomError ERR_APP_UNKNOWN
   */
  static seated(arena: Arena, number: number, lane: number): StreamApp {
    return StreamApp.over(arena, number, undefined, lane);
  }

  /**
   * The same over an arena at hand. @param life which application of that number is meant; default: the present one
   * @throws EtherloomError ERR_APP_UNKNOWN
   */
  static over(arena: Arena, number: number, life?: number, seat = -1): StreamApp {
    const { header, dv } = arena;
    const pool = header.streamPoolAt ? new StreamPoolView(dv, header.streamPoolAt) : undefined;
    const known = Number.isInteger(number) && number >= 1 && number <= (pool?.appCount ?? 0);
    const app = known ? new AppView(dv, pool!.appsAt + number * AppLayout.size) : undefined;
    if (app?.state !== AppState.OPEN || (life !== undefined && app.life !== life))
      throw new EtherloomError('ERR_APP_UNKNOWN', `no application ${number}`, {
        expected: 'one that StreamApps.open() opened',
      });
    return new StreamApp(arena, number, app.life, seat);
  }

  /** Whether it was closed (StreamApps.close): its number is nobody's or another's, and nothing here does anything more. */
  get ended(): boolean {
    // A plain look: an atomic one is a call in V8, and every message asks.
    return this.i32[this.word + (AppLayout.life >> 2)] >>> 0 !== this.life;
  }

  /** Streams that it has ends of. */
  get size(): number {
    return this.known;
  }

  /** The end of stream `id` of this application. @throws EtherloomError ERR_STREAM_UNKNOWN */
  end(id: number): StreamEnd {
    const found = this.find(id, this.stream(id, StreamLayout.generation));
    if (found) return found;
    throw new EtherloomError('ERR_STREAM_UNKNOWN', `stream ${id} is not one of application ${this.number}`);
  }

  private stream(id: number, offset: number): number {
    return Atomics.load(this.i32, (this.streams + id * StreamLayout.size + offset) >> 2) >>> 0;
  }

  /** The end of the stream in that life, made when it is new; undefined when it is not this application's. */
  private find(id: number, generation: number): StreamEnd | undefined {
    const known = this.ends[id];
    if (known !== undefined && known.generation === generation) return known;
    const flags = this.stream(id, StreamLayout.flags);
    if (
      (flags & (StreamFlag.OPEN | StreamFlag.CLOSED)) === 0 ||
      this.stream(id, StreamLayout.app) !== this.number ||
      this.stream(id, StreamLayout.generation) !== generation ||
      // One that it does not know of may end without it.
      this.stream(id, StreamLayout.told) === 0 ||
      this.stream(id, StreamLayout.released) !== 0
    )
      return undefined;
    const end = new StreamEnd(this, id, generation, this.stream(id, StreamLayout.lane));
    if (!known) this.known++;
    this.ends[id] = end;
    return end;
  }

  /** A stream was released. */
  forget(end: StreamEnd): void {
    if (this.ends[end.id] !== end) return;
    this.ends[end.id] = undefined;
    this.known--;
  }

  // ── doorbells ─────────────────────────────────────────────────────────────────────────────────────────────────

  /**
   * Stages a doorbell. StreamEnd calls it for a stream that has none on its way. False: there was no room, and the lane looks
   * through its streams for those that are RUNG.
   */
  door(lane: number, id: number, generation: number): boolean {
    const { door, rung } = this.lanes[lane];
    this.rung[lane] = true;
    this.dirty = true;
    if ((door.own - door.seen) >>> 0 >= door.slots) {
      door.seen = Atomics.load(this.i32, door.consumer);
      if ((door.own - door.seen) >>> 0 >= door.slots) {
        // No room: the lane looks through its streams for requests.
        const wanted =
          rung - ((this.number - 1) >> 5) + ((StreamLaneLayout.scanWanted - StreamLaneLayout.rung) >> 2);
        Atomics.store(this.i32, wanted, 1);
        return false;
      }
    }
    const at = door.entries + (door.own & door.mask) * ENTRY;
    this.i32[at] = id;
    this.i32[at + ENTRY_OPTIONS] = generation;
    door.own = (door.own + 1) | 0;
    return true;
  }

  /**
   * The same in the lane's own thread, for one that asks for nothing but to be looked at: whether its doorbell is on its way
   * the ring itself says, by the position that its last one had, which is returned. No atomic operation, nor the lane's answer
   * to one.
   */
  doorHere(last: number, lane: number, id: number, generation: number): number {
    const { door } = this.lanes[lane];
    const i32 = this.i32;
    const consumed = i32[door.consumer];
    const at = door.entries + (last & door.mask) * ENTRY;
    // Of any time ago: the entry says whose it is.
    if (
      (last - consumed) >>> 0 < (door.own - consumed) >>> 0 &&
      i32[at] === id &&
      i32[at + ENTRY_OPTIONS] >>> 0 === generation
    )
      return last;
    const position = door.own;
    if (!this.door(lane, id, generation)) {
      const record = (this.streams + id * StreamLayout.size) >> 2;
      Atomics.or(i32, record + (StreamLayout.requests >> 2), StreamRequest.RUNG);
    }
    return position;
  }

  /** Publishes what was written and asked since the last flush, and wakes lanes that sleep. `take` and `wait` do so, too. */
  flush(): void {
    if (!this.dirty || this.ended) return;
    this.dirty = false;
    for (let i = 0; i < this.lanes.length; i++) {
      if (!this.rung[i]) continue;
      this.rung[i] = false;
      this.publish(this.lanes[i]);
    }
  }

  private publish({ lane, near, state, rung, bit, door }: LaneEnd): void {
    if (near) {
      // It is awake, for this is its thread; the word of bits is other applications', too.
      this.i32[door.producer] = door.own;
      Atomics.or(this.i32, rung, bit);
      return;
    }
    Atomics.store(this.i32, door.producer, door.own);
    Atomics.or(this.i32, rung, bit);
    const sleeping = Atomics.load(this.i32, state + (LaneStateLayout.sleeping >> 2));
    if (sleeping === Sleep.AWAKE) return;
    if (sleeping === Sleep.IN_POLL) raiseEvent(this.arena, lane);
    else {
      const wake = state + (LaneStateLayout.wake >> 2);
      Atomics.add(this.i32, wake, 1);
      Atomics.notify(this.i32, wake, 1);
    }
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Whether there are events to take. */
  get pending(): boolean {
    return (
      !this.ended &&
      this.lanes.some(
        l =>
          l.scan !== 0 ||
          Atomics.load(this.i32, l.event.producer) !== l.event.own ||
          Atomics.load(this.i32, l.overflow) !== 0,
      )
    );
  }

  /**
   * Hands at most `max` streams with their events to `each`, lane by lane, each lane first in its turn; then flushes.
   * A stream that is new comes with its first event; who does not want it releases it. Returns streams handed out.
   */
  take(each: TakeEvent, max = 0x7fffffff): number {
    if (this.ended) return 0;
    let n = 0;
    const count = this.lanes.length;
    let at = this.first;
    for (let left = count; left !== 0 && n < max; left--) {
      n += this.takeFrom(this.lanes[at], each, max - n);
      if (++at === count) at = 0;
    }
    if (++this.first === count) this.first = 0;
    if (this.dirty) this.flush();
    return n;
  }

  private takeFrom(lane: LaneEnd, each: TakeEvent, max: number): number {
    const i32 = this.i32;
    let n = 0;
    // Plain looks: an atomic one is a call in V8, and most find nothing. What they miss the next ones see.
    if (i32[lane.event.producer] !== lane.event.own) n = this.takeEvents(lane, each, max);
    if (n < max && (lane.scan !== 0 || i32[lane.overflow] !== 0)) n += this.look(lane, each, max - n);
    return n;
  }

  private takeEvents({ event, near }: LaneEnd, each: TakeEvent, max: number): number {
    const i32 = this.i32;
    const to = near ? i32[event.producer] : Atomics.load(i32, event.producer);
    const many = this.ends.length >= MANY_STREAMS;
    let n = 0;
    let own = event.own;
    let ahead = own;
    try {
      while (own !== to && n < max) {
        if (many && own === ahead) ahead = this.fetch(event, own, to);
        const at = event.entries + (own & event.mask) * ENTRY;
        const id = i32[at];
        const generation = i32[at + ENTRY_OPTIONS] >>> 0;
        own = (own + 1) | 0;
        n += this.hand(id, generation, each, near);
      }
    } finally {
      // Entries that were handed out are done, even when `each` threw.
      event.own = own;
      if (near) i32[event.consumer] = own;
      else Atomics.store(i32, event.consumer, own);
    }
    return n;
  }

  /**
   * Looks at what the next events lead to. Memory answers many requests at a time, but not those of a stream that is taken
   * in hand only when the one before it is done with. Returns up to where it looked.
   */
  private fetch({ entries, mask }: RingSide, from: number, to: number): number {
    const i32 = this.i32;
    const ends = this.ends;
    const n = Math.min((to - from) >>> 0, AHEAD);
    let bits = 0;
    for (let k = 0; k < n; k++) {
      const end = ends[i32[entries + ((from + k) & mask) * ENTRY]];
      if (end !== undefined) bits |= end.fetch();
    }
    this.fetched = bits;
    return (from + n) | 0;
  }

  private hand(id: number, generation: number, each: TakeEvent, near: boolean): number {
    const record = (this.streams + id * StreamLayout.size) >> 2;
    // A plain look: what the event tells of was there before it.
    if (this.i32[record + (StreamLayout.generation >> 2)] >>> 0 !== generation) return 0;
    const at = record + (StreamLayout.events >> 2);
    const end = this.find(id, generation);
    if (!end) return 0;
    let events = this.i32[at];
    // Whether somebody took an end that is to be accepted the host wants to know of every application.
    if (near && (events & StreamEvent.ACCEPT) === 0) this.i32[at] = 0;
    else events = Atomics.exchange(this.i32, at, 0);
    if ((events & ~StreamEvent.RUNG) === 0) return 0;
    each(end, events & ~StreamEvent.RUNG);
    return 1;
  }

  /** Looks through the streams of a lane for events that found their ring full. */
  private look(lane: LaneEnd, each: TakeEvent, max: number): number {
    if (lane.scan === 0) {
      if (Atomics.exchange(this.i32, lane.overflow, 0) === 0) return 0;
      lane.scan = 1;
    }
    const { streamCount } = this.arena.header;
    let n = 0;
    for (; lane.scan < streamCount && n < max; lane.scan++) {
      const id = lane.scan;
      if (
        this.stream(id, StreamLayout.app) !== this.number ||
        this.stream(id, StreamLayout.lane) !== lane.lane ||
        this.stream(id, StreamLayout.events) === 0
      )
        continue;
      n += this.hand(id, this.stream(id, StreamLayout.generation), each, lane.near);
    }
    if (lane.scan >= streamCount) lane.scan = 0;
    return n;
  }

  // ── waiting ───────────────────────────────────────────────────────────────────────────────────────────────────

  /** Says that it sleeps, unless there is something to take. Returns the value of the word to wait on. */
  private lieDown(): number | undefined {
    if (this.ended) return undefined;
    this.flush();
    const wake = Atomics.load(this.i32, this.word + (AppLayout.wake >> 2));
    Atomics.store(this.i32, this.word + (AppLayout.sleeping >> 2), 1);
    // A lane sees the flag after its event is published, or the event is seen here; so does who closes the application.
    this.asleep++;
    if (!this.pending && !this.ended) return wake;
    this.getUp();
    return undefined;
  }

  private getUp(): void {
    if (--this.asleep === 0 && !this.ended) Atomics.store(this.i32, this.word + (AppLayout.sleeping >> 2), 0);
  }

  /**
   * Resolves when there are events to take, or after `ms`: true or false. Lanes notify once for all events of a round.
   * Does not keep the process alive by itself. False at once when the application was closed.
   */
  async wait(ms?: number): Promise<boolean> {
    const wake = this.lieDown();
    if (wake === undefined) return this.pending;
    const slept = waitAsync(this.i32, this.word + (AppLayout.wake >> 2), wake, ms);
    if (slept.async) await slept.value;
    this.getUp();
    return this.pending;
  }

  /** The same for a thread that may stand still: a worker, or the main thread of a program that does nothing else. */
  waitSync(ms?: number): boolean {
    const wake = this.lieDown();
    if (wake === undefined) return this.pending;
    Atomics.wait(this.i32, this.word + (AppLayout.wake >> 2), wake, ms);
    this.getUp();
    return this.pending;
  }

  /** Ends a sleep of `wait` or `waitSync` though there is nothing to take. */
  rouse(): void {
    const wake = this.word + (AppLayout.wake >> 2);
    Atomics.add(this.i32, wake, 1);
    Atomics.notify(this.i32, wake);
  }
}

/** One side of a ring as its view has it. What its former owner left in an event ring is not for the next. */
function side(arena: Arena, viewAt: number, own: 'producer' | 'consumer'): RingSide {
  const v = new RingView(arena.dv, viewAt);
  const words = { producer: v.producerAt >> 2, consumer: v.consumerAt >> 2 };
  const at = Atomics.load(arena.i32, words[own]);
  const other = Atomics.load(arena.i32, words[own === 'producer' ? 'consumer' : 'producer']);
  return { ...words, entries: v.entriesAt >> 2, mask: v.mask, slots: v.slots, own: at, seen: other };
}
