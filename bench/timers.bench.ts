/**
 * Timers of programs: what bpf_timer_start and _cancel cost among 100,000 timers, what a firing costs, and how late
 * timers fire on a lane that spins. The same programs run in the kernel beside ours; Node's own timers beside both.
 */
import { assembleSpec } from '../host/bpf/asm/spec.js';
import { Collection, HostPrograms } from '../host/bpf/collection.js';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { KernelMap } from '../host/bpf/kernel/map.js';
import { KernelProgram } from '../host/bpf/kernel/program.js';
import { type BpfMap, createMap, type KeyedMap } from '../host/bpf/maps/index.js';
import { collectionOf } from '../host/bpf/open.js';
import type { MapSpec, ProgramSpec } from '../host/bpf/spec.js';
import { Engine } from '../host/engine/engine.js';
import { testPacket } from '../host/engine/test_run.js';
import { TimerNodeLayout } from '../host/layout/layout.gen.js';
import { HostNic, ReplayNic } from '../host/nic/index.js';
import { mapsOf } from '../tests/bpf/corpus/maps.js';
import { udpFrame, verdict } from '../tests/support/programs.js';
import type { Bench } from './harness/bench.js';

const TIMERS = 100_000;
const RUNS = 200_000;
const PACKET = new Uint8Array(64);
const CONDITIONS = `${TIMERS.toLocaleString('en')} timers in an array of 32-byte values, in random order`;

/** By the kernel's rules for both; each on the timer in r6, with r7 the number of the run. */
const OPERATIONS = {
  none: '',
  'set a callback': `
    r1 = r6
    r2 = subprog[callback]
    call timer_set_callback`,
  'start again, later': `
    r1 = r6
    r2 = r7
    r2 <<= 10
    r2 += r8
    r3 = 0
    call timer_start`,
  'start again, at random': `
    r2 = r7
    r2 *= 48271
    r2 &= 0x3fffffff
    r2 += r8
    r1 = r6
    r3 = 0
    call timer_start`,
  'set a callback, start, cancel': `
    r1 = r6
    r2 = subprog[callback]
    call timer_set_callback
    r1 = r6
    r2 = r7
    r2 <<= 10
    r2 += r8
    r3 = 0
    call timer_start
    r1 = r6
    call timer_cancel`,
} as const;
type Operation = keyof typeof OPERATIONS;

/** Ten seconds: nothing fires while it is measured. */
const FAR_NS = 10_000_000_000n;

function program(operation: Operation, maps: Record<string, MapSpec>): ProgramSpec {
  const text = OPERATIONS[operation];
  const spec = assembleSpec(
    `
    r9 = map[state][0]+0
    r7 = *(u64 *)(r9 + 0)
    r7 += 1
    *(u64 *)(r9 + 0) = r7
    r8 = ${FAR_NS} ll
    r1 = r7
    r1 *= 7919
    r1 %= ${TIMERS}
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = map[m]
    call map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    r1 = *(u64 *)(r6 + 16)
    r1 += 1
    *(u64 *)(r6 + 16) = r1
    ${text}
out:
    r0 = 1
    exit
${text.includes('callback') ? 'callback:\n    r0 = 0\n    exit' : ''}`,
    { name: 'timers', mapSpecs: maps },
  );
  for (const [k, m] of Object.entries(spec.maps)) spec.maps[Number(k)] = maps[m.name];
  return spec;
}

/** Initialises every timer and sets its callback. */
function setUp(maps: Record<string, MapSpec>): ProgramSpec {
  const spec = assembleSpec(
    `
    r1 = map[m]
    r2 = subprog[each]
    r3 = 0
    r4 = 0
    call for_each_map_elem
    r0 = 1
    exit
each:
    r6 = r3
    r2 = r1
    r1 = r3
    r3 = 1
    call timer_init
    r1 = r6
    r2 = subprog[callback]
    call timer_set_callback
    r0 = 0
    exit
callback:
    r0 = 0
    exit`,
    { name: 'set_up', mapSpecs: maps },
  );
  for (const [k, m] of Object.entries(spec.maps)) spec.maps[Number(k)] = maps[m.name];
  return spec;
}

