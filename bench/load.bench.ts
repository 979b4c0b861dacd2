/** What it costs to get a program in: from the bytes of an object to a program that a running lane executes. */
import { fileURLToPath } from 'node:url';
import { Collection } from '../host/bpf/collection.js';
import { openObject } from '../host/bpf/open.js';
import { Engine } from '../host/engine/engine.js';
import { HostNic } from '../host/nic/index.js';
import type { Bench } from './harness/bench.js';

const ROOT = new URL('../', import.meta.url);
const path = (file: string): string => fileURLToPath(new URL(file, ROOT));
const STRAIGHT = path('bench/fixtures/straight.bpf.o');

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
      await collection.close();
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

export default async function load(bench: Bench): Promise<void> {
  await elfToAttached(bench);
}
