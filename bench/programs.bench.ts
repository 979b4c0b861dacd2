/**
 * The programs of bpf-progs/: net time beside the kernel's JIT in the same run, and the whole path on one lane and two.
 *
 * The packet is the one of the committed capture that makes the program execute most instructions. Programs that rewrite
 * it would leave their own fast path after one run, in the kernel's repeat loop as in ours: a prefix of a few
 * instructions puts its first bytes back before every run, on both sides; the same prefix with nothing behind it is
 * what "net" subtracts.
 */
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Collection, HostPrograms } from '../host/bpf/collection.js';
import {
  configureGlobals,
  configureKernelMaps,
  configureMaps,
  type MapConfig,
  readMapConfig,
} from '../host/bpf/config.js';
import { Class, type Insn, Mode, OP_EXIT, OP_LDDW, Size } from '../host/bpf/insn.js';
import { interpret } from '../host/bpf/interp/interpret.js';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { KernelCollection } from '../host/bpf/kernel/collection.js';
import { mapBinding } from '../host/bpf/maps/index.js';
import { openObject } from '../host/bpf/open.js';
import { programTypes } from '../host/bpf/program_types.js';
import type { CollectionSpec, ProgramSpec } from '../host/bpf/spec.js';
import { dropped } from '../host/engine/counters.js';
import { Engine } from '../host/engine/engine.js';
import { testPacket } from '../host/engine/test_run.js';
import { Arena } from '../host/mem/arena.js';
import { instantiateCore } from '../host/mem/core.js';
import { HostNic, ReplayNic } from '../host/nic/index.js';
import { readCapture } from '../host/nic/pcap/index.js';
import type { Bench } from './harness/bench.js';

const ROOT = new URL('../', import.meta.url);
const CAPTURE = fileURLToPath(new URL('tests/fixtures/capture/real-traffic.pcapng', ROOT));
/** Short, so that some batches run undisturbed on a shared machine; the least counts, there as here. */
const BATCH = 2000;
const FLOWS = 64;
/** Flows for the program whose target is about a connection table: one that fits the caches, and one that does not. */
const MANY_FLOWS: Record<string, readonly number[]> = { l4lb: [4096, 65_536] };
const FRAME = 64;
/** Rounds of the kernel's loop, and runs in each: it reports the mean of a round in whole ns. */
const KERNEL_ROUNDS = 60;
const KERNEL_RUNS = 50_000;
/** Bytes that the prefix puts back at most. */
const RESTORED = 64;
/** Programs whose time is in map operations: they must not be slower than in the kernel. */
const MAP_HEAVY: ReadonlySet<string> = new Set([
  'firewall',
  'flow_stats',
  'l4lb',
  'nat',
  'port_knock',
  'router',
]);

const insn = (op: number, dst: number, src: number, off: number, imm: number): Insn => ({
  op,
  dst,
  src,
  off,
  imm,
});
const ldx = (size: number, dst: number, src: number, off: number) =>
  insn(Class.LDX | Mode.MEM | size, dst, src, off, 0);

/** `r6 = ctx; if (data + n <= data_end) memcpy(data, packet, n); r1 = ctx`. */
function restorer(type: ProgramSpec['type'], packet: Uint8Array): Insn[] {
  // Socket filters can write no packet, so theirs is as it was.
  if (type === 'socket_filter') return [];
  const bytes = Math.min(RESTORED, packet.length) & ~7;
  const words = new DataView(packet.buffer, packet.byteOffset);
  const [data, end] = type === 'xdp' ? [0, 4] : [76, 80];
  const stores: Insn[] = [];
  for (let at = 0; at < bytes; at += 8)
    stores.push(
      insn(OP_LDDW, 5, 0, 0, words.getInt32(at, true)),
      insn(0, 0, 0, 0, words.getInt32(at + 4, true)),
      insn(Class.STX | Mode.MEM | Size.DW, 2, 5, at, 0),
    );
  return [
    insn(0xbf, 6, 1, 0, 0),
    ldx(Size.W, 2, 6, data),
    ldx(Size.W, 3, 6, end),
    insn(0xbf, 4, 2, 0, 0),
    insn(0x07, 4, 0, 0, bytes),
    insn(0x2d, 4, 3, stores.length, 0),
    ...stores,
    insn(0xbf, 1, 6, 0, 0),
  ];
}

