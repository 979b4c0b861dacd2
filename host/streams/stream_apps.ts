/**
 * The applications of an engine, as its host opens and closes them: who owns which streams, and what becomes of them when
 * an application dies.
 */
import { EtherloomError } from '../errors.js';
import {
  AppLaneLayout,
  AppLaneView,
  AppLayout,
  AppState,
  AppView,
  MAX_APPS,
  RingView,
  StreamEvent,
  StreamFlag,
  StreamLaneLayout,
  StreamLayout,
  StreamPoolView,
  StreamRequest,
  StreamView,
} from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { createRing } from '../mem/ring.js';
import { streamMemory } from '../mem/streams.js';
import { StreamApp } from './stream_app.js';
import type { StreamEnd } from './stream_end.js';

/** What the applications of an engine need of it: an Engine is one. */
export interface StreamHost {
  readonly arena: Arena;
  /** The host's instance. */
  readonly core: Core;
}

export interface OpenStream {
  /** Sizes of the rings, bytes, up to 16 MiB: the next power of two from 2 KiB on; 0 for none. Default 64 KiB. */
  send?: number;
  receive?: number;
  /** Sizes that they begin with, to grow as their transport says. Default: those. */
  first?: { send: number; receive: number };
  /** Lane that is to own it. Default 0. */
  lane?: number;
  /** Port whose XDP_GEN makes its packets, and the number of its transport: el_stream_route. Default 0, none. */
  ifindex?: number;
  transport?: number;
}

const DEFAULT_RING = 65536;
const ENOMEM = 12;
const ENOBUFS = 105;

const ofHost = new WeakMap<StreamHost, StreamApps>();

export class StreamApps {
  readonly #pool: StreamPoolView;
  /** Numbers whose rings were made. */
  readonly #equipped = new Set<number>();
  /** Numbers that are not given again yet. */
  readonly #held = new Set<number>();

  /** Those of an engine: the same whoever asks. @throws EtherloomError ERR_STREAMS_NONE */
  static of(host: StreamHost): StreamApps {
    const known = ofHost.get(host) ?? new StreamApps(host);
    ofHost.set(host, known);
    return known;
  }

  /** @throws EtherloomError ERR_STREAMS_NONE for an engine that was made without streams */
  constructor(readonly host: StreamHost) {
    const { header, dv } = host.arena;
    if (header.streamPoolAt === 0)
      throw new EtherloomError('ERR_STREAMS_NONE', 'the engine was made without streams', {
        expected: 'the option streams: { count, bytes }',
      });
    this.#pool = new StreamPoolView(dv, header.streamPoolAt);
  }

  #app(number: number): AppView {
    return new AppView(this.host.arena.dv, this.#pool.appsAt + number * AppLayout.size);
  }

