/**
 * Where the RPCs of a stack live: applications of its own for each of them, and the carriers that the stack has. RpcThread is
 * the same for an application of another thread.
 */
import { Alive } from '../engine/alive.js';
import type { Engine } from '../engine/engine.js';
import type { VirtualTime } from '../engine/turns.js';
import type { CarrierLimits } from '../rpc/carrier.js';
import type { DatagramCalls, RpcDatagramSocket } from '../rpc/datagrams/calls.js';
import { DatagramCarrier } from '../rpc/datagrams/carrier.js';
import { type CarrierMaker, Endpoint } from '../rpc/endpoint.js';
import { RpcError } from '../rpc/errors.js';
import type { SlotCalls } from '../rpc/homa/calls.js';
import { HomaCarrier } from '../rpc/homa/carrier.js';
import type { Entered, RpcPlace } from '../rpc/place.js';
import { TcpCarrier } from '../rpc/tcp/carrier.js';
import type { RpcConnection, TcpCalls } from '../rpc/tcp/connection.js';
import type { StreamEnd } from '../streams/stream_end.js';
import type { Sockets, StackEvent } from './burst/sockets.js';
import type { StackApp } from './burst/stack_app.js';

/** Connections told of at a time. */
const BATCH = 256;
const NS_PER_MS = 1e6;
/** Of connections that carry calls: what is written leaves at once. */
export const NO_DELAY = { noDelay: true } as const;

/** The name, if it is one of those. @throws RpcError ERR_RPC_NO_CARRIER */
function carrierNamed(name: string | undefined, names: readonly string[]): string {
  if (name === undefined) return names[0];
  if (names.includes(name)) return name;
  throw new RpcError('ERR_RPC_NO_CARRIER', `no carrier "${String(name)}"`, { expected: names.join(', ') });
}

/** What the carriers of one application ask of its stack. */
export interface CarrierCalls {
  tcp: TcpCalls;
  /** Of a stack that has a transport of messages. */
  homa: SlotCalls | undefined;
  /** Reliable transports of datagrams. */
  datagrams?: { names(): string[]; source(name: string): DatagramSource | undefined };
}

/** Sockets of datagrams of one application and transport. */
export interface DatagramSource {
  calls: DatagramCalls;
  /** Event bits of a stream; false when it is no socket's. */
  heard(end: StreamEnd, bits: number): boolean;
  /** Who is told of news. */
  hear(news: (socket: RpcDatagramSocket, failed: boolean) => void): void;
}

/** An endpoint over the sockets of one application. */
export function endpointOver<O>(
  sockets: Sockets<O>,
  calls: CarrierCalls,
  nowMs: () => number,
  use: string,
  limits: CarrierLimits,
  inParts: boolean,
): Endpoint {
  const events: StackEvent<O>[] = [];
  let tcp: TcpCarrier | undefined;
  const hearers: { heard(end: StreamEnd, bits: number): boolean }[] = [];
  const makers: CarrierMaker[] = [
    (index, home) => {
      tcp = new TcpCarrier(index, home, calls.tcp, limits);
      return tcp;
    },
  ];
  const { homa } = calls;
  if (homa)
    makers.push((index, home) => {
      const carrier = new HomaCarrier(index, home, homa, limits);
      hearers.push(carrier);
      return carrier;
    });
  sockets.datagrams = { heard: (end, bits) => hearers.some(h => h.heard(end, bits)) };
  const news = (): number => {
    const n = sockets.poll(events, BATCH);
    for (let i = 0; i < n; i++) tcp!.news(events[i] as never);
    return n;
  };
  const { datagrams } = calls;
  const more = datagrams && {
    names: () => datagrams.names(),
    maker(name: string): CarrierMaker | undefined {
      const source = datagrams.source(name);
      if (source === undefined) return undefined;
      return (index, home) => {
        const carrier = new DatagramCarrier(index, home, source.calls, limits);
        source.hear((socket, failed) => carrier.news(socket, failed));
        hearers.push(source);
        return carrier;
      };
    },
  };
  const home = { news, flush: () => sockets.flush(), nowMs, ...(more ? { more } : {}) };
  return new Endpoint(home, makers, use, inParts);
}

/** What a stack has for it. */
export interface StackRpcHome<O> {
  readonly engine: Engine;
  /** An application, and what is asked for it. @throws EtherloomError ERR_APPS_FULL, ERR_ARENA_FULL */
  enter(): { sockets: Sockets<O>; calls: CarrierCalls; leave(): Promise<void> };
  carriers(): readonly string[];
  open(): void;
}