function withPrefix(object: CollectionSpec, name: string, prefix: Insn[]): CollectionSpec {
  const spec = object.programs[name];
  const move = <T extends { insn: number }>(items: T[] | undefined): T[] | undefined =>
    items?.map(i => ({ ...i, insn: i.insn === 0 ? 0 : i.insn + prefix.length }));
  const next: ProgramSpec = {
    ...spec,
    insns: [...prefix, ...spec.insns],
    funcs: move(spec.funcs),
    lines: move(spec.lines),
  };
  return { ...object, programs: { [name]: next } };
}

const alone = (type: ProgramSpec['type'], prefix: Insn[]): CollectionSpec => ({
  file: 'base',
  license: 'GPL',
  maps: {},
  programs: {
    base: {
      name: 'base',
      type,
      license: 'GPL',
      maps: {},
      insns: [...prefix, insn(0xb7, 0, 0, 0, type === 'xdp' ? 2 : 0), insn(OP_EXIT, 0, 0, 0, 0)],
    },
  },
});

interface Ours {
  arena: Arena;
  run: (packet: Uint8Array) => { once(n: number): bigint; free(): void };
  executed: (packet: Uint8Array) => number;
}

async function ours(object: CollectionSpec, name: string, config: MapConfig): Promise<Ours> {
  const arena = Arena.create({ frames: 1, mapBytes: 256 << 20 });
  const core = instantiateCore(arena, 1);
  const collection = await Collection.load(object, new HostPrograms(arena, core), { programs: [name] });
  if (name !== 'base') configureMaps(collection.maps, config, collection.spec);
  const { spec, placed } = collection.program(name);
  const maps = mapBinding(
    Object.fromEntries(Object.entries(spec.maps).map(([k, m]) => [k, collection.maps[m.name]])),
  );
  const loop =
    programTypes[spec.type].context === 'xdp_md' ? core.exports.test_run_xdp : core.exports.test_run_skb;
  core.exports.clock_set(process.hrtime.bigint());
  return {
    arena,
    run(data) {
      const p = testPacket(arena, spec.type, data);
      p.reset();
      return { once: n => loop(placed.run, p.ctx, n), free: p.free };
    },
    executed(data) {
      const p = testPacket(arena, spec.type, data);
      p.reset();
      try {
        return interpret(spec, { arena, core, ctx: p.ctx, maps }).insns;
      } finally {
        p.free();
      }
    },
  };
}

/** ns of one run in the kernel, its own loop included. */
function kernelNs(
  object: CollectionSpec,
  name: string,
  packet: Uint8Array,
  config: MapConfig,
  quick: boolean,
): number | undefined {
  const kernel = KernelCollection.load(object, { log: 'statistics', programs: [name] });
  try {
    if (name !== 'base') configureKernelMaps(kernel, config);
    const program = kernel.program(name);
    const repeat = quick ? 20_000 : KERNEL_RUNS;
    let least = Number.POSITIVE_INFINITY;
    for (let i = 0; i < (quick ? 5 : KERNEL_ROUNDS); i++)
      least = Math.min(least, program.testRun({ data: packet, repeat }).durationNs);
    return least;
  } finally {
    kernel.close();
  }
}

