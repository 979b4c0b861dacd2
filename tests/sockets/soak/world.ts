/**
 * Two hosts with a wire of the shm NIC that loses packets, each with a lane; services on one, loads on the other; lanes are
 * killed as they work. With root the serving host has an AF_XDP NIC as well, and clients of the kernel behind it.
 *
 *   client stack, lane 0 ══ shm, loss ══ server stack, lane 1 ══ AF_XDP ══ router, loss ══ [ clients of the kernel ]
 *   http · ws · kv · datagrams on sockets                                                   http · ws · kv · datagrams
 *   kv in bursts · hello and kv of applications inside of lane 1
 */
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { HelloCaller } from '../../../host/apps/http/caller.js';
import { KvCaller, type KvCalls } from '../../../host/apps/kv/caller.js';
import { KvStore } from '../../../host/apps/kv/store.js';
import type { LaneService } from '../../../host/apps/lane_service.js';
import {
  callBurst,
  callDuplex,
  type Net,
  type Served,
  serveBurst,
  serveDuplex,
} from '../../../host/apps/levels.js';
import type { ServiceSpec } from '../../../host/apps/specs.js';
import { Engine } from '../../../host/engine/engine.js';
import { laneModule } from '../../../host/engine/lane_file.js';
import { takeStreamLedger } from '../../../host/mem/streams.js';
import { Stack } from '../../../host/net/stack.js';
import { modelLink } from '../../../host/nic/index.js';
import { random } from '../../support/random.js';
import type { Wire } from '../../tcp/interop/wire.js';
import { accounts } from './accounts.js';
import { type Dgram, datagramEcho, datagramLoad } from './datagrams.js';
import { type HttpEnd, httpLoad, httpServer } from './http.js';
import { type InLaneCalls, inLaneLoad } from './in_lane.js';
import { KernelClients } from './kernel.js';
import { type CallFrom, type Counted, PORTS } from './load.js';
import { Outages, pulse } from './outages.js';
import { STORE, StoreLoad, storeCalls } from './store.js';
import { type WebSocketEcho, webSocketLoad, webSocketServer } from './websocket.js';

export interface SoakOptions {
  seed: number;
  /** Longest time between two kills, ms. */
  killMs: number;
  /** Share of packets that both wires lose. */
  loss: number;
  /** With clients of the kernel. */
  kernel: boolean;
}

export interface Sample {
  /** By load; those of the kernel's clients begin with `kernel`. */
  loads: Record<string, Counted>;
  kills: number;
  /** Longest time that a lane was missed, or that this process stood still, ms; and how long that was in all. */
  longestMs: number;
  stoodMs: number;
  /** Flows that a lane died at work on, and segments sent again. */
  mended: number;
  again: number;
  /** After a collection of garbage. */
  heapBytes: number;
  residentBytes: number;
  openFiles: number;
  /** What is not as it should be. */
  faults: string[];
}