/** Lets the time of an inline engine pass that has nothing to do. */
function virtualOf(engine: Engine): { key: object; time: VirtualTime } | undefined {
  if (!engine.virtual) return undefined;
  return {
    key: engine,
    time: {
      advance(untilMs) {
        if (engine.state !== 'running') return false;
        const now = engine.now();
        const until = Number.isFinite(untilMs) ? BigInt(Math.ceil(untilMs * NS_PER_MS)) : undefined;
        const due = engine.nextDueNs();
        const next = due === undefined || (until !== undefined && until < due) ? until : due;
        if (next === undefined) return false;
        if (next > now) engine.advance(next - now);
        return true;
      },
    },
  };
}

/** Longest sleep of an inline engine's endpoints, ms: its steps are made in it. */
const INLINE_REST_MS = 100;

export class StackRpcPlace<O> implements RpcPlace {
  readonly #entered = new Set<Entered>();

  constructor(
    readonly home: StackRpcHome<O>,
    readonly onClose: (place: StackRpcPlace<O>) => void,
  ) {}

  get carriers(): readonly string[] {
    return this.home.carriers();
  }

  carrier(name: string | undefined): string {
    return carrierNamed(name, this.carriers);
  }

  open(): void {
    this.home.open();
  }

  enter(use: string, limits: CarrierLimits, inParts: boolean): Entered {
    const { engine } = this.home;
    const { sockets, calls, leave } = this.home.enter();
    const nowMs = engine.virtual ? () => Number(engine.now()) / NS_PER_MS : () => performance.now();
    const rest = engine.inline && !engine.virtual ? INLINE_REST_MS : undefined;
    const entered: Entered = {
      endpoint: endpointOver(sockets, calls, nowMs, use, limits, inParts),
      virtual: virtualOf(engine),
      open: () => this.home.open(),
      get runs() {
        return engine.state === 'running';
      },
      hold: on => engine.alive.hold(on),
      wait: (ms = rest) => sockets.wait(ms),
      waitSync: (ms = rest) => sockets.waitSync(ms),
      rouse: () => sockets.app.rouse(),
      leave: async () => {
        if (this.#entered.delete(entered)) await leave();
      },
    };
    this.#entered.add(entered);
    return entered;
  }

  async close(): Promise<void> {
    for (const entered of [...this.#entered]) await entered.leave();
    this.onClose(this);
  }
}

/** The same over an application of another thread, which it takes for itself: its endpoint is one. */
export class ThreadRpcPlace<O extends object> implements RpcPlace {
  readonly carriers: readonly string[];
  readonly #alive = new Alive();
  #entered = false;

  constructor(readonly app: StackApp<O>) {
    this.carriers = ['tcp', ...(app.messages ? [app.messages.name] : [])];
  }

  carrier(name: string | undefined): string {
    return carrierNamed(name, this.carriers);
  }

  open(): void {
    this.app.open();
  }

  enter(use: string, limits: CarrierLimits, inParts: boolean): Entered {
    if (this.#entered)
      throw new RpcError('ERR_RPC_OPTIONS', 'calls and burst of one application of another thread', {
        expected: 'a ticket for each: stack.openApp()',
      });
    this.#entered = true;
    const { app } = this;
    const { sockets } = app;
    const calls: TcpCalls = {
      connect(host, port, link) {
        app.connect({ host, port, data: link, options: NO_DELAY as never }).then(
          c => link.opened(c as unknown as RpcConnection),
          error => link.refused(error),
        );
        return undefined;
      },
      listen: (wish, data) =>
        app.listen({ ...wish, options: NO_DELAY as never }).then(listener => {
          listener.data = data;
          return listener;
        }),
    };
    return {
      endpoint: endpointOver(
        sockets,
        { tcp: calls, homa: slotsOf(app) },
        () => performance.now(),
        use,
        limits,
        inParts,
      ),
      virtual: undefined,
      open: () => app.open(),
      get runs() {
        return !sockets.app.ended;
      },
      hold: on => this.#alive.hold(on),
      wait: ms => sockets.wait(ms),
      waitSync: ms => sockets.waitSync(ms),
      rouse: () => app.rouse(),
      leave: () => app.close(),
    };
  }

  async close(): Promise<void> {
    await this.app.close();
    this.#alive.end();
  }
}

/**
 * Slots of an application of another thread. It does not know where packets of a peer arrive: each peer has slots of its own,
 * in the lane that the stack chooses.
 */
function slotsOf<O extends object>(app: StackApp<O>): SlotCalls | undefined {
  const { messages } = app;
  if (messages === undefined) return undefined;
  const { protocol, view } = messages;
  return {
    protocol,
    view,
    way: address => ({ lane: 0, ifindex: 0, address, own: true }),
    open({ address }, n, opened, refused) {
      app.question({ call: 'slots', address, n }).then(ids => opened(ids as number[]), refused);
    },
    end: id => app.sockets.app.end(id),
    serve: where =>
      app.question({ call: 'serve', ...where }).then(told => {
        const [port] = told as number[];
        return { port, close: () => app.tell({ call: 'unserve', port }) };
      }),
    // The stack gives the client back when the application ends.
    leave() {},
  };
}