/** A valid 64-byte frame with the addresses and ports of an IPv4 TCP or UDP packet; undefined for anything else. */
function shortFrame(packet: Uint8Array): Uint8Array | undefined {
  const ip = 14;
  const l4 = ip + 20;
  const isIp4 = packet.length >= l4 + 8 && packet[12] === 0x08 && packet[13] === 0 && packet[ip] === 0x45;
  const protocol = packet[ip + 9];
  if (!isIp4 || (protocol !== 6 && protocol !== 17)) return undefined;
  const frame = new Uint8Array(FRAME);
  frame.set(packet.subarray(0, FRAME));
  const v = new DataView(frame.buffer);
  v.setUint16(ip + 2, FRAME - ip);
  v.setUint16(ip + 6, 0);
  v.setUint16(ip + 10, 0);
  let sum = 0;
  for (let at = ip; at < l4; at += 2) sum += v.getUint16(at);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  v.setUint16(ip + 10, ~sum & 0xffff);
  if (protocol === 17) v.setUint16(l4 + 4, FRAME - l4);
  else {
    v.setUint8(l4 + 12, 5 << 4);
    // ACK: what most packets of a connection are. A SYN in each would measure connection set-up.
    v.setUint8(l4 + 13, 0x10);
  }
  return frame;
}

/** The same frame from many source ports, 32,768 of them to an address. */
function flowsOf(frame: Uint8Array, flows: number): Uint8Array[] {
  const ports = 1 << 15;
  return Array.from({ length: flows }, (_, i) => {
    const one = frame.slice();
    const v = new DataView(one.buffer);
    v.setUint16(34, 20_000 + (i % ports));
    const hosts = Math.floor(i / ports);
    v.setUint16(28, v.getUint16(28) + hosts);
    // RFC 1624, for a word that grows without wrapping: the checksum is the complement of the sum.
    const check = v.getUint16(24) - hosts;
    v.setUint16(24, check < 0 ? check + 0xffff : check);
    return one;
  });
}

function busiest(
  candidates: Uint8Array[],
  executed: (packet: Uint8Array) => number,
): { packet: Uint8Array; most: number } {
  let packet = candidates[0];
  let most = 0;
  for (const p of candidates) {
    const n = executed(p);
    if (n > most) [packet, most] = [p, n];
  }
  return { packet, most };
}

async function wholePath(
  object: CollectionSpec,
  name: string,
  config: MapConfig,
  frames: Uint8Array[],
  lanes: number,
  quick: boolean,
): Promise<{ mpps: number; said: string }> {
  const source = new ReplayNic({ packets: frames, count: 1 << 20, sink: true });
  const others = [2, 3, 4].map(i => new HostNic({ name: `port${i}`, sink: true }));
  const engine = await Engine.create({
    lanes,
    nics: [source, ...others],
    pass: 'count',
    mapBytes: 256 << 20,
  });
  const collection = await Collection.load(object, engine, { programs: [name] });
  configureMaps(collection.maps, config, collection.spec);
  engine.attach(collection.program(name).placed, 1);
  await engine.start();
  let best = 0;
  try {
    await engine.idle();
    const count = 1 << 20;
    for (let i = 0; i < (quick ? 3 : 16); i++) {
      const from = performance.now();
      source.again({ count });
      await engine.idle();
      best = Math.max(best, count / (performance.now() - from) / 1000);
    }
  } finally {
    await engine.stop();
    for (const nic of engine.nics) await nic.close();
  }
  const c = engine.counters()[0];
  const { counted } = programTypes[object.programs[name].type];
  const verdicts = counted ? c[counted] : { pass: c.pass, drop: dropped(c), redirect: c.redirect };
  const said = Object.entries(verdicts)
    .filter(([, n]) => n > c.rxPackets / 100)
    .map(([v, n]) => `${v} ${Math.round((n / c.rxPackets) * 100)} %`);
  return { mpps: best, said: said.join(', ') };
}

/** What issue and design ask of the whole path, Mpps on one lane. */
const PATH_TARGETS: Record<string, number> = { drop: 40, parse_drop: 25, l4lb: 14.88 };

