/**
 * What it costs to get a program in: verification beside the kernel's, ELF to attached program, live swap under traffic.
 */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Collection } from '../host/bpf/collection.js';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { KernelProgram } from '../host/bpf/kernel/program.js';
import { openObject } from '../host/bpf/open.js';
import { verify } from '../host/bpf/verify/verify.js';
import { Engine } from '../host/engine/engine.js';
import { HostNic, ReplayNic } from '../host/nic/index.js';
import type { Bench } from './harness/bench.js';

const ROOT = new URL('../', import.meta.url);
const path = (file: string): string => fileURLToPath(new URL(file, ROOT));
const STRAIGHT = path('bench/fixtures/straight.bpf.o');
const FRAME = 64;

function verification(bench: Bench): void {
  const kernel = kernelAvailable();
  const sum = { processed: 0, ms: 0, kernelProcessed: 0, kernelMs: 0 };
  const files = readdirSync(path('bpf-progs/obj'))
    .filter(f => f.endsWith('.bpf.o'))
    .sort();
  for (const file of files)
    for (const spec of Object.values(openObject(path(`bpf-progs/obj/${file}`)).programs)) {
      let ms = Number.POSITIVE_INFINITY;
      let processed = 0;
      for (let i = 0; i < (bench.quick ? 1 : 5); i++) {
        const { stats } = verify(spec);
        ms = Math.min(ms, stats.timeUs / 1000);
        processed = stats.processed;
      }
      sum.processed += processed;
      sum.ms += ms;
      let peer: number | undefined;
      if (kernel.ok) {
        let best = Number.POSITIVE_INFINITY;
        for (let i = 0; i < 3; i++) {
          const load = KernelProgram.load(spec, { log: 'statistics' });
          best = Math.min(best, load.timeUs / 1000);
          sum.kernelProcessed += i === 0 ? load.processed : 0;
          if (load.accepted) load.program.close();
        }
        sum.kernelMs += best;
        peer = best;
      }
      if (processed < 1000) continue;
      bench.row({
        group: 'verification',
        name: spec.name,
        conditions: `${spec.insns.length} insns, ${processed} processed`,
        unit: 'ms',
        value: ms,
        ...(peer ? { peer: { name: 'kernel', value: peer } } : {}),
      });
    }
  const rate = (sum.processed / sum.ms) * 1000;
  bench.row({
    group: 'verification',
    name: 'all of bpf-progs/',
    conditions: `${sum.processed} processed`,
    unit: 'insns/s',
    value: rate,
    ...(kernel.ok ? { peer: { name: 'kernel', value: (sum.kernelProcessed / sum.kernelMs) * 1000 } } : {}),
    target: '≥ 500,000 insns/s',
    met: rate >= 500_000,
  });
}

async function elfToAttached(bench: Bench): Promise<void> {
  const nic = new HostNic({ sink: true });
  const engine = await Engine.create({ lanes: 1, nics: [nic], pass: 'count' });
  await engine.start();
  const spec = Object.values(openObject(STRAIGHT).programs)[0];
  let best = Number.POSITIVE_INFINITY;
  let first = 0;
  try {
    for (let i = 0; i < (bench.quick ? 3 : 20); i++) {
      const from = performance.now();
      const collection = await Collection.load(openObject(STRAIGHT), engine);
      const { placed } = collection.program();
      const attachment = engine.attach(placed, 1);
      const ms = performance.now() - from;
      if (i === 0) first = ms;
      best = Math.min(best, ms);
      await engine.detach(attachment);
      await engine.unload(placed);
      collection.close();
    }
  } finally {
    await engine.stop();
  }
  const row = { group: 'ELF to attached', unit: 'ms' as const, target: '< 20 ms' };
  bench.row({
    ...row,
    name: 'first program of a process',
    conditions: `${spec.insns.length} insns, one lane running`,
    value: first,
    met: first < 20,
  });
  bench.row({
    ...row,
    name: 'once warm',
    conditions: `${spec.insns.length} insns, one lane running`,
    value: best,
    met: best < 20,
  });
}

async function liveSwap(bench: Bench): Promise<void> {
  const frames = Array.from({ length: 64 }, (_, i) => new Uint8Array(FRAME).fill(i));
  const source = new ReplayNic({ packets: frames, count: 1, sink: true });
  const engine = await Engine.create({ lanes: 2, nics: [source], lossless: true, pass: 'count' });
  const load = async (name: string) =>
    (await Collection.load(openObject(path(`bpf-progs/obj/${name}.bpf.o`)), engine)).program(name);
  const [pass, drop] = [await load('pass'), await load('drop')];
  let attachment = engine.attach(pass.placed, 1);
  await engine.start();
  const swaps = bench.quick ? 20 : 200;
  const count = swaps * 400_000;
  const pauses: number[] = [];
  source.again({ count });
  for (let i = 0; i < swaps; i++) {
    const swap = await engine.swap(attachment, (i % 2 ? pass : drop).compiled);
    attachment = swap.attachment;
    pauses.push(...swap.pausesNs);
  }
  await engine.idle();
  const report = await engine.stop();
  const c = report.ports[0];
  const lost = count + 1 - (c.verdicts.pass + c.verdicts.drop);
  pauses.sort((a, b) => a - b);
  const at = (q: number): number => pauses[Math.min(pauses.length - 1, Math.floor(pauses.length * q))] / 1000;
  const row = {
    group: 'live swap',
    conditions: `${swaps} swaps, two busy lanes, ${(count / 1e6).toFixed(0)} M packets`,
  };
  bench.row({ ...row, name: 'packets lost', unit: 'count', value: lost, target: '0', met: lost === 0 });
  bench.row({ ...row, name: 'pause of a lane, p50', unit: 'µs', value: at(0.5) });
  bench.row({ ...row, name: 'pause of a lane, p99', unit: 'µs', value: at(0.99) });
}

export default async function load(bench: Bench): Promise<void> {
  verification(bench);
  await elfToAttached(bench);
  await liveSwap(bench);
}
