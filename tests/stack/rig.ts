/** Hosts for the tests of this folder: stacks on a wire of the model NIC, and what their applications do. */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { EtherloomError } from '../../host/errors.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import type { ConnectOptions } from '../../host/net/burst/calls.js';
import type { Connection } from '../../host/net/burst/connection.js';
import type { StackEvent } from '../../host/net/burst/sockets.js';
import { type PortNetwork, Stack, type StackOptions } from '../../host/net/stack.js';
import { modelLink, type Nic } from '../../host/nic/index.js';
import type { SocketError } from '../../host/transports/errno.js';
import type { ConnectionOptions } from '../../host/transports/tcp/index.js';
import { sha } from '../support/pattern.js';
import { assert } from '../support/suite.js';

export { pattern, sha } from '../support/pattern.js';

export type C = Connection<ConnectionOptions>;
export type E = StackEvent<ConnectionOptions>;
type Heard = (event: E) => void;

/** A stack and what its connections' events are given to. */
export class Host {
  readonly #events: E[] = [];
  readonly #heard = new Map<C, Heard>();
  /** Connections that were accepted, with the events of the same moment. */
  onAccept: (connection: C) => Heard = () => () => {};

  constructor(readonly stack: Stack) {}

  connect(options: ConnectOptions<ConnectionOptions>, heard: Heard = () => {}): C {
    const c = this.stack.burst.connect(options);
    this.#heard.set(c, heard);
    return c;
  }

  hear(connection: C, heard: Heard): void {
    this.#heard.set(connection, heard);
  }

  poll(): number {
    const n = this.stack.burst.poll(this.#events);
    for (const e of this.#events.slice(0, n)) {
      if (e.accepted) this.#heard.set(e.connection, this.onAccept(e.connection));
      this.#heard.get(e.connection)?.(e);
    }
    return n;
  }
}

/** Lets time pass until `done`, at most `limitMs`: virtual where the engine's is. */
export async function until(hosts: readonly Host[], done: () => boolean, limitMs = 10_000): Promise<void> {
  const { engine } = hosts[0].stack;
  const end = engine.now() + BigInt(limitMs) * 1_000_000n;
  for (;;) {
    let news = 0;
    for (const host of hosts) news += host.poll();
    for (const host of hosts) host.stack.burst.flush();
    if (done()) return;
    if (engine.now() > end)
      throw new Error(
        `not within ${limitMs} ms: ${hosts.map(h => JSON.stringify(h.stack.counters())).join(' ')}`,
      );
    if (news) continue;
    if (!engine.inline) {
      await hosts[0].stack.burst.wait(1);
      continue;
    }
    if (engine.step()) continue;
    if (!engine.virtual) {
      await new Promise(next => setTimeout(next, 1));
      continue;
    }
    const next = engine.nextDueNs() ?? end + 1n;
    if (next > engine.now()) engine.advance(next - engine.now());
  }
}

export interface Wired {
  engine: Engine;
  a: Host;
  b: Host;
}

export const A = ['10.0.0.1/24', 'fd00::1/64'] as const;
export const B = ['10.0.0.2/24', 'fd00::2/64'] as const;
/** Addresses without their networks, by family. */
export const AT = { a: { 4: '10.0.0.1', 6: 'fd00::1' }, b: { 4: '10.0.0.2', 6: 'fd00::2' } } as const;

/** Of both families; who is asked first whether somebody has them would make every test a second longer. */
export const addresses = (list: readonly string[]): PortNetwork['addresses'] =>
  list.map(address => ({ address, dad: false }));

/** Two hosts of one engine with a wire between them; afterwards nothing of them must be left. */
export async function wired(
  work: (w: Wired) => Promise<void>,
  options: {
    engine?: Partial<EngineOptions>;
    link?: Partial<Parameters<typeof modelLink>[0]>;
    a?: Partial<StackOptions>;
    b?: Partial<StackOptions>;
    /** Ends of a second wire: wire2.a, wire2.b. */
    twice?: boolean;
    /** More NICs, of neither host. */
    nics?: Nic[];
  } = {},
): Promise<void> {
  const { a, b } = modelLink({ name: 'wire', packets: 4096, delayNs: 50_000, ...options.link });
  const second = modelLink({ name: 'wire2', packets: 4096, delayNs: 50_000 });
  const engine = await Engine.create({
    nics: [a, b, ...(options.twice ? [second.a, second.b] : []), ...(options.nics ?? [])],
    ...{ inline: true, clock: 'virtual', warmMs: 0, frames: 8192, seed: 1 },
    streams: { count: 64, bytes: 32 << 20, apps: 8 },
    ...options.engine,
  });
  try {
    const hosts = [
      new Host(
        await Stack.create({ engine, ports: { 'wire.a': { addresses: addresses(A) } }, ...options.a }),
      ),
      new Host(
        await Stack.create({ engine, ports: { 'wire.b': { addresses: addresses(B) } }, ...options.b }),
      ),
    ];
    await engine.start();
    await work({ engine, a: hosts[0], b: hosts[1] });
    for (const { stack } of hosts) await stack.close();
    const streams = takeStreamLedger(engine.arena);
    assert.is(
      streams.open + streams.closed + streams.lost + streams.lostIds + streams.used,
      0,
      JSON.stringify(streams),
    );
    assert.is(engine.routes.list().length, 0, 'routes are left');
  } finally {
    const { ledger } = await engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  }
}

/** What a call is refused for: the errno, or the code of what has none; 'none' when it is not. */
export function errnoOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof EtherloomError) return (error as SocketError).errno ?? error.code;
    throw error;
  }
  return 'none';
}

