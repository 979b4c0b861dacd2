/**
 * A load of messages on a network of host/sim, in virtual time: every host is a stack of its own in one inline engine, calls
 * all others, and answers them. Arrivals are Poisson and independent of what completes (open loop); each message's time is
 * compared with what its frames take when nobody else sends.
 *
 *   Arrivals (a host each) ─▶ carrier.begin ─▶ … ─▶ done: took ÷ best ─▶ Outcome
 *   engine: step until nothing moves ─▶ carriers: turn ─▶ time: to what is due next, a packet, a timer or an arrival
 */
import type { MessageCarrier } from '../../../host/apps/cp/carrier.js';
import { Arrivals } from '../../../host/apps/workloads/arrivals.js';
import type { Workload } from '../../../host/apps/workloads/workload.js';
import { Engine, type EngineOptions } from '../../../host/engine/engine.js';
import {
  Network,
  type NetworkHost,
  type NetworkOptions,
  type NetworkStats,
} from '../../../host/sim/index.js';
import { streamCounters } from '../../../host/streams/stream_apps.js';

/**
 * Of each line, ns: 500 for wire and switch, 1500 for what a host needs for a packet, which takes no time here. A short
 * message and its answer alone take 8.2 µs at 10 Gbit/s; eTran's take 11.8, HomaModule's some 15.
 */
export const DELAY_NS = 2000;

/** One host's carrier, made before the engine starts. */
export interface Transport {
  /** `homa`, `tcp (dctcp)` … */
  readonly name: string;
  /** What the network and the engine must be like for it. */
  network(rate: number): NetworkOptions;
  engine(crowd: { hosts: number; pairs: number }): Partial<EngineOptions>;
  /** Ethernet frames of a message, bytes. */
  frames(bytes: number): number[];
  /** A carrier with these peers, in their order. */
  host(engine: Engine, self: NetworkHost, peers: readonly NetworkHost[]): Promise<SimulatedHost>;
}

export interface SimulatedHost {
  /** After the engine's start: listens, or connects. */
  open(): MessageCarrier;
  /** Publishes what was begun. */
  flush(): void;
  /** Makes of the traffic so far what it makes of traffic: called in the warm-up, at its half and its end. */
  adapt?(): void;
  counters(): Record<string, number>;
  close(): Promise<void>;
}

export interface LoadOptions {
  transport: Transport;
  /** Of each host's line, bits per second. Default 10 Gbit/s. */
  rate?: number;
  /** Hosts. Lines and marks are the transport's to say. */
  shape: Pick<NetworkOptions, 'racks' | 'hostsPerRack'>;
  workload: Workload;
  /** Share of each host's line that frames of messages are to take, requests and answers together. */
  load: number;
  /** Messages to begin, all hosts together. */
  messages: number;
  /** Those first ones are not counted. Default a twentieth. */
  warmup?: number;
  seed: number;
  /** Virtual time after the last arrival in which all must be done, ms. Default 1000. */
  drainMs?: number;
  /** Each host sends one request at a time, none before the last is answered: unloaded. */
  alone?: boolean;
  /** The one that is called by all. Default: everybody calls everybody else, evenly. */
  callee?: number;
  /** Hosts that make requests, from the first on. Default all. */
  callers?: number;
  /** When a host's messages come, and how long they are. Default: Arrivals of the workload at the load. */
  schedule?: (self: number) => Schedule;
  /** Called before each look at time, ns: for faults. */
  at?: (nowNs: number, sim: { network: Network; begun: number }) => void;
}

export type Schedule = Pick<Arrivals, 'next' | 'peer'>;

export interface Outcome {
  transport: string;
  workload: string;
  begun: number;
  completed: number;
  failed: number;
  errors: Record<string, number>;
  /** Of counted messages that completed: length, time and the best one, ns. */
  bytes: Float64Array;
  /** When it was begun, ns after the start. */
  at: Float64Array;
  from: Uint8Array;
  to: Uint8Array;
  took: Float64Array;
  best: Float64Array;
  /** Bytes per second of messages, requests and answers, all hosts: asked for while counted, and done. */
  offered: number;
  goodput: number;
  /** Virtual time of arrivals that were counted, ms; and until the last was done. */
  countedMs: number;
  drainedMs: number;
  stats: NetworkStats;
  counters: Record<string, number>;
  /** Times that a ring found less memory than it wanted: then hosts wait for memory, and not only for the network. */
  starved: number;
  /** CPU time, s, and steps. */
  cpuS: number;
  steps: number;
}

