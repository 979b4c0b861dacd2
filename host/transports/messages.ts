/**
 * What a transport of messages is, beside one of connections (contract.ts) and one of datagrams (datagrams.ts): calls, each
 * a request and its response. They go over slots: streams that carry one call at a time, each message behind a record of
 * 32 bytes (bpf-progs/transports/homa/slot.h). How an application uses them: host/transports/homa/README.md.
 */
import type { Arena } from '../mem/arena.js';
import type { AnyTransport, LoadedAny } from './contract.js';

export interface ServeWish {
  /** Application that is to have the calls. */
  app: number;
  /** By lane: the application that is to have those that arrive there, 0 for `app`. Default: `app` has all. */
  laneApps?: readonly number[];
  /** One of the stack's own; undefined: any. */
  address?: string | undefined;
  /** Below `clientPorts` of the transport; 0: one that is free. */
  port: number;
}

/** A port that is served, as the transport has it. */
export interface ServePlace {
  port: number;
  address: string | undefined;
}

/** Whose calls go out. */
export interface ClientPlace {
  /** Port of the client, by which servers tell it from others. */
  port: number;
  app: number;
}

export interface SlotsWish {
  /** Lane that is to have them. Default: the transport chooses one. */
  lane?: number;
  /** Port of the engine by which the first request is tried. */
  ifindex: number;
  /** Sizes up to which the rings may grow, bytes. Default: room for the longest message. */
  send?: number;
  receive?: number;
}

export interface LoadedMessages extends LoadedAny {
  readonly transport: MessageTransport;
  /** Plain data from which any thread makes its view: MessageTransport.view. */
  readonly shared: unknown;
  /** Longest message, bytes. */
  readonly longest: number;
  /** @throws SocketError EADDRINUSE; EtherloomError ERR_HOMA_PORT */
  serve(wish: ServeWish): ServePlace;
  /** Names other applications of the lanes: for clients that are heard of from now on. */
  setLaneApps(port: number, laneApps: readonly number[]): void;
  /** Calls to the port are refused from now on; those that there are go on. */
  unserve(port: number): void;
  /** @throws SocketError EADDRINUSE when every port is a client's */
  client(wish: { app: number }): ClientPlace;
  /**
   * Opens slots for calls of a client: numbers of streams, of its application, and ready for use.
   * @throws SocketError ENOBUFS when there is not one stream more, ENETDOWN for a lane that was given up
   */
  openSlots(client: ClientPlace, n: number, wish: SlotsWish): number[];
  /** Its port is free again. Its slots are the application's to abort, before. */
  closeClient(client: ClientPlace): void;
}

/** What an application's thread sees of its slots. Reads memory, asks nobody. */
export interface MessageView {
  /** What ended the slot, as Linux names it; undefined for one that works. */
  error(id: number): string | undefined;
  /** Own port of the slot: the one that is served, or the client's. */
  port(id: number): number;
  /** Figures of the slot, for people and metrics. */
  info(id: number): Record<string, number>;
}

export interface MessageTransport extends AnyTransport<LoadedMessages> {
  /** What `shared` of a loaded one says, seen from this thread. */
  view(arena: Arena, shared: unknown): MessageView;
}
