/** Our end of a wire: a stack in an engine with one worker lane, and connections that are read and written by promises. */
import { Engine } from '../../../host/engine/engine.js';
import type { Connection } from '../../../host/net/burst/connection.js';
import type { StackEvent } from '../../../host/net/burst/sockets.js';
import { Stack } from '../../../host/net/stack.js';
import { streamCounters } from '../../../host/streams/stream_apps.js';
import { type ConnectionOptions, tcp } from '../../../host/transports/tcp/index.js';
import type { Wire } from './wire.js';

const STREAMS = 64;
/** Rings of a connection. */
const RING = 1 << 20;
/** How long the thread sleeps at most: then it may be told to stop. */
const SLEEP_MS = 50;

export class OurConnection {
  #news: (() => void)[] = [];

  constructor(
    readonly host: OurHost,
    readonly tcp: Connection<ConnectionOptions>,
  ) {}

  /** Something happened: whoever waits looks again. */
  tell(): void {
    for (const go of this.#news.splice(0)) go();
  }

  #change(): Promise<void> {
    this.host.stack.burst.flush();
    return new Promise(go => this.#news.push(go));
  }

  #check(): void {
    if (this.tcp.error) throw new Error(this.tcp.error);
  }

  /** @throws Error named as the errno */
  async established(): Promise<this> {
    while (!this.tcp.connected) {
      if (this.tcp.closed) {
        this.close();
        this.#check();
      }
      await this.#change();
    }
    return this;
  }

  /** Resolves when all of it is in the send ring. @throws Error when the connection ended */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; ; ) {
      this.#check();
      at += this.tcp.write(bytes.subarray(at));
      if (at === bytes.length) break;
      await this.#change();
    }
    this.host.stack.burst.flush();
  }

  /** Copies what has come to `into`. 0: the other end sends no more. @throws Error when the connection was cut */
  async read(into: Uint8Array): Promise<number> {
    for (;;) {
      // Whether it is over is looked at first: what came before is there then.
      const over = this.tcp.ended || this.tcp.closed;
      const n = this.tcp.read(into);
      if (n) return n;
      this.#check();
      if (over) return 0;
      await this.#change();
    }
  }

  /** FIN behind what was written. */
  shutdown(): void {
    this.tcp.shutdown();
    this.host.stack.burst.flush();
  }

  /** Resolves when it is over both ways. */
  async finished(): Promise<void> {
    while (!this.tcp.closed) await this.#change();
  }

  close(): void {
    this.tcp.close();
    this.host.stack.burst.flush();
  }

  abort(): void {
    this.tcp.abort();
    this.host.stack.burst.flush();
  }
}

export class OurHost {
  readonly #connections = new Map<Connection<ConnectionOptions>, OurConnection>();
  readonly #accepted: OurConnection[] = [];
  readonly #waiting: ((c: OurConnection) => void)[] = [];
  #running = true;
  readonly #ended: Promise<void>;

  private constructor(
    readonly wire: Wire,
    readonly engine: Engine,
    readonly stack: Stack,
  ) {
    this.#ended = this.#pump();
  }

  static async create(wire: Wire): Promise<OurHost> {
    const nic = wire.nic();
    const engine = await Engine.create({
      nics: [nic],
      frames: 8192,
      mapBytes: 64 << 20,
      streams: { count: STREAMS, bytes: 64 << 20 },
    });
    try {
      const { families } = wire;
      const stack = await Stack.create({
        engine,
        ports: {
          [nic.name]: {
            addresses: families.map(f => `${wire.address(f)}/${f === 4 ? 24 : 64}`),
            gateway: families.map(f => wire.gateway(f)),
          },
        },
        transport: tcp({
          defaults: {
            sendBuffer: RING,
            receiveBuffer: RING,
            congestion: 'cubic',
            ecn: wire.settings.ce ? 'on' : 'accept',
          },
        }),
      });
      await engine.start();
      await wire.ready();
      return new OurHost(wire, engine, stack);
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  async #pump(): Promise<void> {
    const { stack } = this;
    const events: StackEvent<ConnectionOptions>[] = [];
    // Waiting for events alone keeps no process alive.
    const alive = setInterval(() => {}, 1000);
    while (this.#running) {
      const n = stack.burst.poll(events);
      for (let i = 0; i < n; i++) this.#hear(events[i]);
      if (n) await this.tick(0);
      else await stack.burst.wait(SLEEP_MS);
    }
    clearInterval(alive);
  }

  #hear({ connection, accepted }: StackEvent<ConnectionOptions>): void {
    const known = this.#connections.get(connection);
    if (!accepted) return known?.tell();
    const c = new OurConnection(this, connection);
    this.#connections.set(connection, c);
    const taker = this.#waiting.shift();
    if (taker) taker(c);
    else this.#accepted.push(c);
  }

  tick(ms = 1): Promise<void> {
    return new Promise(go => (ms ? setTimeout(go, ms) : setImmediate(go)));
  }

  listen(port: number, options: ConnectionOptions = {}): void {
    this.stack.burst.listen({ port, options });
  }

  accept(): Promise<OurConnection> {
    const c = this.#accepted.shift();
    return c ? Promise.resolve(c) : new Promise(go => this.#waiting.push(go));
  }

  /** @throws Error named as the errno */
  connect(port: number, family: 4 | 6 = 4): Promise<OurConnection> {
    const connection = this.stack.burst.connect({ host: this.wire.peer(family), port });
    const c = new OurConnection(this, connection);
    this.#connections.set(connection, c);
    this.stack.burst.flush();
    return c.established();
  }

  /** Streams that are in use: by a connection that is not over, or by an application that has not closed it. */
  get connections(): number {
    let n = 0;
    for (let lane = 0; lane <= this.engine.laneCount; lane++) {
      const { opened, freed } = streamCounters(this.engine.arena, lane);
      n += opened - freed;
    }
    return n;
  }

  /** Connections that are not closed, for reports of what hangs. */
  describe(): string {
    const text = (c: Connection<ConnectionOptions>): string =>
      `${c.state} ${JSON.stringify(c.info())}, ${c.readable} to be read, room for ${c.room}`;
    return [...this.stack.burst.connections].map(text).join('\n');
  }

  counters(): Record<string, number> {
    return this.stack.counters();
  }

  async close(): Promise<void> {
    this.#running = false;
    await this.#ended;
    await this.stack.close();
    const { ledger, crashes } = await this.engine.stop();
    if (ledger.lost + ledger.doubled) throw new Error(`frames: ${JSON.stringify(ledger)}`);
    if (crashes.length) throw new Error(`a lane died: ${crashes[0]}`);
  }
}