/** More than happen at one time: a round that finds nothing is the last. */
const ROUNDS = 64;
const NEVER = Number.MAX_SAFE_INTEGER;

export async function simulate(options: LoadOptions): Promise<Outcome> {
  const { transport, workload, load, messages, seed, rate = 10e9 } = options;
  const network = new Network({ ...transport.network(rate), ...options.shape, seed });
  const { hosts } = network;
  const callers = options.callers ?? hosts.length;
  const peersOf = ({ index }: NetworkHost): NetworkHost[] =>
    index < callers ? hosts.filter(h => h.index !== index && (options.callee ?? h.index) === h.index) : [];
  const pairs = hosts.reduce((n, h) => n + peersOf(h).length, 0);
  const engine = await Engine.create({
    nics: [...network.nics],
    ...{ inline: true, clock: 'virtual', warmMs: 0, seed, ringSlots: 1024 },
    ...transport.engine({ hosts: hosts.length, pairs }),
  });
  try {
    await network.install(engine);
    for (const [i, { address, address6, mac }] of neighbours(network, engine).entries())
      for (const host of hosts)
        if (host.index !== i) {
          const port = engine.port(host.name).ifindex;
          engine.routes.addNeighbour({ port, address, mac });
          engine.routes.addNeighbour({ port, address: address6, mac });
        }
    const made: SimulatedHost[] = [];
    for (const host of hosts) made.push(await transport.host(engine, host, peersOf(host)));
    await engine.start();
    const carriers = made.map(m => m.open());
    const run = new Run(engine, network, carriers, made, options, rate);
    run.settle();
    const outcome = run.go(load, workload, messages);
    outcome.stats = network.stats();
    const { noMemory, refused, small } = streamCounters(engine.arena, 0);
    outcome.starved = noMemory + refused + small;
    for (const m of made)
      for (const [name, n] of Object.entries(m.counters()))
        outcome.counters[name] = (outcome.counters[name] ?? 0) + n;
    for (const carrier of carriers) carrier.close();
    for (const m of made) await m.close();
    return outcome;
  } finally {
    await engine.stop();
  }
}

function neighbours(network: Network, engine: Engine): { address: string; address6: string; mac: string }[] {
  const of = network.neighbours(engine);
  return network.hosts.map(({ address, address6 }, i) => ({ address, address6, mac: of[2 * i].mac }));
}

class Run {
  #now: number;
  #steps = 0;

  constructor(
    readonly engine: Engine,
    readonly network: Network,
    readonly carriers: readonly MessageCarrier[],
    readonly made: readonly SimulatedHost[],
    readonly options: LoadOptions,
    readonly rate: number,
  ) {
    this.#now = Number(engine.now());
  }

