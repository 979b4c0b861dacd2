/**
 * Incast in virtual time: eight senders behind links of their own, a switch, one link to the receiver. The switch is an
 * XDP program, the buffer and its marks are the model NIC's; sender and receiver are our TCP.
 *
 *   s1 ══ 10 Gbit/s, 25 µs ══▶ ┐                  buffer, marks at K
 *    …                         ├─ switch (XDP) ─── 10 Gbit/s, 25 µs ──▶ receiver        round trip 100 µs without queue
 *   s8 ══════════════════════▶ ┘
 */
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { Engine } from '../../host/engine/engine.js';
import { type ModelEnd, modelLink } from '../../host/nic/index.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';
import { drain, feed } from './bulk.js';
import { engineOptions, TcpEngine } from './engine.js';
import { OptionFlag, type TcpOptions } from './options.js';

export const SENDERS = 8;
export const RATE = 10_000_000_000;
/** A full frame. */
export const FRAME = 1514;
const DELAY_NS = 25_000;
/** What one port of a shallow-buffered switch takes of its memory (Alizadeh et al., SIGCOMM 2010, §2.3.4: some 700 KB). */
const BUFFER = 700_000;
const RING = 1 << 19;
const PORT = 5001;
const MS = 1_000_000n;

export interface Incast {
  /** Of the application's bytes, as a share of the link. */
  goodput: number;
  /** Jain's index of the senders' goodput. */
  jain: number;
  /** Bytes that wait at the bottleneck, by time. */
  p50: number;
  p99: number;
  dropped: number;
  marked: number;
  packets: number;
}

const program = (name: string, text: string) =>
  compileProgram(verify(assembleSpec(text, { type: 'xdp', name })), {});

/** Everything to one port. */
const towards = (ifindex: number) => program('towards', `r1 = ${ifindex}\nr2 = 0\ncall 23\nexit`);

/** By the third byte of the IPv4 destination: port `first` + 2 × (byte - 1). */
const spread = (first: number) =>
  program(
    'spread',
    `r6 = *(u32 *)(r1 + 0)
     r2 = *(u32 *)(r1 + 4)
     r3 = r6
     r3 += 34
     if r3 > r2 goto drop
     r1 = *(u8 *)(r6 + 32)
     r1 += -1
     r1 *= 2
     r1 += ${first}
     r2 = 0
     call 23
     exit
    drop:
     r0 = 1
     exit`,
  );

/** Ends of the links: senders, and the switch's ends of them, then the bottleneck's. */
function links(ecnBytes: number): { nics: ModelEnd[]; bottleneck: ModelEnd } {
  const plain = { rate: RATE, delayNs: DELAY_NS, packets: 8192 };
  const nics: ModelEnd[] = [];
  for (let i = 1; i <= SENDERS; i++) {
    const { a, b } = modelLink({ name: `s${i}`, ...plain });
    nics.push(a, b);
  }
  const last = modelLink({ name: 'r', ...plain, aToB: { ...plain, queueBytes: BUFFER, ecnBytes } });
  nics.push(last.a, last.b);
  return { nics, bottleneck: last.b };
}

/** Time by bytes that waited. */
class Occupancy {
  readonly #ns = new Float64Array(BUFFER / 100 + 2);
  #total = 0;

  add(bytes: number, ns: number): void {
    this.#ns[Math.floor(bytes / 100)] += ns;
    this.#total += ns;
  }

  /** Bytes that no more than `share` of the time were exceeded. */
  quantile(share: number): number {
    let left = this.#total * share;
    const at = this.#ns.findIndex(ns => (left -= ns) <= 0);
    return at * 100;
  }
}

