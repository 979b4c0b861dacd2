/**
 * In-lane applications, as the stack's thread has them: a module that runs inside the lanes, an application in each, so that
 * a request is answered in the thread that its packet came to.
 *
 *   InLane ─ seat ─▶ lane: LaneApp ─ its own connections, events and doorbells in the lane's own memory
 *      ▲              │ connect, listen, what it tells: a port, seldom
 *      └──────────────┘            a lane that dies is replaced, and its application begins anew
 */
import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import type { Engine } from '../../engine/engine.js';
import { laneModule } from '../../engine/lane_file.js';
import { EtherloomError } from '../../errors.js';
import { MOST_MS } from '../../rpc/settling.js';
import type { StreamApps } from '../../streams/stream_apps.js';
import type { LoadedTransport } from '../../transports/contract.js';
import type { ClientPlace, LoadedMessages } from '../../transports/messages.js';
import type { Requests } from '../burst/burst.js';
import {
  type Answer,
  type Ask,
  type ConnectOptions,
  errorTold,
  type ListenOptions,
  type Told,
} from '../burst/calls.js';
import type { Network } from '../network.js';
import { wayOf } from '../rpc_slots.js';
import type { FromLane, InLaneGiven, ToLane } from './messages.js';
import { SharedListeners } from './shared_listeners.js';
import { SharedPorts } from './shared_ports.js';

export interface InLaneOptions {
  /** URL of an ES module that Node loads as it is: its default export is a LaneModule. */
  module: string | URL;
  /** Default: all. */
  lanes?: readonly number[];
  /** Cloned to each lane; a SharedArrayBuffer in it is shared by all. */
  data?: unknown;
}

/** Why an application ended in a lane. */
export interface InLaneEnd {
  lane: number;
  /** What its module threw. Undefined: it was asked to. */
  error: EtherloomError | undefined;
}

export interface InLaneEvents {
  /** It ended in a lane. Without a listener an error of its module is a warning of the process. */
  ended: [InLaneEnd];
  /** Its lane died and was replaced: it began anew, without connections. */
  restarted: [lane: number];
  /** LaneApp.tell. */
  told: [what: unknown, lane: number];
}

interface Instance {
  lane: number;
  number: number;
  port: MessagePort | undefined;
  bell: Int32Array;
  unseat: (() => Promise<void>) | undefined;
  lives: number;
  /** Its module was called, in this life or another: who opened it has it. */
  begun: boolean;
  ended: boolean;
  /** It was asked to end, and sends on what it has answered. */
  settling: boolean;
  /** Its number may be another's. */
  released: boolean;
  /** Of its calls over a transport of messages. */
  client: ClientPlace | undefined;
  /** Ends its seat while that is being taken. */
  leaving: AbortController;
  /** Resolves when the module was called, and when it is over; rejects with what it threw at first. */
  began: Promise<void>;
  onBegan: (error?: EtherloomError) => void;
  over: Promise<void>;
  onOver: () => void;
}

/** What a stack has for it. */
export interface InLaneHome<O extends object> {
  readonly engine: Engine;
  readonly apps: StreamApps;
  readonly transport: LoadedTransport<O>;
  readonly requests: Requests<O>;
  readonly network: Network;
  /** Transport of messages, if there is one. */
  readonly messages: LoadedMessages | undefined;
}

/** How long `close` waits for a lane to end its application, ms. */
const CLOSE_MS = 5000;
/** How much longer for one that sends on what it has answered, ms: it ends by itself before. */
const SETTLE_MS = MOST_MS + 1000;
/** How long a module may take to begin in a lane, ms. */
const BEGIN_MS = 60_000;

export class InLane<O extends object = object> extends EventEmitter<InLaneEvents> {
  readonly #instances = new Map<number, Instance>();
  readonly #listeners: SharedListeners<O>;
  readonly #ports: SharedPorts | undefined;
  readonly #unfollow: () => void;
  /** A connection that nobody will take any more does not wait: its listener, which others may have, counts it as taken. */
  readonly #untaken: (id: number) => void;
  #closing: Promise<void> | undefined;
  /** Whether it is to keep the process alive while it is in some lane, and does so. */
  #wanted = true;
  #held = false;

