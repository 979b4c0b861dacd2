/**
 * TCP with many connections: memory of one that is idle, and what a message costs when there are others. One inline lane
 * and its application on one thread, in virtual time, so that every message asks the same of the protocol however many
 * connections there are: data, answer with its ACK, and a delayed ACK at last.
 */
import { Engine } from '../host/engine/engine.js';
import { StreamLayout } from '../host/layout/layout.gen.js';
import { modelLink } from '../host/nic/index.js';
import type { StreamEnd } from '../host/streams/stream_end.js';
import { TcpEngine } from '../tests/tcp/engine.js';
import type { Bench } from './harness/bench.js';

const COUNTS = [1, 64, 1000, 10_000, 100_000];
const MESSAGE = 64;
/** Messages under way at a time, each on a connection of its own. */
const IN_FLIGHT = 64;
/** A ring of the smallest class. */
const RING = 2048;
/** After this a delayed ACK has gone. */
const REST_NS = 50_000_000;
/** Most of the cost with one connection, and bytes of an idle one. */
const MOST_RATIO = 1.5;
const MOST_BYTES = 4096;
const CONNECTS = 512;
const SAMPLES = 5;
const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
const PORTS = 50_000;

/** Both ends of `connections` connections in one instance of the programs, as one host with two ports. */
class Scale {
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
    const tcp = await TcpEngine.on(engine, { 'wire.a': [], 'wire.b': [ADDRESSES[1]] }, count);
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

/** CPU time of an item, ns: what others take of the machine meanwhile does not count, but for the caches. */
function cpuNs(body: () => void, items: number, quick: boolean): number {
  const from = process.cpuUsage();
  const until = performance.now() + (quick ? 50 : 600);
  let n = 0;
  do {
    body();
    n += items;
  } while (performance.now() < until);
  const { user, system } = process.cpuUsage(from);
  return ((user + system) * 1000) / n;
}

export default async function tcpScale(bench: Bench): Promise<void> {
  const counts = bench.quick ? COUNTS.filter(n => n <= 1000) : COUNTS;
  const small = await Scale.create(0);
  let base = 0;
  for (const n of counts) {
    const scale = await Scale.create(n);
    scale.connect(n);
    const batch = Math.min(n, IN_FLIGHT);
    // Every connection has its rings, and all code is warm.
    for (let i = 0; i < 2 * Math.ceil(Math.max(n, 4096) / batch); i++) scale.echo(batch);
    const ns = Math.min(
      ...Array.from({ length: SAMPLES }, () => cpuNs(() => scale.echo(batch), batch, bench.quick)),
    );
    base ||= ns;
    bench.row({
      ...{ group: 'tcp: scale', name: 'echo of 64 B: both applications, both ends, the link' },
      conditions: `${n} connections, one message each on ${batch} of them by chance`,
      ...{ unit: 'ns', value: ns, peer: { name: '1 connection', value: base } },
      ...(n === counts[counts.length - 1]
        ? { target: `< ${MOST_RATIO} × one connection`, met: ns < MOST_RATIO * base }
        : {}),
    });
    if (n === counts[counts.length - 1]) {
      const bytes = (scale.bytes - small.bytes) / (2 * n);
      bench.row({
        ...{ group: 'tcp: scale', name: 'memory of an idle connection, without rings' },
        conditions:
          'flow, scoreboard, options, timer, stream, table: bytes a connection that there is room for',
        ...{ unit: 'count', value: bytes, target: `≤ ${MOST_BYTES}`, met: bytes <= MOST_BYTES },
      });
    }
    await scale.engine.stop();
  }
  await small.engine.stop();
}
