/** Verification speed: instructions walked a second, with the kernel's own verifier beside it where it may be asked. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadElf } from '../host/bpf/elf/load.js';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { KernelProgram } from '../host/bpf/kernel/program.js';
import type { ProgramSpec } from '../host/bpf/spec.js';
import { verify } from '../host/bpf/verify/verify.js';
import type { Bench, Peer } from './harness/bench.js';

const OBJECTS = fileURLToPath(new URL('../bpf-progs/obj/', import.meta.url));
const PROGRAMS: readonly [string, string][] = [
  ['parse_drop', 'parse_drop'],
  ['router', 'router'],
  ['nat', 'nat'],
  ['flow_stats', 'flow_stats'],
];
const TARGET = 500_000;
const WARM_UP_MS = 700;

function kernelSpeed(spec: ProgramSpec): Peer | undefined {
  if (!kernelAvailable().ok) return undefined;
  const load = KernelProgram.load(spec, { log: 'statistics' });
  if (!load.accepted) return undefined;
  load.program.close();
  return { name: 'Linux', value: (load.processed * 1e6) / Math.max(load.timeUs, 1) };
}

export default function verifierBench(bench: Bench): void {
  for (const [object, name] of PROGRAMS) {
    const spec = loadElf(readFileSync(`${OBJECTS}${object}.bpf.o`), object).programs[name];
    const { processed } = verify(spec).stats;
    // V8 compiles what is hot: the first rounds measure its interpreter.
    const warm = performance.now() + WARM_UP_MS;
    while (performance.now() < warm) verify(spec);
    const sample = bench.time(name, () => verify(spec), { batch: processed, seconds: 2 });
    const value = 1e9 / sample.ns;
    bench.row({
      group: 'verifier',
      name,
      conditions: `${spec.insns.length} instructions, ${processed} walked`,
      unit: 'insns/s',
      value,
      rme: sample.rme,
      peer: kernelSpeed(spec),
      target: `≥ ${TARGET.toLocaleString('en')}`,
      met: value >= TARGET,
    });
  }
}
