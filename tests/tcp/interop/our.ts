/** Our end of a wire: TCP in an engine with one worker lane, and connections that are read and written by promises. */
import { Engine } from '../../../host/engine/engine.js';
import { StreamEvent, StreamRequest } from '../../../host/layout/layout.gen.js';
import type { StreamEnd } from '../../../host/net/burst/stream_end.js';
import { TcpEngine } from '../engine.js';
import { OptionFlag, type TcpOptions } from '../sockets.js';
import type { Wire } from './wire.js';

const STREAMS = 64;
/** Rings of a connection. */
const RING = 1 << 20;
/** How long the thread sleeps at most: then it may be told to stop. */
const SLEEP_MS = 50;

export class OurConnection {
  #events = 0;
  #news: (() => void)[] = [];
  #sent = false;

  constructor(
    readonly host: OurHost,
    readonly end: StreamEnd,
  ) {}

  /** Events of the stream: whoever waits looks again. */
  tell(events: number): void {
    this.#events |= events;
    for (const go of this.#news.splice(0)) go();
  }

  #change(): Promise<void> {
    this.host.flush();
    return new Promise(go => this.#news.push(go));
  }

  get error(): number {
    return this.#events & StreamEvent.ERR ? this.host.tcp.flow(this.end.id).error : 0;
  }

  get #over(): boolean {
    return (this.#events & (StreamEvent.HUP | StreamEvent.ERR)) !== 0;
  }

  async established(): Promise<this> {
    while (!(this.#events & (StreamEvent.CONNECTED | StreamEvent.ACCEPT))) {
      if (this.#over) throw new Error(`connect: error ${this.error}`);
      await this.#change();
    }
    return this;
  }

  /** Resolves when all of it is in the send ring. @throws Error when the connection ended */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#events & StreamEvent.ERR) throw new Error(`write: error ${this.error}`);
      const n = this.end.write(bytes.subarray(at));
      at += n;
      if (at < bytes.length) await this.#change();
    }
    this.host.flush();
  }

  /** Copies what has come to `into`. 0: the other end sends no more. @throws Error when the connection was cut */
  async read(into: Uint8Array): Promise<number> {
    for (;;) {
      const n = this.end.read(into);
      if (n) return n;
      if (this.#events & StreamEvent.ERR) throw new Error(`read: error ${this.error}`);
      if (this.#over) return 0;
      await this.#change();
    }
  }

  /** FIN behind what was written. */
  shutdown(): void {
    if (this.#sent) return;
    this.#sent = true;
    this.end.request(StreamRequest.SHUTDOWN);
    this.host.flush();
  }

  /** Resolves when everything that was written is acknowledged, and what ends the connection as well. */
  async finished(): Promise<void> {
    while (!this.end.finished) await this.host.tick();
  }

  close(): void {
    this.end.request(StreamRequest.CLOSE);
    this.end.release();
    this.host.flush();
  }

  abort(): void {
    this.end.request(StreamRequest.ABORT);
    this.end.release();
    this.host.flush();
  }

  /** How it stands, for reports of what hangs. */
  describe(): string {
    const f = this.host.tcp.flow(this.end.id) as unknown as Record<string, number>;
    return JSON.stringify(f, (_, v) => (typeof v === 'bigint' ? `${v}` : v));
  }
}

export class OurHost {
  readonly #connections = new Map<StreamEnd, OurConnection>();
  readonly #accepted: OurConnection[] = [];
  #waiting: ((c: OurConnection) => void)[] = [];
  #running = true;
  #ended: Promise<void>;
  #port = 20000;

  private constructor(
    readonly wire: Wire,
    readonly engine: Engine,
    readonly tcp: TcpEngine,
  ) {
    this.#ended = this.#pump();
  }

  static async create(wire: Wire): Promise<OurHost> {
    const nic = wire.nic();
    const engine = await Engine.create({
      nics: [nic],
      frames: 8192,
      mapBytes: 32 << 20,
      streams: { count: STREAMS, bytes: 64 << 20 },
    });
    try {
      const { families } = wire;
      const tcp = await TcpEngine.on(engine, { [nic.name]: families.map(f => wire.address(f)) }, STREAMS);
      for (const f of families) {
        const mac = wire.gatewayMac;
        if (mac) engine.routes.addNeighbour({ port: 1, address: wire.gateway(f), mac });
        engine.routes.add({ prefix: f === 4 ? '0.0.0.0/0' : '::/0', port: 1, via: wire.gateway(f) });
      }
      await engine.start();
      await wire.ready();
      return new OurHost(wire, engine, tcp);
    } catch (error) {
      await engine.stop();
      throw error;
    }
  }

  async #pump(): Promise<void> {
    const { app } = this.tcp;
    // Waiting for events alone keeps no process alive.
    const alive = setInterval(() => {}, 1000);
    while (this.#running) {
      await app.wait(SLEEP_MS);
      app.take((end, events) => {
        let c = this.#connections.get(end);
        if (!c) {
          this.#connections.set(end, (c = new OurConnection(this, end)));
          this.tcp.ends.set(end.id, end);
        }
        c.tell(events);
        if (events & StreamEvent.ACCEPT) {
          const taker = this.#waiting.shift();
          if (taker) taker(c);
          else this.#accepted.push(c);
        }
      });
    }
    clearInterval(alive);
  }

  tick(ms = 1): Promise<void> {
    return new Promise(go => setTimeout(go, ms));
  }

  flush(): void {
    this.tcp.app.flush();
  }

  #options(): Partial<TcpOptions> {
    const { ce } = this.wire.settings;
    return { sndBytes: RING, rcvBytes: RING, algorithm: 1, flags: ce ? OptionFlag.ECN : 0 };
  }

  listen(port: number, options: Partial<TcpOptions> = {}): void {
    for (const f of this.wire.families) this.tcp.listen(f, port, 1 << 20, { ...this.#options(), ...options });
  }

  accept(): Promise<OurConnection> {
    const c = this.#accepted.shift();
    return c ? Promise.resolve(c) : new Promise(go => this.#waiting.push(go));
  }

  connect(port: number, options: Partial<TcpOptions> = {}, family: 4 | 6 = 4): Promise<OurConnection> {
    const all = { ...this.#options(), ...options };
    const { wire } = this;
    const end = this.tcp.connect(wire.address(family), this.#port++, wire.peer(family), port, all);
    const c = new OurConnection(this, end);
    this.#connections.set(end, c);
    this.flush();
    return c.established();
  }

  /** Connections that the tables know. */
  get connections(): number {
    return [...this.tcp.map('tcp4')].length + [...this.tcp.map('tcp6')].length;
  }

  /** Connections that are not released, for reports of what hangs. */
  describe(): string {
    return [...this.#connections.values()]
      .filter(c => !c.end.released)
      .map(c => c.describe())
      .join('\n');
  }

  counters(): Record<string, number> {
    return this.tcp.counters();
  }

  async close(): Promise<void> {
    this.#running = false;
    await this.#ended;
    const { ledger, crashes } = await this.engine.stop();
    if (ledger.lost + ledger.doubled) throw new Error(`frames: ${JSON.stringify(ledger)}`);
    if (crashes.length) throw new Error(`a lane died: ${crashes[0]}`);
  }
}