export default async function programs(bench: Bench): Promise<void> {
  const kernel = kernelAvailable();
  const packets = [...readCapture(CAPTURE)]
    .map(p => p.data.slice())
    .filter(d => d.length >= 14 && d.length <= 1514);
  const files = readdirSync(new URL('bpf-progs/obj/', ROOT))
    .filter(f => f.endsWith('.bpf.o'))
    // Programs of transports are parts of something, and the kernel cannot load them.
    .filter(f => !existsSync(new URL(`bpf-progs/transports/${f.slice(0, -'.bpf.o'.length)}`, ROOT)))
    .sort();
  for (const file of files) {
    const stem = file.slice(0, -'.bpf.o'.length);
    const path = fileURLToPath(new URL(`bpf-progs/obj/${file}`, ROOT));
    const configFile = fileURLToPath(new URL(`bpf-progs/filters/${stem}/config.json`, ROOT));
    const config = existsSync(configFile) ? readMapConfig(configFile) : {};
    for (const name of Object.keys(openObject(path).programs)) {
      const object = openObject(path);
      configureGlobals(object, config);
      const { type } = object.programs[name];
      const scout = await ours(object, name, config);
      const few = packets.filter(x => x.length <= 128).slice(0, 600);
      const { packet, most } = busiest(few, scout.executed);
      const frame = busiest(
        few.map(shortFrame).filter(f => f !== undefined),
        scout.executed,
      );
      const prefix = restorer(type, packet);
      const prefixed = withPrefix(object, name, prefix);
      const base = alone(type, prefix);
      const time = async (o: CollectionSpec, program: string): Promise<{ ns: number; rme: number }> => {
        const rig = await ours(o, program, config);
        const p = rig.run(packet);
        p.once(BATCH);
        return bench.time(program, () => void p.once(BATCH), { batch: BATCH });
      };
      const [whole, empty] = [await time(prefixed, name), await time(base, 'base')];
      const net = Math.max(0, whole.ns - empty.ns);
      let peer: number | undefined;
      if (kernel.ok) {
        const whole = kernelNs(prefixed, name, packet, config, bench.quick)!;
        peer = Math.max(0, whole - kernelNs(base, 'base', packet, config, bench.quick)!);
      }
      const limit = MAP_HEAVY.has(stem) ? 1.0 : 1.5;
      const comparable = peer !== undefined && peer >= 2;
      bench.row({
        group: 'programs, net time',
        name,
        conditions: `${most} insns executed, packet of ${packet.length} B`,
        unit: 'ns',
        value: net,
        rme: whole.rme,
        ...(peer === undefined ? {} : { peer: { name: 'kernel JIT', value: peer } }),
        // The kernel reports whole ns: below 2 of them a ratio says nothing.
        ...(comparable
          ? { target: `≤ ${limit.toFixed(1)} × kernel`, met: net / peer! <= limit }
          : { ratio: Number.NaN }),
      });
      const runs = [1, 2].map(lanes => ({ lanes, flows: FLOWS }));
      for (const flows of MANY_FLOWS[name] ?? []) runs.push({ lanes: 1, flows });
      for (const { lanes, flows } of runs) {
        const frames = flowsOf(frame.packet, flows);
        const { mpps, said } = await wholePath(object, name, config, frames, lanes, bench.quick);
        const target = lanes === 1 && flows === FLOWS ? PATH_TARGETS[name] : undefined;
        bench.row({
          group: 'programs, whole path',
          name: `${name}, ${lanes} ${lanes === 1 ? 'lane' : 'lanes'}${flows === FLOWS ? '' : `, ${flows} flows`}`,
          conditions: `${FRAME} B, ${flows} flows, ${frame.most} insns executed, ${said}`,
          unit: 'Mpps',
          value: mpps,
          ...(target ? { target: `≥ ${target} Mpps`, met: mpps >= target } : {}),
        });
      }
    }
  }
}