const SERVER = '10.0.0.2';
const LANES = 2;
/** Lane of the server's applications. */
const SERVING = 1;
setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export class SoakWorld {
  readonly #errors: string[] = [];
  readonly #loads: Record<string, { total: Counted; stop(): Promise<void> }> = {};
  readonly #served: { close(): unknown }[] = [];
  readonly #outages = new Outages();
  readonly #stoodMs = pulse.stoodMs;
  #web!: HttpEnd;
  #echo!: WebSocketEcho;
  #inLane!: KvCalls;
  /** Wait for a next life of applications in lanes. */
  readonly #restarting: (() => Promise<unknown>)[] = [];
  #kernel: KernelClients | undefined;
  #kills = 0;
  #over = false;
  #killing: Promise<void> = Promise.resolve();

  private constructor(
    readonly options: SoakOptions,
    readonly engine: Engine,
    readonly client: Stack,
    readonly server: Stack,
    readonly wire: Wire | undefined,
  ) {}

  static async open(options: SoakOptions): Promise<SoakWorld> {
    const { loss, seed } = options;
    const wire = options.kernel ? await KernelClients.wire(loss) : undefined;
    let engine: Engine | undefined;
    try {
      const { a, b } = modelLink({
        name: 'wire',
        queues: 1,
        firstLanes: [0, 1],
        loss,
        seed,
        delayNs: 100_000,
      });
      engine = await Engine.create({
        ...({ lanes: LANES, pass: 'count', frames: 16384, warmMs: 0, mapBytes: 32 << 20 } as const),
        nics: [a, b, ...(wire ? [wire.nic()] : [])],
        streams: { count: 1024, bytes: 128 << 20, apps: 16 },
      });
      const port = (address: string) => ({ addresses: [`${address}/24`] });
      const client = await Stack.create({ engine, ports: { 'wire.a': port('10.0.0.1') } });
      const outside = wire && {
        [wire.nearLink]: { addresses: [`${wire.address()}/24`], gateway: wire.gateway() },
      };
      const server = await Stack.create({ engine, ports: { 'wire.b': port(SERVER), ...outside } });
      await engine.start();
      await wire?.ready();
      const world = new SoakWorld(options, engine, client, server, wire);
      await world.#begin();
      return world;
    } catch (error) {
      await engine?.stop();
      wire?.close();
      throw error;
    }
  }

  async #begin(): Promise<void> {
    const { client, server, wire } = this;
    const { seed } = this.options;
    const errors = this.#errors;
    this.engine.on('failed', error => errors.push(`a lane was given up: ${error.message}`));
    this.#web = httpServer(errors);
    const { web } = this.#web;
    server.serve(web, PORTS.http);
    this.#echo = webSocketServer(errors);
    server.serve(this.#echo.web, PORTS.ws);
    const store = () => ({ app: 'kv', memory: KvStore.create(STORE, true) }) as const;
    const stores: Served[] = [
      await serveDuplex(server.net as unknown as Net, store(), { port: PORTS.kv }),
      serveBurst(server, store(), { port: PORTS.kvBurst }),
    ];
    const { dgram } = server;
    this.#served.push(web, this.#echo.web, ...stores, datagramEcho(dgram as unknown as Dgram, errors));
    // Nobody is at rest for long, but a machine may be.
    const patient = { limits: { idleMs: 600_000 } };
    const inLane: [ServiceSpec, number][] = [
      [{ app: 'http', ...patient }, PORTS.laneHttp],
      [{ ...store(), ...patient }, PORTS.laneKv],
    ];
    for (const [spec, port] of inLane) await this.#serveInLane({ spec, place: { port } });

    const from: CallFrom = { net: client.net as unknown as CallFrom['net'], host: SERVER, seed };
    const [kv, burst] = [new StoreLoad('kv', 4), new StoreLoad('kv in bursts', 4)];
    Object.assign(this.#loads, { http: httpLoad(from, 6), ws: webSocketLoad(from, 6), kv, burst });
    await kv.start(SERVER, PORTS.kv, (spec, place) => callDuplex(client.net as unknown as Net, spec, place));
    await burst.start(SERVER, PORTS.kvBurst, (spec, place) => callBurst(client, spec, place));
    const calls = storeCalls();
    this.#inLane = calls;
    const ended = (since: number): boolean => this.#outages.ended(SERVING, since);
    const inLaneCalls: InLaneCalls[] = [
      { name: 'hello in its lane', port: PORTS.laneHttp, caller: () => new HelloCaller(), ended },
      { name: 'kv in its lane', port: PORTS.laneKv, caller: () => new KvCaller(calls), ended },
    ];
    for (const call of inLaneCalls) this.#loads[call.name] = inLaneLoad(from, call, 3);
    const outage = (since: number): boolean => this.#outages.some(since);
    const udp = { dgram: client.dgram as unknown as Dgram, host: SERVER, seed, outage };
    this.#loads.udp = datagramLoad(udp, 3);
    if (wire) this.#kernel = new KernelClients(wire, seed + 1);
    this.#killing = this.#kill();
  }

  async #serveInLane(data: LaneService): Promise<void> {
    const inLane = await this.server.openInLane({
      ...{ module: laneModule('apps/lane_service'), data: { ...data }, lanes: [SERVING] },
    });
    this.#restarting.push(() => once(inLane, 'restarted'));
    inLane.on('ended', ({ error }) => error && this.#errors.push(`in lane ${SERVING}: ${error.message}`));
    this.#served.push(inLane);
  }

  async #kill(): Promise<void> {
    const { engine } = this;
    const { killMs, seed } = this.options;
    const next = random(seed);
    while (!this.#over) {
      await sleep(1 + (next() % killMs));
      if (this.#over) return;
      const before = engine.crashes.length;
      const lane = next() % LANES;
      const back = this.#outages.begin(lane);
      const begun = lane === SERVING ? this.#restarting.map(restarted => restarted()) : [];
      engine.killLane(lane);
      this.#kills++;
      while (engine.crashes.length === before && !this.#over) await sleep(1);
      await engine.settled();
      back();
      // A thread of Node that is ended while it loads modules leaves their files open.
      await Promise.all(begun);
    }
  }

  get kills(): number {
    return this.#kills;
  }

  sample(): Sample {
    const loads: Record<string, Counted> = {};
    for (const [name, load] of Object.entries(this.#loads)) loads[name] = load.total;
    for (const [name, total] of Object.entries(this.#kernel?.total ?? {})) loads[`kernel ${name}`] = total;
    let [mended, again] = [0, 0];
    for (const stack of [this.client, this.server]) {
      const { LaneDied = 0, RetransSegs = 0 } = stack.counters();
      mended += LaneDied;
      again += RetransSegs;
    }
    collect();
    return {
      ...{ loads, kills: this.#kills, mended, again },
      ...{ longestMs: this.#outages.longestMs, stoodMs: pulse.stoodMs - this.#stoodMs },
      heapBytes: process.memoryUsage().heapUsed,
      residentBytes: process.memoryUsage().rss,
      openFiles: readdirSync('/proc/self/fd').length,
      faults: [
        ...this.#errors,
        ...Object.values(loads).flatMap(load => load.errors),
        ...(this.#kernel?.faults ?? []),
      ],
    };
  }

  /** Ends loads, then services, then hosts. Returns the last sample, with what is left of them as faults. */
  async close(): Promise<Sample> {
    this.#over = true;
    await this.#killing;
    await this.engine.settled();
    await this.#kernel?.stop();
    for (const load of Object.values(this.#loads)) await load.stop();
    // What the last clients said is still on its way.
    await sleep(500);
    const last = this.sample();
    const { faults } = last;
    const rude = Object.entries(last.loads).filter(([name]) => name.endsWith('ws'));
    const left = rude.reduce((n, [, { cut }]) => n + cut, 0);
    if (this.#echo.left !== left)
      faults.push(`${this.#echo.left} WebSockets ended without a word, ${left} clients went so`);
    const { misses, failures } = this.#inLane;
    const told = {
      ...{ loads: last.loads, kills: last.kills, longestMs: last.longestMs, loss: this.options.loss },
      ...{ reset: this.#web.reset, inLane: { misses, failures } },
      ...{ client: this.client.counters(), server: this.server.counters() },
    };
    faults.push(...accounts(told));
    this.#echo.close();
    for (const served of this.#served) await served.close();
    await sleep(100);
    for (const [name, stack] of Object.entries({ client: this.client, server: this.server })) {
      const { connections, listeners } = stack.net.loop.sockets;
      const open = [[...connections].length, [...listeners].length];
      if (open[0] || open[1])
        faults.push(`${name}: ${open[0]} connections and ${open[1]} listeners are open`);
      await stack.close();
    }
    const { engine } = this;
    const { lost, doubled, lostIds, open, closed, used } = takeStreamLedger(engine.arena);
    if (lost || doubled || lostIds || open || closed || used)
      faults.push(`streams: ${JSON.stringify({ lost, doubled, lostIds, open, closed, used })}`);
    const { ledger, crashes } = await engine.stop();
    const inFlight = Object.values(ledger.inFlight).reduce((x, y) => x + y, 0);
    if (ledger.lost || ledger.doubled || ledger.free + inFlight !== ledger.total)
      faults.push(`frames: ${JSON.stringify(ledger)}`);
    const fallen = crashes.filter(c => c.how !== 'terminated' || !c.replaced);
    for (const { how, reason } of fallen) faults.push(`a lane ${how}: ${reason}`);
    this.wire?.close();
    return last;
  }
}
