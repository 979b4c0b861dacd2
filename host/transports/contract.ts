/**
 * What a transport is: an eBPF object whose programs do the work in the lanes, and the module that fills its maps. A stack
 * (host/net/) knows no more of it than this, and may have several, each for an IP protocol.
 *
 *   AnyTransport (name, IP protocol) ── load ─▶ LoadedAny: programs for the entrance, own addresses, figures
 *     Transport: connections of bytes ── load ─▶ LoadedTransport: listeners, connections to be            the engine's thread
 *             └── view(arena, shared) ─▶ TransportView: how a connection stands                    every application's thread
 */
import type { Engine } from '../engine/engine.js';
import type { Arena } from '../mem/arena.js';
import type { StreamApps } from '../streams/stream_apps.js';
import type { TransportPrograms } from './entrance.js';

/** One side of a connection. */
export interface Endpoint {
  /** IPv4 or IPv6, as text. */
  address: string;
  port: number;
}

export interface TransportEnv {
  engine: Engine;
  /** Applications of the engine, who own the streams. */
  apps: StreamApps;
  /** Table of the engine's routes that is this stack's. */
  table: number;
  /** Name of the stack, for who manages several. Default: the number of its table. */
  stack?: string | undefined;
}

/** Families of IP. */
export type Family = 4 | 6;

export interface ListenWish<O> {
  /** Application that is to have the connections. */
  app: number;
  /** By lane: the application that is to have those that arrive there, 0 for `app`. Default: `app` has all. */
  laneApps?: readonly number[];
  /** One of the stack's own; undefined: any. */
  address: string | undefined;
  /** Where there is no address: of this family only. */
  family?: Family | undefined;
  /** 0: one that is free. */
  port: number;
  /** Connections that may wait to be taken. */
  backlog: number;
  options: O;
}

/** A listener as the transport has it. */
export interface ListenPlace {
  /** Its number, which connections name (TransportView.listener). */
  slot: number;
  address: string | undefined;
  /** Of any address: undefined for both. */
  family?: Family | undefined;
  port: number;
  backlog: number;
}

export interface ConnectWish<O> {
  app: number;
  /** `port` 0: one that is free. */
  local: Endpoint;
  remote: Endpoint;
  /** Port of the engine by which it leaves. */
  ifindex: number;
  /** Lane that is to have it; undefined: the transport chooses. */
  lane: number | undefined;
  options: O;
}

/** A connection that was made, and is to be asked to connect. */
export interface Made {
  /** Number of its stream. */
  id: number;
  local: Endpoint;
  remote: Endpoint;
}

/** A transport at work in an engine, whatever its applications see of it: the control plane, in the thread that has the engine. */
export interface LoadedAny {
  /** What the entrance of the stack is to call. */
  readonly programs: TransportPrograms;
  /** Takes packets to an address of the stack, or does not any more. */
  own(address: string, on: boolean): void;
  /**
   * A lane was given up: what it had is over, ECONNABORTED. Its streams are closed afterwards, by the engine, which also
   * tells the applications.
   */
  laneLost(lane: number): void;
  /** What it counted on all lanes, by name; 0 is left out. */
  counters(): Record<string, number>;
  /** Unloads everything. No stream may be open any more, and no entrance know its programs. */
  close(): Promise<void>;
}

/** A kind of packets that a stack can send and take. */
export interface AnyTransport<L extends LoadedAny = LoadedAny> {
  readonly name: string;
  /** IP protocol, and number of the transport at its streams (el_stream_route). */
  readonly protocol: number;
  /** Loads its programs into an engine. @throws EtherloomError ERR_ARENA_FULL; VerifierError */
  load(env: TransportEnv): Promise<L>;
}

// ── connections of bytes ────────────────────────────────────────────────────────────────────────────────────────

/** A transport of connections at work. */
export interface LoadedTransport<O> extends LoadedAny {
  readonly transport: Transport<O>;
  /** Plain data from which any thread makes its view: Transport.view. */
  readonly shared: unknown;
  /** @throws SocketError EADDRINUSE; EtherloomError ERR_STACK_LISTENERS when all slots are taken, ERR_TCP_OPTIONS */
  listen(wish: ListenWish<O>): ListenPlace;
  /** Names other applications of the lanes (ListenWish.laneApps): for connections from now on. */
  setLaneApps(slot: number, laneApps: readonly number[]): void;
  /**
   * No more connections for it. Those that nobody took yet are the application's to abort; when it is gone (`abandoned`)
   * its lanes do.
   */
  unlisten(slot: number, abandoned?: boolean): void;
  /**
   * A stream that is to connect: the application asks for it by StreamRequest.CONNECT.
   * @throws SocketError EADDRINUSE, EADDRNOTAVAIL, ENOBUFS, ENETDOWN when its lane was given up; EtherloomError
   * ERR_TCP_OPTIONS
   */
  connect(wish: ConnectWish<O>): Made;
}

/** What an application's thread sees of connections, and may say of its own. Reads memory, asks nobody. */
export interface TransportView<O> {
  /** Whether it is over, in both directions. */
  over(id: number): boolean;
  /** What ended it, as Linux names it. */
  error(id: number): string | undefined;
  /** Whether its peer may still be without some of what was written, or without the end of it. */
  delivering(id: number): boolean;
  /** State as the protocol's text names it. */
  state(id: number): string;
  local(id: number): Endpoint;
  remote(id: number): Endpoint;
  /** Slot of the listener that made it, -1 for one that connected. */
  listener(id: number): number;
  /** Connections of a listener that wait to be taken. */
  waiting(slot: number): number;
  /** Counts a connection as taken. Only the application that has the listener does. */
  took(slot: number): void;
  /** Changes what `options` has of the connection's options; the stream is then asked for OPTIONS. @throws EtherloomError */
  setOptions(id: number, options: O): void;
  /** The byte before `position`, counted from the stream's first, is urgent; the stream is then asked for OPTIONS. */
  setUrgent(id: number, position: number): void;
  /** Figures of the connection, for people and metrics. */
  info(id: number): Record<string, number>;
}

/** A transport whose applications see connections of bytes. */
export interface Transport<O = object> extends AnyTransport<LoadedTransport<O>> {
  /** What `shared` of a loaded one says, seen from this thread. */
  view(arena: Arena, shared: unknown): TransportView<O>;
}