const cpuNs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) * 1000;
};

class Ours {
  readonly host = HostPrograms.create({ mapBytes: 64 << 20 });
  readonly maps: Record<string, BpfMap>;
  readonly #packet = testPacket(this.host.arena, 'xdp', PACKET);

  constructor(readonly specs: Record<string, MapSpec>) {
    const { arena, core } = this.host;
    this.maps = Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [name, createMap(arena, core, spec)]),
    );
    this.#packet.reset();
    core.exports.clock_set(1_000_000_000n);
  }

  /** Table slot of the callback that the first timer has. */
  callback(): number {
    const { u32 } = this.host.arena;
    return u32[(u32[(this.maps.m as KeyedMap).dataAt! >> 2] + TimerNodeLayout.slot) >> 2];
  }

  /** A function that runs the program so many times. */
  async load(spec: ProgramSpec): Promise<(runs: number) => void> {
    const collection = await Collection.load(collectionOf(spec, 'bench'), this.host, { maps: this.maps });
    const { run } = collection.program().placed;
    return runs => {
      if (this.host.core.exports.test_run_xdp(run, this.#packet.ctx, runs) !== 1n)
        throw new Error(`${spec.name} did not run to its end`);
    };
  }

  /** Least CPU time of a run, ns. */
  async ns(spec: ProgramSpec, rounds: number): Promise<number> {
    const run = await this.load(spec);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= rounds; i++) {
      const from = cpuNs();
      run(RUNS);
      if (i > 0) best = Math.min(best, (cpuNs() - from) / RUNS);
    }
    return best;
  }
}

class InKernel {
  readonly maps: Map<MapSpec, KernelMap>;
  constructor(specs: Record<string, MapSpec>) {
    this.maps = new Map(Object.values(specs).map(spec => [spec, KernelMap.create(spec)]));
  }

  load(spec: ProgramSpec): KernelProgram {
    const load = KernelProgram.load(spec, { maps: this.maps, log: 'none' });
    if (!load.accepted) throw new Error(`the kernel refuses ${spec.name}: ${load.reason}`);
    return load.program;
  }

  ns(spec: ProgramSpec, rounds: number): number {
    const program = this.load(spec);
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i < rounds; i++)
      best = Math.min(best, program.testRun({ data: PACKET, repeat: RUNS }).durationNs);
    return best;
  }

  close(): void {
    for (const map of this.maps.values()) map.close();
  }
}

/** Start and cancel, beside the kernel's. */
async function costs(bench: Bench): Promise<void> {
  const [m, state] = Object.values(mapsOf([`m=array/4/timer+16/${TIMERS}`, 'state=array/4/8/1']));
  const specs = { m, state };
  const rounds = bench.quick ? 2 : 7;
  const ours = new Ours(specs);
  const kernel = kernelAvailable().ok ? new InKernel(specs) : undefined;
  (await ours.load(setUp(specs)))(1);
  const callback = ours.callback();
  kernel?.load(setUp(specs)).testRun({ data: PACKET });
  const base = await ours.ns(program('none', specs), rounds);
  const kernelBase = kernel?.ns(program('none', specs), rounds) ?? 0;
  for (const operation of Object.keys(OPERATIONS) as Operation[]) {
    if (operation === 'none') continue;
    const spec = program(operation, specs);
    const value = Math.max(0, (await ours.ns(spec, rounds)) - base);
    const beside = kernel && kernel.ns(spec, rounds) - kernelBase;
    bench.row({
      group: 'timers',
      name: operation,
      conditions: `${CONDITIONS}, net`,
      unit: 'ns',
      value,
      ...(beside !== undefined && { peer: { name: 'Linux bpf_timer', value: beside } }),
      ...(operation === 'start again, later' && { target: 'at most 25 ns', met: value <= 25 }),
    });
  }
  kernel?.close();
  firing(bench, ours, callback);
}