/** What an echo says to a connection: all that it hears; it ends when the peer does. */
export function echo(connection: C): Heard {
  let over = false;
  return e => {
    if (over) return;
    pump(connection);
    if (connection.ended && connection.readable === 0) {
      over = true;
      connection.close();
    } else if (e.closed) {
      over = true;
      connection.close();
    }
  };
}

/** From the receive ring into the send ring, without a buffer between. */
function pump(c: C): void {
  for (const from of c.readViews()) {
    const taken = c.write(from);
    c.consume(taken);
    if (taken < from.length) return;
  }
}

/** Sends `data` through a connection and gathers what comes; shuts down when all is written. */
export class Sender {
  readonly got: Uint8Array[] = [];
  bytes = 0;
  sent = 0;
  shut = false;
  ended = false;
  error: string | undefined;

  constructor(
    readonly connection: C,
    readonly data: Uint8Array,
  ) {}

  readonly heard: Heard = e => {
    if (e.error) this.error = e.error;
    this.work();
  };

  work(): void {
    const c = this.connection;
    if (this.sent < this.data.length && c.connected) this.sent += c.write(this.data.subarray(this.sent));
    for (const view of c.readViews()) {
      this.got.push(view.slice());
      this.bytes += view.length;
      c.consume(view.length);
    }
    if (this.sent === this.data.length && !this.shut && c.connected) {
      this.shut = true;
      c.shutdown();
    }
    if (c.ended && c.readable === 0) this.ended = true;
  }

  get sha(): string {
    return sha(Buffer.concat(this.got));
  }

  /** 'same', or how what came back differs from what was sent. */
  get verdict(): string {
    if (this.error !== undefined) return this.error;
    const got = Buffer.concat(this.got);
    if (got.equals(this.data)) return 'same';
    const from = got.findIndex((byte, i) => byte !== this.data[i]);
    if (from < 0) return `${got.length} of ${this.data.length} bytes`;
    let bytes = 0;
    for (let i = from; i < got.length; i++) bytes += +(got[i] !== this.data[i]);
    const at = Buffer.from(this.data).indexOf(got.subarray(from, from + 32));
    return `${got.length} of ${this.data.length} bytes, ${bytes} other from ${from} on, which stand at ${at}`;
  }
}