  #setState(number: number, state: AppState): void {
    Atomics.store(this.host.arena.u32, (this.#app(number).at + AppLayout.state) >> 2, state);
  }

  /**
   * Opens an application. Another thread attaches with its number and the engine's memory; then this thread must not use
   * what is returned here. @throws EtherloomError ERR_APPS_FULL, ERR_ARENA_FULL
   */
  open(): StreamApp {
    const { arena } = this.host;
    const { appCount } = this.#pool;
    for (let number = 1; number <= appCount; number++) {
      const app = this.#app(number);
      if (app.state === AppState.OPEN || this.#held.has(number)) continue;
      if (app.state === AppState.DEAD && this.streamsOf(number) !== 0) continue;
      if (!this.#equipped.has(number)) this.#equip(app);
      this.#equipped.add(number);
      this.#forgetEvents(app);
      app.sleeping = 0;
      this.#setState(number, AppState.OPEN);
      return StreamApp.over(arena, number);
    }
    throw new EtherloomError('ERR_APPS_FULL', `${appCount} applications are open, or still have streams`, {
      expected: `streams.apps of the engine, up to ${MAX_APPS}`,
    });
  }

  /** Gives an application its rings. They stay with its number. */
  #equip(app: AppView): void {
    const { arena } = this.host;
    const { appSlots } = this.#pool;
    for (let lane = 0; lane < arena.header.laneCount; lane++) {
      const door = createRing(arena, appSlots);
      const event = createRing(arena, appSlots);
      Object.assign(new AppLaneView(arena.dv, app.endsAt + lane * AppLaneLayout.size), {
        doorProducer: door.producer,
        doorConsumer: door.consumer,
        eventProducer: event.producer,
        eventConsumer: event.consumer,
      });
    }
  }

  /**
   * Keeps a number from being given again, and the memory of streams that it knew of, until `hold(number, false)`: a thread
   * that had it may still run, and be in the midst of a write when the application is closed.
   */
  hold(number: number, on = true): void {
    if (on) {
      this.#held.add(number);
      return;
    }
    if (!this.#held.delete(number) || this.#app(number).state !== AppState.HELD) return;
    this.#setState(number, AppState.DEAD);
    this.#look();
  }

  /** Events that the last owner of the number did not take are not for the next. */
  #forgetEvents(app: AppView): void {
    const { arena } = this.host;
    for (let lane = 0; lane < arena.header.laneCount; lane++) {
      const end = new AppLaneView(arena.dv, app.endsAt + lane * AppLaneLayout.size);
      const view = new RingView(arena.dv, end.eventConsumer);
      Atomics.store(arena.u32, view.consumerAt >> 2, Atomics.load(arena.u32, view.producerAt >> 2));
      Atomics.store(arena.u32, (end.at + AppLaneLayout.overflow) >> 2, 0);
    }
  }

  /**
   * Opens a stream for an application of this thread. The transport learns of it by the first request.
   * @throws EtherloomError ERR_STREAM_OPEN: no number or no memory is free, or the sizes cannot be
   */
  stream(app: StreamApp, options: OpenStream = {}): StreamEnd {
    return app.end(this.openId(app.number, options));
  }

  /** The same for an application of another thread: the number of the stream, which is to be told it. */
  openId(app: number, options: OpenStream = {}): number {
    const { send = DEFAULT_RING, receive = DEFAULT_RING } = options;
    const { first = { send, receive } } = options;
    const { lane = 0, ifindex = 0, transport = 0 } = options;
    const { arena, core } = this.host;
    const id = core.exports.stream_open_on(lane, app, send, receive, first.send, first.receive);
    if (id > 0) {
      // Before anybody rang for it no lane looks at them.
      const at = arena.header.streamsAt + id * StreamLayout.size;
      Object.assign(new StreamView(arena.dv, at), { ifindex, transport });
      return id;
    }
    throw new EtherloomError('ERR_STREAM_OPEN', ...this.#notOpened(id, lane, app, send, receive));
  }

  /** Why `stream_open_on` gave no stream. */
  #notOpened(
    errno: number,
    lane: number,
    app: number,
    send: number,
    receive: number,
  ): [string, { expected: string }] {
    const { arena } = this.host;
    if (errno === -ENOMEM)
      return [
        `all ${arena.header.streamCount - 1} streams are open`,
        { expected: 'streams.count for all connections' },
      ];
    if (errno === -ENOBUFS) {
      const { budget, least, more } = streamMemory(arena);
      return [
        `of ${budget} bytes of stream memory ${least + more} are promised to other streams`,
        { expected: 'streams.bytes of 10 KiB for each of streams.count' },
      ];
    }
    return [
      `no stream of lane ${lane} for application ${app} with rings of ${send} and ${receive} bytes`,
      { expected: 'a lane and an application of this engine, rings of at most 16 MiB' },
    ];
  }

  /** Streams that application `number` still has. Looks through the table. */
  streamsOf(number: number): number {
    let n = 0;
    for (const _ of this.#recordsOf(number)) n++;
    return n;
  }

  /** Those of them that lanes are not done with: of an application that is held they leave the rest as it is. */
  streamsInLanes(number: number): number {
    const isHeld = this.#app(number).state === AppState.HELD;
    const flags = (at: number): number => Atomics.load(this.host.arena.u32, at + (StreamLayout.flags >> 2));
    let n = 0;
    for (const at of this.#recordsOf(number)) if (!isHeld || flags(at) & StreamFlag.OPEN) n++;
    return n;
  }

  /** Whether there is a stream of application `number` for which `is` holds. Looks through the table. */
  someStream(number: number, is: (id: number) => boolean): boolean {
    for (const at of this.#recordsOf(number)) if (is(this.#idAt(at))) return true;
    return false;
  }

  /** Number of the stream whose record begins at word `at`. */
  #idAt(at: number): number {
    return ((at << 2) - this.host.arena.header.streamsAt) / StreamLayout.size;
  }

  /** Indices of the records of its streams, in words. */
  *#recordsOf(number: number): IterableIterator<number> {
    const { u32, header } = this.host.arena;
    for (let id = 1; id < header.streamCount; id++) {
      const at = (header.streamsAt + id * StreamLayout.size) >> 2;
      const flags = Atomics.load(u32, at + (StreamLayout.flags >> 2));
      if (flags & (StreamFlag.OPEN | StreamFlag.CLOSED) && u32[at + (StreamLayout.app >> 2)] === number)
        yield at;
    }
  }

  /**
   * Closes an application. Its StreamApp and its ends do nothing from then on, in whatever thread; one that is in the midst
   * of a call ends that call, so a thread that lives is to be held (`hold`). Lanes abort every stream that it
   * had not let go of, and with `abort` those, too, that it had and that still deliver; its number is used again when none
   * is left. @throws EtherloomError ERR_APP_UNKNOWN
   */
  close(number: number, abort = false): void {
    if (
      !Number.isInteger(number) ||
      number < 1 ||
      number > this.#pool.appCount ||
      this.#app(number).state !== AppState.OPEN
    )
      throw new EtherloomError('ERR_APP_UNKNOWN', `no application ${number}`);
    const { u32 } = this.host.arena;
    const { at } = this.#app(number);
    Atomics.add(u32, (at + AppLayout.life) >> 2, 1);
    this.#setState(number, this.#held.has(number) ? AppState.HELD : AppState.DEAD);
    // Who sleeps as that application need not sleep on.
    Atomics.add(u32, (at + AppLayout.wake) >> 2, 1);
    Atomics.notify(this.host.arena.i32, (at + AppLayout.wake) >> 2);
    if (abort) this.abort(number);
    else this.#look();
  }

  /**
   * The thread of an application is no more, and another is to be it: what the one had is aborted, what it never heard of is
   * for the other. Nobody else may have what it had: its lanes stand still, or it had none left.
   * @param untaken told of streams that it was to accept, and had not taken
   */
  restart(number: number, untaken: (id: number) => void = () => {}): void {
    const { u32 } = this.host.arena;
    const app = this.#app(number);
    for (const at of this.#recordsOf(number)) {
      // What it had let go of ends as it had asked.
      if (u32[at + (StreamLayout.told >> 2)] === 0 || Atomics.load(u32, at + (StreamLayout.released >> 2)))
        continue;
      // Before it is let go: then its number may be another's.
      if (this.#isUntaken(at)) untaken(this.#idAt(at));
      // RUNG, for the lane's look passes what nobody rang for; its doorbells are taken by another life.
      Atomics.or(u32, at + (StreamLayout.requests >> 2), StreamRequest.ABORT | StreamRequest.RUNG);
      Atomics.store(u32, at + (StreamLayout.released >> 2), 1);
    }
    this.#forgetEvents(app);
    app.sleeping = 0;
    this.#look();
  }

  /** Names the streams that application `number` was to accept and never will: each once, however often this is called. */
  untaken(number: number, each: (id: number) => void): void {
    for (const at of this.#recordsOf(number)) if (this.#isUntaken(at)) each(this.#idAt(at));
  }

  /** Whether nobody took the event that tells of it; nobody does from now on. */
  #isUntaken(at: number): boolean {
    const { u32 } = this.host.arena;
    return (
      (Atomics.and(u32, at + (StreamLayout.events >> 2), ~StreamEvent.ACCEPT) & StreamEvent.ACCEPT) !== 0
    );
  }

  /** Whether an application of that number was opened and not closed. */
  isOpen(number: number): boolean {
    return this.#app(number).state === AppState.OPEN;
  }

  /** Aborts what an application that was closed still has. Nothing when its number is another's by now. */
  abort(number: number): void {
    if (this.isOpen(number)) return;
    const { u32 } = this.host.arena;
    for (const at of this.#recordsOf(number))
      Atomics.or(u32, at + (StreamLayout.requests >> 2), StreamRequest.ABORT);
    this.#look();
  }

  /** Asks lanes for something in the name of application `number`: of its streams of that transport. */
  ask(number: number, transport: number, request: StreamRequest): void {
    const { u32 } = this.host.arena;
    for (const at of this.#recordsOf(number))
      if (u32[at + (StreamLayout.transport >> 2)] === transport)
        // RUNG: the lane's look passes what nobody rang for.
        Atomics.or(u32, at + (StreamLayout.requests >> 2), request | StreamRequest.RUNG);
    this.#look();
  }

  /** Whether lanes have streams of that transport of application `number`. */
  hasOpen(number: number, transport: number): boolean {
    const { u32 } = this.host.arena;
    for (const at of this.#recordsOf(number))
      if (
        u32[at + (StreamLayout.transport >> 2)] === transport &&
        Atomics.load(u32, at + (StreamLayout.flags >> 2)) & StreamFlag.OPEN
      )
        return true;
    return false;
  }

  /** Every lane looks through its streams. */
  #look(): void {
    const { arena, core } = this.host;
    for (let lane = 0; lane < arena.header.laneCount; lane++) {
      const at = this.#pool.lanesAt + lane * StreamLaneLayout.size + StreamLaneLayout.scanWanted;
      Atomics.store(arena.u32, at >> 2, 1);
      core.exports.ring_wake(lane);
    }
  }
}

/** Streams that a lane heard of and ignored. For tests and metrics. */
export interface StreamCounters {
  opened: number;
  freed: number;
  /** Rings that found no memory. */
  noMemory: number;
  /** Streams that were not opened: there was no memory left for their rings. */
  refused: number;
  /** Times that a ring was promised, or made, smaller than wanted, or did not grow. */
  small: number;
  /** Times that a ring became larger. */
  grown: number;
  /** Doorbells for streams of another application or lane. */
  foreign: number;
  /** Doorbells for streams that are no more. */
  stale: number;
}

/** Counters of lane `lane`, the lane count naming the host. */
export function streamCounters(arena: Arena, lane: number): StreamCounters {
  const pool = new StreamPoolView(arena.dv, arena.header.streamPoolAt);
  const at = (pool.lanesAt + lane * StreamLaneLayout.size) >> 2;
  const word = (offset: number): number => arena.u32[at + (offset >> 2)];
  return {
    opened: word(StreamLaneLayout.opened),
    freed: word(StreamLaneLayout.freed),
    noMemory: word(StreamLaneLayout.noMemory),
    refused: word(StreamLaneLayout.refused),
    small: word(StreamLaneLayout.small),
    grown: word(StreamLaneLayout.grown),
    foreign: word(StreamLaneLayout.foreign),
    stale: word(StreamLaneLayout.stale),
  };
}