  /** Everything that happens at the present time: rounds until one finds nothing, until no host has news of that. */
  #work(): void {
    for (;;) {
      this.#steps++;
      this.engine.step(ROUNDS);
      let news = 0;
      for (const carrier of this.carriers) news += carrier.turn();
      if (news === 0) return;
    }
  }

  #advance(limit: number): void {
    const due = this.engine.nextDueNs();
    const next = Math.min(due === undefined ? NEVER : Number(due), limit);
    if (next === NEVER) throw new Error('nothing is to come');
    if (next <= this.#now) return;
    this.engine.advance(next - this.#now);
    this.#now = next;
  }

  /** Until all hosts can call all others. */
  settle(): void {
    const end = this.#now + 10e9;
    while (!this.carriers.every(c => c.ready)) {
      if (this.#now > end) throw new Error('hosts have not met within 10 s');
      this.#work();
      this.#advance(end + 1);
    }
  }

  go(load: number, workload: Workload, messages: number): Outcome {
    const { options, network, carriers, made } = this;
    const { hosts } = network;
    const warmup = options.warmup ?? Math.floor(messages / 20);
    const callers = options.callers ?? hosts.length;
    const began = this.#now;
    const cpu = process.cpuUsage();
    const { transport } = options;
    const framesOf = new Map<number, number[]>();
    const frames = (bytes: number): number[] => {
      let list = framesOf.get(bytes);
      if (list === undefined) framesOf.set(bytes, (list = transport.frames(bytes)));
      return list;
    };
    const bestOf = new Map<number, number>();
    const best = (from: NetworkHost, to: NetworkHost, bytes: number): number => {
      const key = bytes * 2 + (from.rack === to.rack ? 0 : 1);
      let ns = bestOf.get(key);
      if (ns === undefined) {
        ns =
          network.unloadedNs(from, to, frames(bytes)) +
          network.unloadedNs(to, from, frames(carriers[0].answerBytes(bytes)));
        bestOf.set(key, ns);
      }
      return ns;
    };
    // A host's line carries its requests and its answers: half of the load is asked for.
    const wireBytes = (bytes: number): number =>
      frames(bytes).reduce((a, b) => a + b, 0) +
      frames(carriers[0].answerBytes(bytes)).reduce((a, b) => a + b, 0);
    const sources = hosts.slice(0, callers).map(({ index }) => {
      const arrivals: Schedule =
        options.schedule?.(index) ??
        new Arrivals({
          ...{ workload, rate: this.rate, load, wireBytes },
          seed: options.seed * 7919 + index,
        });
      return { arrivals, next: arrivals.next() };
    });
    const out: Outcome = {
      ...{
        transport: transport.name,
        workload: workload.name,
        begun: 0,
        completed: 0,
        failed: 0,
        errors: {},
      },
      bytes: new Float64Array(messages),
      at: new Float64Array(messages),
      from: new Uint8Array(messages),
      to: new Uint8Array(messages),
      took: new Float64Array(messages),
      best: new Float64Array(messages),
      ...{ offered: 0, goodput: 0, countedMs: 0, drainedMs: 0, counters: {}, starved: 0, cpuS: 0, steps: 0 },
      stats: { down: [], up: [], core: [] },
    };
    let counted = 0;
    let offeredBytes = 0;
    let doneBytes = 0;
    let from = 0;
    let to = NEVER;
    let open = 0;
    const busy = new Uint8Array(hosts.length);
    const begin = (self: number, bytes: number): void => {
      const n = ++out.begun;
      const counts = n > warmup;
      if (n === warmup >> 1 || n === warmup) for (const m of made) m.adapt?.();
      if (n === warmup + 1) from = this.#now;
      if (n === messages) to = this.#now;
      const { arrivals } = sources[self];
      const peer = options.callee ?? arrivals.peer(hosts.length, self);
      const number = options.callee !== undefined ? 0 : peer > self ? peer - 1 : peer;
      const both = bytes + carriers[self].answerBytes(bytes);
      if (counts) offeredBytes += both;
      const at = this.#now;
      open++;
      busy[self] = 1;
      carriers[self].begin(number, bytes, error => {
        open--;
        busy[self] = 0;
        if (error !== undefined) {
          out.failed++;
          out.errors[error] = (out.errors[error] ?? 0) + 1;
          return;
        }
        out.completed++;
        if (from > 0 && this.#now <= to) doneBytes += both;
        if (!counts) return;
        out.bytes[counted] = bytes;
        out.at[counted] = at - began;
        out.from[counted] = self;
        out.to[counted] = peer;
        out.took[counted] = this.#now - at;
        out.best[counted] = best(hosts[self], hosts[peer], bytes);
        counted++;
      });
    };
    const drain = (options.drainMs ?? 1000) * 1e6;
    for (;;) {
      let soonest = to === NEVER ? NEVER : to + drain + 1;
      for (let i = 0; i < sources.length && out.begun < messages; i++) {
        const source = sources[i];
        const before = out.begun;
        for (;;) {
          const at = options.alone ? (busy[i] ? NEVER : this.#now) : began + source.next.atNs;
          if (at > this.#now || out.begun === messages) {
            if (at < soonest) soonest = at;
            break;
          }
          begin(i, source.next.bytes);
          source.next = source.arrivals.next();
        }
        if (out.begun !== before) made[i].flush();
      }
      options.at?.(this.#now, { network, begun: out.begun });
      if (out.begun === messages && (open === 0 || this.#now > to + drain)) break;
      this.#work();
      // Who calls one at a time may do so at once when the last is answered.
      const calls = options.alone && out.begun < messages && sources.some((_, i) => !busy[i]);
      if (!calls) this.#advance(Math.ceil(soonest));
    }
    const spent = process.cpuUsage(cpu);
    out.cpuS = (spent.user + spent.system) / 1e6;
    out.steps = this.#steps;
    out.countedMs = (to - from) / 1e6;
    out.drainedMs = (this.#now - to) / 1e6;
    out.offered = offeredBytes / ((to - from) / 1e9);
    out.goodput = doneBytes / ((to - from) / 1e9);
    for (const key of ['bytes', 'at', 'took', 'best'] as const) out[key] = out[key].subarray(0, counted);
    for (const key of ['from', 'to'] as const) out[key] = out[key].subarray(0, counted);
    return out;
  }
}
