/**
 * The three levels, side by side: the same service, and the same load, on sockets like Node's, on the burst API in the main
 * thread, and inside of lanes. What each of them costs is the difference.
 */
import { createServer as createHttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { laneModule } from '../engine/lane_file.js';
import type { Stack } from '../net/stack.js';
import { BurstServer } from './burst.js';
import { duplexServer, type NetLike } from './duplex.js';
import { helloListener } from './http/hello.js';
import type { LaneLoad } from './lane_load.js';
import type { LaneService } from './lane_service.js';
import { BurstLoad } from './load/burst.js';
import { DuplexLoad } from './load/duplex.js';
import { Tally } from './load/tally.js';
import { BurstLoop, type BurstLoopOptions } from './loop.js';
import { Patience } from './patience.js';
import { type CallSpec, callersOf, limitsOf, type ServiceSpec, serviceOf } from './specs.js';

export const LEVELS = ['duplex', 'burst', 'lane'] as const;
export type Level = (typeof LEVELS)[number];

/** What is used of `net`: a stack's, or Node's own, which has no other level. */
export interface Net extends NetLike {
  connect(options: { host: string; port: number; noDelay: boolean }): Duplex;
}

interface NetServer {
  listen(port: number, host: string | undefined, done: () => void): unknown;
  address(): unknown;
  close(done: () => void): unknown;
  once(event: 'error', heard: (error: Error) => void): unknown;
  on(event: 'connection', heard: (socket: Duplex) => void): unknown;
  on(event: 'listening' | 'close', heard: () => void): unknown;
  maxConnections?: number;
}

/** Where a service listens. */
export interface ServePlace {
  /** 0: any that is free. */
  port: number;
  /** Default: any of the stack's. */
  address?: string;
  backlog?: number;
}

/** A service that listens. */
export interface Served {
  readonly port: number;
  close(): Promise<void>;
}

export interface CallPlace {
  host: string;
  port: number;
  /** Connections, and requests under way on each. */
  flows: number;
  outstanding: number;
  /** Most requests of one write. Default: all that are to be made at a time. */
  most?: number;
}

/** A load at work. */
export interface Calling {
  /** Copies of what its tallies have: TallySpan makes figures of two. */
  numbers(): Float64Array[];
  /** Connections that ended before their time, and why. */
  readonly errors: readonly string[];
  /** Asks where there was nothing to ask for: the workload has begun. */
  goOn(): void;
  /** Asks nothing more, and closes. */
  close(): Promise<void>;
}

// ── Duplex ──────────────────────────────────────────────────────────────────────────────────────────────────────────

/** On sockets: of a stack (`stack.net`), or of Node (`node:net`). HTTP is Node's own. */
export async function serveDuplex(net: Net, spec: ServiceSpec, place: ServePlace): Promise<Served> {
  const sockets = new Set<Duplex>();
  const server = serverOf(net, spec) as NetServer;
  server.on('connection', socket => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(place.port, place.address, resolve);
  });
  return {
    port: (server.address() as { port: number }).port,
    close: () =>
      new Promise(done => {
        server.close(done);
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function serverOf(net: Net, spec: ServiceSpec): unknown {
  const limits = limitsOf(spec);
  if (spec.app !== 'http') return duplexServer(net, serviceOf(spec), limits);
  const { connections, idleMs, headMs, bodyMs, stallMs } = limits;
  const web = createHttpServer(
    {
      ...{ keepAliveTimeout: idleMs, headersTimeout: headMs, requestTimeout: bodyMs && headMs + bodyMs },
      connectionsCheckingInterval: new Patience(limits, () => {}).stepMs,
    },
    helloListener,
  );
  web.setTimeout(stallMs);
  const onConnection = (socket: Duplex): unknown => web.emit('connection', socket);
  const server = net.createServer({ noDelay: true, allowHalfOpen: true }, onConnection) as NetServer;
  if (Number.isFinite(connections)) server.maxConnections = connections;
  // From then on it looks after its times.
  server.on('listening', () => web.emit('listening'));
  server.on('close', () => web.close());
  return server;
}

export function callDuplex(net: Net, spec: CallSpec, place: CallPlace): Calling {
  const { host, port, flows, outstanding } = place;
  const load = new DuplexLoad(new Tally(), place.most);
  const callers = callersOf(spec);
  for (let i = 0; i < flows; i++)
    load.begin(net.connect({ host, port, noDelay: true }), callers.next(), outstanding);
  return {
    numbers: () => [load.tally.numbers.slice()],
    errors: load.errors,
    goOn: () => load.goOn(),
    async close() {
      load.close();
    },
  };
}

// ── burst ───────────────────────────────────────────────────────────────────────────────────────────────────────────

const NO_DELAY = { noDelay: true } as const;
/** Longest sleep of an inline engine's application, ms. */
const INLINE_REST_MS = 100;

const restOf = (stack: Stack): BurstLoopOptions => (stack.engine.inline ? { restMs: INLINE_REST_MS } : {});

/** On the burst API of the main thread, which is its: one service or load a stack. */
export function serveBurst(
  stack: Stack,
  spec: ServiceSpec,
  place: ServePlace,
  options: BurstLoopOptions = {},
): Served {
  const server = new BurstServer(serviceOf(spec), limitsOf(spec));
  const listener = stack.burst.listen({ ...place, options: NO_DELAY });
  const loop = new BurstLoop(stack.burst, server.news, { ...restOf(stack), ...options, tick: server.tick });
  const shut = (): void => {
    listener.close();
    for (const connection of [...stack.burst.connections]) connection.abort();
    stack.burst.flush();
  };
  // What a service throws is nobody's answer: its peers hear of the end, and the process of the error.
  const ended = loop.ended.catch(error => {
    shut();
    throw error;
  });
  return {
    port: listener.port,
    async close() {
      const over = ended.catch(() => {});
      await loop.stop().catch(() => {});
      await over;
      shut();
    },
  };
}

export function callBurst(
  stack: Stack,
  spec: CallSpec,
  place: CallPlace,
  options: BurstLoopOptions = {},
): Calling {
  const { host, port, flows, outstanding } = place;
  const load = new BurstLoad(new Tally(), place.most);
  const callers = callersOf(spec);
  const loop = new BurstLoop(stack.burst, load.news, { ...restOf(stack), ...options });
  for (let i = 0; i < flows; i++)
    load.begin(stack.burst.connect({ host, port, options: NO_DELAY }), callers.next(), outstanding);
  return {
    numbers: () => [load.tally.numbers.slice()],
    errors: load.errors,
    goOn() {
      load.goOn();
      stack.burst.flush();
    },
    async close() {
      await loop.stop();
      load.close();
      stack.burst.flush();
    },
  };
}

// ── inside of lanes ─────────────────────────────────────────────────────────────────────────────────────────────────

/** In the lanes of the stack's engine that `lanes` names: those where its packets arrive. */
export async function serveLane(
  stack: Stack,
  spec: ServiceSpec,
  place: ServePlace,
  lanes?: readonly number[],
): Promise<Served> {
  // One port for all lanes, known before they listen.
  const port = place.port || freePort(stack);
  const data: LaneService = { spec, place: { ...place, port } };
  const inLane = await stack.openInLane({
    module: laneModule('apps/lane_service'),
    data,
    ...(lanes ? { lanes } : {}),
  });
  return { port, close: () => inLane.close() };
}

function freePort(stack: Stack): number {
  const listener = stack.burst.listen({});
  listener.close();
  return listener.port;
}

export async function callLane(
  stack: Stack,
  spec: CallSpec,
  place: CallPlace,
  lanes: readonly number[] = Array.from({ length: stack.engine.laneCount }, (_, i) => i),
): Promise<Calling> {
  const { host, port, outstanding, most } = place;
  const tallies = lanes.map(lane => [lane, new SharedArrayBuffer(Tally.bytes)] as const);
  const flows = lanes.map((lane, i) => [
    lane,
    Math.floor((place.flows * (i + 1)) / lanes.length) - Math.floor((place.flows * i) / lanes.length),
  ]);
  const data: LaneLoad = {
    ...{ spec, host, port, outstanding, most },
    ...{ flows: Object.fromEntries(flows), memory: Object.fromEntries(tallies) },
  };
  const errors: string[] = [];
  const inLane = await stack.openInLane({ module: laneModule('apps/lane_load'), lanes, data });
  inLane.on('told', what => errors.push((what as { error: string }).error));
  inLane.on('ended', ({ error }) => {
    if (error) errors.push(error.message);
  });
  return {
    numbers: () => tallies.map(([, memory]) => new Float64Array(memory).slice()),
    errors,
    // They look for themselves.
    goOn() {},
    close: () => inLane.close(),
  };
}

// ── by name ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** @param lanes of the in-lane level @throws as `listen` of the level, and `openInLane` */
export async function serve(
  stack: Stack,
  level: Level,
  spec: ServiceSpec,
  place: ServePlace,
  lanes?: readonly number[],
): Promise<Served> {
  if (level === 'duplex') return serveDuplex(stack.net as unknown as Net, spec, place);
  return level === 'burst' ? serveBurst(stack, spec, place) : serveLane(stack, spec, place, lanes);
}

/** @param lanes of the in-lane level @throws as `connect` of the level, and `openInLane` */
export async function call(
  stack: Stack,
  level: Level,
  spec: CallSpec,
  place: CallPlace,
  lanes?: readonly number[],
): Promise<Calling> {
  if (level === 'duplex') return callDuplex(stack.net as unknown as Net, spec, place);
  return level === 'burst' ? callBurst(stack, spec, place) : callLane(stack, spec, place, lanes);
}