/** Every timer fires once, spread over a tenth of a second, the clock going on by 10 µs. */
function firing(bench: Bench, ours: Ours, callback: number): void {
  const x = ours.host.core.exports;
  const map = ours.maps.m as KeyedMap;
  const value = (key: number): number => map.dataAt! + key * map.stride!;
  let now = 100_000_000_000n;
  let best = Number.POSITIVE_INFINITY;
  const peers: number[] = [];
  for (let round = 0; round < (bench.quick ? 2 : 5); round++) {
    x.clock_set(now);
    for (let i = 0; i < TIMERS; i++) {
      const key = (i * 7919) % TIMERS;
      x.timer_set_callback(value(key), callback);
      x.timer_start(value(key), BigInt(i) * 1000n + 1000n, 0n);
    }
    let fired = 0;
    const from = cpuNs();
    while (fired < TIMERS) {
      now += 10_000n;
      x.clock_set(now);
      fired += x.timers_run();
    }
    best = Math.min(best, (cpuNs() - from) / TIMERS);
    now += 1_000_000_000n;
    peers.push(nodeCost());
  }
  bench.row({
    group: 'timers',
    name: 'fire',
    conditions: `${TIMERS.toLocaleString('en')} timers over 0.1 s, 10 a turn of the wheel, an empty callback`,
    unit: 'ns',
    value: best,
    peer: { name: 'Node setTimeout + clearTimeout', value: Math.min(...peers) },
  });
}

/** What a timer of Node costs to make and to clear, ns. */
function nodeCost(): number {
  const timers: NodeJS.Timeout[] = [];
  const from = cpuNs();
  for (let i = 0; i < TIMERS; i++) timers.push(setTimeout(() => {}, 10_000 + (i % 1000)));
  for (const t of timers) clearTimeout(t);
  return (cpuNs() - from) / TIMERS;
}

/** Slots of 64 ns in which lateness is counted. */
const LATE_SHIFT = 6;
const LATE_SLOTS = 16_384;

/** Eight timers that start themselves again for 50 to 574 µs later, and count how late they were. */
function beat(flags: bigint, maps: Record<string, MapSpec>): ProgramSpec {
  const again = `
    call get_prandom_u32
    r0 &= 0x7ffff
    r0 += 50000
    r0 += r8
    *(u64 *)(r6 + 24) = r0
    r1 = r6
    r2 = r0
    r3 = ${flags | 1n} ll
    call timer_start`;
  const spec = assembleSpec(
    `
    r1 = map[m]
    r2 = subprog[each]
    r3 = 0
    r4 = 0
    call for_each_map_elem
    r0 = 1
    exit
each:
    r6 = r3
    r2 = r1
    r1 = r3
    r3 = 1
    call timer_init
    r1 = r6
    r2 = subprog[late]
    call timer_set_callback
    call ktime_get_ns
    r8 = r0
    ${again}
    r0 = 0
    exit
late:
    r6 = r3
    call ktime_get_ns
    r8 = r0
    r1 = *(u64 *)(r6 + 24)
    r0 -= r1
    r0 >>= ${LATE_SHIFT}
    if r0 < ${LATE_SLOTS} goto inside
    r0 = ${LATE_SLOTS - 1}
inside:
    *(u32 *)(r10 - 4) = r0
    r2 = r10
    r2 += -4
    r1 = map[h]
    call map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
out:
    ${again}
    r0 = 0
    exit`,
    { name: 'beat', mapSpecs: maps },
  );
  for (const [k, m] of Object.entries(spec.maps)) spec.maps[Number(k)] = maps[m.name];
  return spec;
}

/** Percentiles of the histogram, µs, and how many there are. */
function percentiles(counts: readonly bigint[]): { p50: number; p99: number; n: number } {
  const n = Number(counts.reduce((a, b) => a + b, 0n));
  const at = (share: number): number => {
    let left = n * share;
    for (const [i, c] of counts.entries()) {
      left -= Number(c);
      if (left <= 0) return ((i + 0.5) * 2 ** LATE_SHIFT) / 1000;
    }
    return Number.NaN;
  };
  return { p50: at(0.5), p99: at(0.99), n };
}