  private constructor(
    readonly home: InLaneHome<O>,
    readonly options: InLaneOptions,
  ) {
    super();
    const { engine, requests, transport } = home;
    const appOf = (lane: number): number => this.#instances.get(lane)?.number ?? 0;
    this.#listeners = new SharedListeners(requests, transport, appOf, engine.laneCount);
    const { messages } = home;
    this.#ports = messages && new SharedPorts(messages, appOf, engine.laneCount);
    this.#unfollow = engine.onLaneLost(lane => this.#lost(lane));
    const view = transport.transport.view(engine.arena, transport.shared);
    this.#untaken = id => {
      const slot = view.listener(id);
      if (slot >= 0) view.took(slot);
    };
  }

  /**
   * Opens it in the lanes; resolves when its module was called in each.
   * @param known told of it before it is open: who closes it then has the call reject
   * @throws EtherloomError ERR_IN_LANE when the module cannot be loaded, throws, takes more than a minute to begin, or was
   * closed meanwhile; ERR_STACK_OPTIONS, ERR_ENGINE_STATE, ERR_APPS_FULL
   */
  static async open<O extends object>(
    home: InLaneHome<O>,
    options: InLaneOptions,
    known: (inLane: InLane<O>) => void = () => {},
  ): Promise<InLane<O>> {
    const { engine } = home;
    const { module, lanes = Array.from({ length: engine.laneCount }, (_, i) => i) } = options ?? {};
    if (typeof module !== 'string' && !(module instanceof URL))
      throw new EtherloomError('ERR_STACK_OPTIONS', `module: ${String(module)}`, {
        expected: 'the URL of a module',
      });
    if (!Array.isArray(lanes) || lanes.length === 0 || new Set(lanes).size !== lanes.length)
      throw new EtherloomError('ERR_STACK_OPTIONS', `lanes: ${String(lanes)}`, {
        expected: 'numbers of lanes',
      });
    for (const lane of lanes)
      if (!Number.isInteger(lane) || lane < 0 || lane >= engine.laneCount)
        throw new EtherloomError('ERR_STACK_OPTIONS', `lanes: ${String(lane)}`, {
          expected: `whole numbers from 0 to ${engine.laneCount - 1}`,
        });
    const inLane = new InLane<O>(home, options);
    known(inLane);
    try {
      for (const lane of lanes) inLane.#add(lane);
      inLane.#holdOn();
      await Promise.all([...inLane.#instances.values()].map(i => inLane.#seat(i)));
      return inLane;
    } catch (error) {
      await inLane.close();
      throw error;
    }
  }

  /** Lanes that it lives in. */
  get lanes(): number[] {
    return [...this.#instances.values()].filter(i => !i.ended).map(i => i.lane);
  }

  /** Keeps the process alive while it is in a lane, as it does without a word. */
  ref(): this {
    this.#wanted = true;
    this.#holdOn();
    return this;
  }

  unref(): this {
    this.#wanted = false;
    this.#holdOn();
    return this;
  }

  #holdOn(): void {
    const held = this.#wanted && this.lanes.length > 0;
    if (held !== this.#held) this.home.engine.alive.hold(held);
    this.#held = held;
  }

  /** Numbers of its applications. */
  get numbers(): number[] {
    return [...this.#instances.values()].map(i => i.number);
  }

  #add(lane: number): void {
    const { number } = this.home.apps.open();
    // Nobody else is it, in this lane's lives.
    this.home.apps.hold(number);
    let onBegan: Instance['onBegan'] = () => {};
    const began = new Promise<void>((resolve, reject) => {
      onBegan = error => (error ? reject(error) : resolve());
    });
    began.catch(() => {});
    let onOver = (): void => {};
    const over = new Promise<void>(resolve => {
      onOver = resolve;
    });
    const bell = new Int32Array(new SharedArrayBuffer(4));
    this.#instances.set(lane, {
      ...{ lane, number, bell, port: undefined, unseat: undefined, lives: 0, begun: false, ended: false },
      ...{
        settling: false,
        released: false,
        client: undefined,
        leaving: new AbortController(),
        began,
        onBegan,
        over,
        onOver,
      },
    });
  }

  async #seat(instance: Instance): Promise<void> {
    const module = laneModule('net/in_lane/lane_side');
    const { signal } = instance.leaving;
    const late = setTimeout(() => this.#end(instance, notBegun(instance.lane), false), BEGIN_MS);
    try {
      instance.unseat = await this.home.engine.seat(instance.lane, {
        ...{ module, signal },
        begin: () => this.#begin(instance),
      });
      await instance.began;
    } catch (error) {
      // Nobody was seated, or nobody is any more.
      if (instance.unseat === undefined) {
        this.#end(instance, error as EtherloomError);
        this.#release(instance);
      }
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  /** No thread uses the number any more: it may be another application's. */
  #release(instance: Instance): void {
    if (instance.released || !instance.ended) return;
    instance.released = true;
    if (instance.client) this.home.messages?.closeClient(instance.client);
    this.home.apps.hold(instance.number, false);
  }

  /** A life of the lane begins: so does the application there. */
  #begin(instance: Instance): { data: InLaneGiven; transfer: MessagePort[] } {
    const { apps, transport, messages } = this.home;
    instance.port?.close();
    const { port1, port2 } = new MessageChannel();
    instance.port = port1;
    port1.on('message', (message: FromLane) => {
      if (instance.port === port1) this.#hear(instance, message);
    });
    port1.unref();
    if (instance.lives++ > 0) apps.restart(instance.number, this.#untaken);
    instance.bell = new Int32Array(new SharedArrayBuffer(4));
    const data: InLaneGiven = {
      ...{ module: String(this.options.module), data: this.options.data, number: instance.number },
      ...{ transport: transport.transport.name, shared: transport.shared },
      messages: messages && { transport: messages.transport.name, shared: messages.shared },
      ...{ port: port2, bell: instance.bell.buffer as SharedArrayBuffer },
    };
    // Of a lane that died of its end nothing more is asked. Its port is for the thread that is being started.
    if (this.#closing !== undefined)
      void this.home.engine.settled().then(() => this.#end(instance, undefined, false));
    return { data, transfer: [port2] };
  }

  #hear(instance: Instance, message: FromLane): void {
    if ('asked' in message) this.#answer(instance, message);
    else if ('told' in message) this.emit('told', message.told, instance.lane);
    else if ('settling' in message) instance.settling = true;
    else if ('began' in message) {
      instance.begun = true;
      instance.onBegan();
      if (instance.lives > 1) this.emit('restarted', instance.lane);
    } else if (message.ended === undefined) this.#end(instance, undefined);
    else {
      const error = new EtherloomError('ERR_IN_LANE', `lane ${instance.lane}: ${message.ended}`);
      if (message.stack) error.stack = message.stack;
      this.#end(instance, error);
    }
  }

  #answer(instance: Instance, { n, asked }: Ask): void {
    const answer: Answer = { n };
    try {
      const result = this.#do(instance, asked);
      if (result) answer.result = result;
    } catch (error) {
      answer.error = errorTold(error);
    }
    if (n !== 0) this.#say(instance, answer);
  }

  #do(instance: Instance, asked: Ask['asked']): Told {
    const { lane, number } = instance;
    if (asked.call === 'connect')
      return this.home.requests.connect({ ...asked.options, lane } as ConnectOptions<O>, number);
    if (asked.call === 'listen') return this.#listeners.listen(lane, asked.options as ListenOptions<O>);
    if (asked.call === 'unlisten') this.#listeners.unlisten(lane, asked.slot);
    if (asked.call === 'serve') this.#ports?.serve(lane, asked.port, asked.address);
    return asked.call === 'slots' ? this.#slots(instance, asked.address, asked.n) : undefined;
  }

  /** Slots of that lane, for calls of its application. */
  #slots(instance: Instance, address: string, n: number): number[] {
    const { engine, network, messages } = this.home;
    if (!messages) return [];
    const { lane, number } = instance;
    instance.client ??= messages.client({ app: number });
    const { ifindex } = wayOf(engine, network, address);
    return messages.openSlots(instance.client, n, { lane, ifindex });
  }

  #say(instance: Instance, message: ToLane): void {
    instance.port?.postMessage(message);
    Atomics.add(instance.bell, 0, 1);
    this.home.engine.core.exports.ring_wake(instance.lane);
  }

  /** Says something to the application in a lane, or in all: LaneHandler.heard. It is cloned. */
  tell(what: unknown, lane?: number): void {
    for (const instance of this.#instances.values())
      if (!instance.ended && (lane === undefined || instance.lane === lane))
        this.#say(instance, { heard: what });
  }

  /** It is over in a lane. @param gone nobody there uses its number any more; else the end of its seat tells when */
  #end(instance: Instance, error: EtherloomError | undefined, gone = true): void {
    if (instance.ended) return;
    instance.ended = true;
    this.#holdOn();
    const { lane, number } = instance;
    this.#listeners.leave(lane);
    this.#ports?.leave(lane);
    const { apps } = this.home;
    apps.untaken(number, this.#untaken);
    apps.close(number);
    // Before it was closed there may have come more.
    apps.untaken(number, this.#untaken);
    if (gone) this.#release(instance);
    const closed = new EtherloomError('ERR_IN_LANE', `lane ${lane}: closed before the module had begun`);
    // A lane that cannot be told is mended or given up: then `#lost` knows.
    if (instance.unseat === undefined) instance.leaving.abort(error ?? closed);
    else
      instance
        .unseat()
        .then(() => this.#release(instance))
        .catch(() => {});
    instance.port?.close();
    instance.onOver();
    instance.onBegan(error ?? closed);
    if (error && instance.begun && this.listenerCount('ended') === 0) process.emitWarning(error);
    this.emit('ended', { lane, error });
  }

  /** A lane was given up. */
  #lost(lane: number): void {
    const instance = this.#instances.get(lane);
    if (instance?.ended) this.#release(instance);
    else if (instance) this.#end(instance, new EtherloomError('ERR_IN_LANE', `lane ${lane} was given up`));
  }

  /**
   * Ends it in all lanes: connections are aborted, listeners close. What it has answered requests of calls with is delivered
   * first: to who takes it, 1 s without progress, 10 s in all; where the lane lives as long. Again is once.
   */
  close(): Promise<void> {
    return (this.#closing ??= this.home.engine.alive.during(this.#close()));
  }

  async #close(): Promise<void> {
    const { engine } = this.home;
    const left = [...this.#instances.values()].filter(i => !i.ended);
    // Whatever comes from now on is for nobody.
    for (const { lane } of left) {
      this.#listeners.leave(lane);
      this.#ports?.leave(lane);
    }
    for (const instance of left) if (engine.state === 'running') this.#say(instance, { end: true });
    await this.#overIn(left, CLOSE_MS);
    await this.#overIn(
      left.filter(i => i.settling),
      SETTLE_MS,
    );
    // A lane that does not answer is dead, or hangs and soon will be: nothing of it comes again.
    for (const instance of left) this.#end(instance, undefined, engine.state !== 'running');
    this.#unfollow();
  }

  /** Resolves when it is over in those lanes, after `ms`, or when the engine runs no more. */
  async #overIn(instances: readonly Instance[], ms: number): Promise<void> {
    const { engine } = this.home;
    if (engine.state !== 'running') return;
    let late: NodeJS.Timeout | undefined;
    let unfollow = (): void => {};
    await Promise.race([
      Promise.all(instances.map(i => i.over)),
      new Promise<void>(done => {
        late = setTimeout(done, ms).unref();
        unfollow = engine.onStopped(done);
      }),
    ]);
    clearTimeout(late);
    unfollow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const notBegun = (lane: number): EtherloomError =>
  new EtherloomError('ERR_IN_LANE', `lane ${lane}: the module has not begun after ${BEGIN_MS} ms`, {
    expected: 'a default export that returns, or resolves with, { news(events, n) }',
  });
