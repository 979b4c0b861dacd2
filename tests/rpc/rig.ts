/**
 * Two hosts on a wire for the tests of this folder, with RPCs of every carrier. Loading their programs is the dear part: those
 * of `shared` worlds are loaded once a process, and each test has RPCs of its own there, of which nothing may be left.
 */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { type StreamLedger, takeStreamLedger } from '../../host/mem/streams.js';
import { Stack, type StackOptions } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import type { RpcError } from '../../host/rpc/errors.js';
import type { Rpc } from '../../host/rpc/rpc.js';
import type { DatagramTransport } from '../../host/transports/datagrams.js';
import { homa } from '../../host/transports/homa/index.js';
import { windowTransport } from '../own/rig.js';
import { assert } from '../support/suite.js';
import { type Faults, setFaults } from './faults.js';

export const SERVER = '10.0.0.2';
export const CLIENT = '10.0.0.1';

interface Hosts {
  engine: Engine;
  client: Stack;
  server: Stack;
}

export interface World extends Hosts {
  /** An RPC of each, to be closed with the stacks. */
  caller: Rpc;
  callee: Rpc;
}

export interface WorldOptions {
  carrier: string;
  engine?: Partial<EngineOptions>;
  /** Of shared hosts faults alone. */
  link?: Partial<Parameters<typeof modelLink>[0]>;
  stack?: () => Partial<StackOptions>;
  /** A transport that each stack is to load. */
  load?: () => DatagramTransport;
  /** Hosts with every carrier that other tests of the process have, too. */
  shared?: boolean;
}

/** Homa's servers remember what ended for as long as packets live, window's sockets stay for what may be asked for again. */
const REST_NS = 6_000_000_000n;
/** Whoever hears nothing from a socket that is no more asks for longer. */
const MOST_RESTS = 10;

export async function openHosts(options: Partial<WorldOptions>): Promise<Hosts> {
  const { a, b } = modelLink({ name: 'wire', packets: 4096, delayNs: 50_000, ...options.link });
  const engine = await Engine.create({
    ...{ nics: [a, b], inline: true, clock: 'virtual', warmMs: 0, frames: 8192, seed: 1 },
    streams: { count: 2048, bytes: 96 << 20, apps: 12 },
    ...options.engine,
  });
  const stack = (port: string, address: string): Promise<Stack> =>
    Stack.create({ engine, ports: { [port]: { addresses: [`${address}/24`] } }, ...options.stack?.() });
  try {
    const client = await stack('wire.a', CLIENT);
    const server = await stack('wire.b', SERVER);
    await engine.start();
    const { load } = options;
    if (load) for (const stack of [client, server]) await stack.load(load());
    return { engine, client, server };
  } catch (error) {
    await engine.stop();
    throw error;
  }
}

/** Every carrier. */
export const EVERY: Partial<WorldOptions> = {
  stack: () => ({ messages: homa() }),
  load: () => windowTransport(),
};

export async function closeHosts({ engine, client, server }: Hosts): Promise<void> {
  try {
    // Homa's servers remember what ended for as long as packets live.
    if (client.messages) engine.run({ untilNs: engine.now() + REST_NS });
    await client.close();
    await server.close();
    const streams = takeStreamLedger(engine.arena);
    const left = streams.open + streams.closed + streams.lost + streams.lostIds + streams.used;
    assert.is(left, 0, JSON.stringify(streams));
  } finally {
    const { ledger } = await engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  }
}

/** Two hosts of one inline engine in virtual time; afterwards nothing of them must be left. */
export async function world(options: WorldOptions, work: (w: World) => Promise<void>): Promise<void> {
  if (options.shared) return sharedWorld(options, work);
  const hosts = await openHosts(options);
  let failed = true;
  try {
    const { carrier } = options;
    const [caller, callee] = [await hosts.client.rpc({ carrier }), await hosts.server.rpc({ carrier })];
    await work({ ...hosts, caller, callee });
    await caller.close();
    await callee.close();
    failed = false;
  } finally {
    if (failed) await hosts.engine.stop();
  }
  await closeHosts(hosts);
}

// ── shared hosts ────────────────────────────────────────────────────────────────────────────────────────────────────

let everybodys: Promise<Hosts> | undefined;

async function sharedWorld(
  { carrier, link = {} }: WorldOptions,
  work: (w: World) => Promise<void>,
): Promise<void> {
  const opening = everybodys ?? openHosts(EVERY);
  // A test that fails, or is given up for its time, keeps what it has broken.
  everybodys = undefined;
  const hosts = await opening;
  const before = takeStreamLedger(hosts.engine.arena);
  const faults = setFaults(hosts.engine, link as Faults);
  const [caller, callee] = [await hosts.client.rpc({ carrier }), await hosts.server.rpc({ carrier })];
  await work({ ...hosts, caller, callee });
  await caller.close();
  await callee.close();
  faults.end();
  comeToRest(hosts.engine, before);
  everybodys = Promise.resolve(hosts);
}

/** Lets time pass until nothing is left of what is over: no stream, no memory of rings, no frame. */
export function comeToRest(engine: Engine, before: StreamLedger): void {
  const of = ({ open, closed, used, lost, lostIds }: StreamLedger) => ({ open, closed, used, lost, lostIds });
  for (let rests = 0; rests < MOST_RESTS; rests++) {
    engine.run({ untilNs: engine.now() + REST_NS });
    const { open, closed, used } = takeStreamLedger(engine.arena);
    if (open === before.open && closed === before.closed && used === before.used) break;
  }
  assert.equal(of(takeStreamLedger(engine.arena)), of(before));
  const frames = engine.ledger();
  assert.is(frames.lost + frames.doubled, 0, JSON.stringify(frames));
}

/** The code that a promise is rejected with; 'none' when it is not. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'none';
  } catch (error) {
    return (error as RpcError).code ?? String(error);
  }
}

/** Bytes that tell where they belong. */
export function pattern(length: number, seed: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) bytes[i] = (i * 31 + (i >> 8) * 7 + seed * 131) & 255;
  return bytes;
}