const u64 = (bytes: Uint8Array): bigint => new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
const key4 = (key: number): Uint8Array => new Uint8Array(Uint32Array.of(key).buffer);
const beatMaps = (): Record<string, MapSpec> => {
  const [m, h] = Object.values(mapsOf(['m=array/4/timer+16/8', `h=array/4/8/${LATE_SLOTS}`]));
  return { m, h };
};

async function onLane(ms: number, flags: bigint, busy: boolean) {
  const orders = new HostNic({ name: 'orders' });
  const load = new ReplayNic({
    name: 'load',
    packets: Array.from({ length: 64 }, (_, i) => udpFrame(i, 64, i)),
    count: busy ? 1e12 : 1,
  });
  const engine = await Engine.create({ nics: [orders, load], lanes: 1, mapBytes: 1 << 20, spinUs: 1e9 });
  try {
    const collection = await Collection.load(collectionOf(beat(flags, beatMaps()), 'beat'), engine);
    engine.attach(collection.program(), 1);
    engine.attach(await engine.load(verdict(1)), 2);
    await engine.start();
    await new Promise(done => setTimeout(done, 200));
    orders.send(udpFrame(0, 64, 0));
    await new Promise(done => setTimeout(done, ms));
    const map = collection.map<KeyedMap>('h');
    return percentiles(Array.from({ length: LATE_SLOTS }, (_, i) => u64(map.getBytes(key4(i))!)));
  } finally {
    await engine.stop();
  }
}

async function inKernel(ms: number) {
  const specs = beatMaps();
  const kernel = new InKernel(specs);
  const program = kernel.load(beat(0n, specs));
  program.testRun({ data: PACKET });
  await new Promise(done => setTimeout(done, ms));
  const map = kernel.maps.get(specs.h)!;
  const found = percentiles(Array.from({ length: LATE_SLOTS }, (_, i) => u64(map.lookup(key4(i))!)));
  program.close();
  kernel.close();
  return found;
}

/** Node's timers on a thread that has nothing else to do, µs late of what was asked for. */
async function inNode(ms: number) {
  const late: number[] = [];
  const until = performance.now() + ms;
  const one = async (): Promise<void> => {
    while (performance.now() < until) {
      const wait = 1 + Math.floor(Math.random() * 5);
      const from = performance.now();
      await new Promise(done => setTimeout(done, wait));
      late.push((performance.now() - from - wait) * 1000);
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  late.sort((a, b) => a - b);
  return { p50: late[late.length >> 1], p99: late[Math.floor(late.length * 0.99)], n: late.length };
}

const PACER = 1n << 34n;

async function lateness(bench: Bench): Promise<void> {
  const ms = bench.quick ? 300 : 2000;
  const node = await inNode(ms);
  const kernel = kernelAvailable().ok ? await inKernel(ms) : undefined;
  const rows = [
    ['an idle lane that spins', await onLane(ms, 0n, false)],
    ['a lane that drops 64 B packets', await onLane(ms, 0n, true)],
    ['the same, pacers', await onLane(ms, PACER, true)],
  ] as const;
  for (const share of ['p50', 'p99'] as const) {
    for (const [where, found] of rows)
      bench.row({
        group: 'timers',
        name: `lateness ${share}, ${where}`,
        conditions: `8 timers of 50–574 µs, ${found.n.toLocaleString('en')} firings`,
        unit: 'µs',
        value: found[share],
        peer: kernel
          ? { name: 'Linux bpf_timer', value: kernel[share] }
          : { name: 'Node setTimeout', value: node[share] },
      });
    bench.row({
      group: 'timers',
      name: `lateness ${share}, an idle lane beside Node`,
      conditions: `8 timers each; Node’s of 1–5 ms, ${node.n.toLocaleString('en')} firings`,
      unit: 'µs',
      value: rows[0][1][share],
      peer: { name: 'Node setTimeout', value: node[share] },
    });
  }
}

export default async function timers(bench: Bench): Promise<void> {
  await costs(bench);
  await lateness(bench);
}