/** Runs it: `warmMs` to settle, then `ms` that count. `marks`: bytes from which packets are marked, 0 = never. */
export async function runIncast(o: {
  algorithm: number;
  marks: number;
  ms: number;
  warmMs: number;
}): Promise<Incast> {
  const { nics, bottleneck } = links(o.marks);
  const base = engineOptions(2 * SENDERS + 2);
  const engine = await Engine.create({
    nics,
    seed: 3,
    ...base,
    frames: 16384,
    ringSlots: 4096,
    mapBytes: 32 << 20,
    streams: { count: 2 * SENDERS + 2, bytes: 32 << 20 },
  });
  const port = (name: string): number => engine.port(name).ifindex;
  const senders: string[] = [];
  for (let i = 1; i <= SENDERS; i++) {
    const [at, near, far] = [port(`s${i}.a`), `10.0.${i}.1`, `10.9.${i}.1`];
    engine.routes.add({ prefix: far, port: at });
    engine.routes.addNeighbour({ port: at, address: far, mac: '02:00:00:00:00:09' });
    engine.routes.add({ prefix: near, port: port('r.b') });
    engine.routes.addNeighbour({ port: port('r.b'), address: near, mac: `02:00:00:00:00:0${i}` });
    senders.push(near);
  }
  const own = (prefix: string): string[] => senders.map((_, i) => `${prefix}${i + 1}.1`);
  const client = await TcpEngine.on(
    engine,
    Object.fromEntries(senders.map((a, i) => [`s${i + 1}.a`, [a]])),
    2 * SENDERS + 2,
  );
  const server = await TcpEngine.on(engine, { 'r.b': own('10.9.') }, 2 * SENDERS + 2);
  const up = await engine.load(towards(port('r.a')));
  const down = await engine.load(spread(port('s1.b')));
  for (let i = 1; i <= SENDERS; i++) engine.attach(up, `s${i}.b`);
  engine.attach(down, 'r.a');
  await engine.start();

  const options: Partial<TcpOptions> = {
    algorithm: o.algorithm,
    flags: (o.marks ? OptionFlag.ECN : 0) | OptionFlag.NO_TIMESTAMPS,
    sndBytes: RING,
    rcvBytes: RING,
  };
  server.listen(4, PORT, SENDERS, options);
  const from = senders.map((a, i) =>
    client.connect(a, 10_000 + i, `10.9.${i + 1}.1`, PORT, options, port(`s${i + 1}.a`)),
  );
  const to: StreamEnd[] = [];
  const got = new Map<StreamEnd, number>();
  const link = bottleneck.links[0];
  const queue = new Occupancy();
  const begun = engine.now();
  const counted = begun + BigInt(o.warmMs) * MS;
  const end = counted + BigInt(o.ms) * MS;
  let before = bottleneck.stats;
  let counting = false;
  for (let now = begun; now < end; ) {
    client.settle();
    server.settle();
    for (const id of server.accepted.splice(0)) to.push(server.ends.get(id)!);
    for (const e of from) feed(e);
    for (const e of to) got.set(e, (got.get(e) ?? 0) + drain(e));
    client.app.flush();
    server.app.flush();
    engine.step();
    if (!counting && now >= counted) {
      counting = true;
      got.clear();
      before = bottleneck.stats;
    }
    const next = engine.nextDueNs();
    if (next === undefined) throw new Error('nothing is to come');
    const step = next > now ? next - now : 0n;
    if (counting) {
      const waitPs = link.busyUntil - now * 1000n;
      queue.add(waitPs > 0n ? (Number(waitPs) * RATE) / 8e12 : 0, Number(step));
    }
    if (step) engine.advance(step);
    now += step;
  }
  const after = bottleneck.stats;
  const each = to.map(e => got.get(e) ?? 0);
  const sum = each.reduce((a, b) => a + b, 0);
  await engine.stop();
  return {
    goodput: (sum * 8) / (o.ms / 1000) / RATE,
    jain: (sum * sum) / (SENDERS * each.reduce((a, b) => a + b * b, 0)),
    p50: queue.quantile(0.5),
    p99: queue.quantile(0.99),
    dropped: after.overflowed - before.overflowed,
    marked: after.marked - before.marked,
    packets: after.delivered - before.delivered,
  };
}
