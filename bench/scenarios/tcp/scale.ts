/**
 * Many connections in one inline lane, whose applications are on the same thread, in virtual time: every message asks the
 * same of the protocol however many connections there are: data, answer with its ACK, and a delayed ACK at last.
 */
import { Engine } from '../../../host/engine/engine.js';
import { StreamLayout } from '../../../host/layout/layout.gen.js';
import { modelLink } from '../../../host/nic/index.js';
import type { StreamEnd } from '../../../host/streams/stream_end.js';
import { TcpEngine } from '../../../tests/tcp/engine.js';

const MESSAGE = 64;
/** Messages under way at a time, each on a connection of its own. */
export const IN_FLIGHT = 64;
/** A ring of the smallest class. */
const RING = 2048;
/** After this a delayed ACK has gone. */
const REST_NS = 50_000_000;
/** What each of the two ends of a connection may take, bytes. */
export const MOST_BYTES = 4096;
const CONNECTS = 512;
const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
export const WIRE = ['wire.a', 'wire.b'] as const;
const PORTS = 50_000;

/** Both ends of `connections` connections in one instance of the programs, as one host with two ports. */
export class Scale {
  readonly clients: StreamEnd[] = [];
  readonly #isServer: Uint8Array;
  readonly #into = new Uint8Array(RING);
  readonly #message = new Uint8Array(MESSAGE).fill(7);
  /** Connections of the batch, by their places in `clients`, and whether one is among them already. */
  readonly #chosen = new Int32Array(IN_FLIGHT);
  #isChosen = new Uint8Array(0);
  /** What was fetched ahead, so that it is not left out. */
  fetched = 0;
  #back = 0;
  #random = 1;

  private constructor(
    readonly engine: Engine,
    readonly tcp: TcpEngine,
    streams: number,
    /** Bytes of maps and records, all in all. */
    readonly bytes: number,
  ) {
    this.#isServer = new Uint8Array(streams);
  }

  static async create(connections: number): Promise<Scale> {
    const { a, b } = modelLink({ name: 'wire' });
    const count = 2 * connections + 130;
    const engine = await Engine.create({
      ...{ nics: [a, b], inline: true, clock: 'virtual', frames: 4096, seed: 1 },
      mapBytes: (8 << 20) + count * MOST_BYTES,
      streams: { count, bytes: (8 << 20) + 3 * count * RING, slots: 4096 },
      hugePages: true,
    });
    for (const [i, address] of ADDRESSES.entries()) {
      const port = 2 - i;
      engine.routes.add({ prefix: address, port });
      engine.routes.addNeighbour({ port, address, mac: `02:00:00:00:00:0${i + 1}` });
    }
    // The address of the side that connects is no host's own: SYNs from there would be this host's to itself.
    const tcp = await TcpEngine.on(engine, { [WIRE[0]]: [], [WIRE[1]]: [ADDRESSES[1]] }, count);
    await engine.start();
    return new Scale(engine, tcp, count, engine.arena.maps.usedBytes + count * StreamLayout.size);
  }

  connect(connections: number): void {
    const { tcp } = this;
    const options = { sndBytes: RING, rcvBytes: RING };
    for (let p = 0; p * PORTS < connections; p++) tcp.listen(4, 1000 + p, connections, options);
    for (let i = 0; i < connections; ) {
      for (const to = Math.min(connections, i + CONNECTS); i < to; i++)
        this.clients.push(
          tcp.connect(ADDRESSES[0], 5000 + (i % PORTS), ADDRESSES[1], 1000 + Math.floor(i / PORTS), options),
        );
      tcp.settle();
      for (let id = tcp.accepted.shift(); id !== undefined; id = tcp.accepted.shift()) this.#isServer[id] = 1;
      // Both ends ask for their send rings, once and for all.
      for (const end of tcp.ends.values()) end.room;
      tcp.settle();
      tcp.ends.clear();
      tcp.events.clear();
    }
    this.#isChosen = new Uint8Array(this.clients.length);
    this.#rest();
  }

  /** Lets delayed ACKs go. */
  #rest(): void {
    this.engine.advance(REST_NS);
    this.engine.run({ untilNs: this.engine.now() });
  }

  #next(n: number): number {
    this.#random = (Math.imul(this.#random, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.#random / 2 ** 32) * n);
  }

  readonly #take = (end: StreamEnd): void => {
    const n = end.read(this.#into);
    if (n === 0) return;
    if (this.#isServer[end.id]) end.write(this.#into.subarray(0, n));
    else this.#back += n;
  };

  /** Messages there and back on `n` connections by chance. */
  echo(n: number): void {
    const { engine, tcp, clients } = this;
    const chosen = this.#chosen.subarray(0, n);
    const isChosen = this.#isChosen;
    for (let k = 0; k < n; ) {
      const i = this.#next(clients.length);
      if (isChosen[i]) continue;
      isChosen[i] = 1;
      chosen[k++] = i;
    }
    this.#back = 0;
    // As an application does that has a batch: its connections are in no cache, and it need not wait for them one by one.
    for (const i of chosen) this.fetched |= clients[i].fetch();
    for (const i of chosen) {
      clients[i].write(this.#message);
      isChosen[i] = 0;
    }
    for (let steps = 0; this.#back < n * MESSAGE; steps++) {
      tcp.app.flush();
      engine.step();
      tcp.app.take(this.#take);
      if (steps > 1000) throw new Error(`${this.#back} of ${n * MESSAGE} bytes came back`);
    }
    this.#rest();
  }
}
