/**
 * Trees, lists and objects as programs use them: bpf-progs/filters/objects, 32 commands a run, in our JIT and in the
 * kernel's. A figure is a command's: parsing it, making or dropping the object, lock and tree included; what a command
 * that does nothing costs is taken off on both sides. Time is CPU time, the least mean of some rounds.
 */

import { readFileSync } from 'node:fs';
import { loadElf } from '../host/bpf/elf/load.js';
import { compileProgram } from '../host/bpf/jit/compile.js';
import { instantiateProgram } from '../host/bpf/jit/instantiate.js';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { KernelCollection } from '../host/bpf/kernel/collection.js';
import { createMap, mapBinding } from '../host/bpf/maps/index.js';
import { verify } from '../host/bpf/verify/verify.js';
import { testPacket } from '../host/engine/test_run.js';
import { Arena } from '../host/mem/arena.js';
import { instantiateCore } from '../host/mem/core.js';
import type { Bench } from './harness/bench.js';

const COMMANDS = 32;
const ETH = 14;
/** Commands of the program `change`, and of `search`; one that is none of them. */
const [ADD, TAKE_FIRST, PUSH_BACK, POP_FRONT, STASH, BOTH, FIND] = [0, 1, 4, 6, 8, 10, 11];
const NOTHING = 99;
const SEARCHES = [
  ['search', 0],
  ['lower_bound', 1],
  ['next', 2],
] as const;
const RUNS = 20_000;

const frameOf = (pick: (i: number) => readonly [op: number, key: number]): Uint8Array => {
  const frame = new Uint8Array(ETH + COMMANDS * 8);
  const view = new DataView(frame.buffer);
  for (let i = 0; i < COMMANDS; i++) {
    const [op, key] = pick(i);
    view.setUint16(ETH + i * 8, op, true);
    view.setUint16(ETH + i * 8 + 2, key, true);
  }
  return frame;
};

/** Keys that lie all over the tree. */
const spread = (i: number, of: number): number => (i * 40_503 + 7) % of;

const cpuNs = (): bigint => {
  const { user, system } = process.cpuUsage();
  return BigInt(user + system) * 1000n;
};

export default function objects(bench: Bench): void {
  const file = new URL('../bpf-progs/obj/objects.bpf.o', import.meta.url);
  const object = () => loadElf(readFileSync(file), 'objects.bpf.o');
  const kernel = kernelAvailable();
  const rounds = bench.quick ? 2 : 7;

  for (const size of [16, 1024]) {
    const arena = Arena.create({ lanes: 1, frames: 16, mapBytes: 64 << 20 });
    const core = instantiateCore(arena, 1);
    const ours = object();
    const maps = new Map(Object.values(ours.maps).map(spec => [spec, createMap(arena, core, spec)]));
    let slot = 1;
    const load = (name: string) => {
      const program = ours.programs[name];
      const binding = Object.fromEntries(
        Object.entries(program.maps).map(([k, spec]) => [k, maps.get(spec)!]),
      );
      const compiled = compileProgram(verify(program), mapBinding(binding));
      const at = slot;
      slot += compiled.slotCount;
      instantiateProgram(compiled, core, arena, at);
      return (data: Uint8Array, runs: number): number => {
        const packet = testPacket(arena, 'xdp', data);
        packet.reset();
        const from = cpuNs();
        core.exports.test_run_xdp(at, packet.ctx, runs);
        const ns = Number(cpuNs() - from) / runs;
        packet.free();
        return ns;
      };
    };
    const change = load('change');
    const search = load('search');
    const theirs = kernel.ok
      ? KernelCollection.load(object(), { programs: ['change'], log: 'none' })
      : undefined;
    const inKernel = (data: Uint8Array, runs: number): number =>
      theirs!.program('change').testRun({ data, repeat: runs }).durationNs;
    const least = (of: (data: Uint8Array, runs: number) => number, data: Uint8Array, runs: number): number =>
      Math.min(...Array.from({ length: rounds }, () => of(data, runs)));

    for (let i = 0; i < size; i += COMMANDS) {
      const keys = frameOf(k => (i + k < size ? [ADD, spread(i + k, 60_000)] : [NOTHING, 0]));
      change(keys, 1);
      if (theirs) inKernel(keys, 1);
    }
    const idle = frameOf(() => [NOTHING, 0]);
    const row = (name: string, data: Uint8Array, per: number, kernelToo = true, by = change): void => {
      const runs = bench.quick ? 2000 : RUNS;
      const mine = (least(by, data, runs) - least(change, idle, runs)) / per;
      const peer =
        kernelToo && theirs ? (least(inKernel, data, runs) - least(inKernel, idle, runs)) / per : undefined;
      bench.row({
        group: 'objects',
        name,
        conditions: `tree of ${size}, ${COMMANDS} commands a run`,
        unit: 'ns',
        value: mine,
        ...(peer === undefined ? {} : { peer: { name: 'kernel', value: peer } }),
      });
    };
    const half = COMMANDS / 2;
    row(
      'new, add, take the first, drop',
      frameOf(i => (i % 2 ? [TAKE_FIRST, 0] : [ADD, spread(i, 60_000)])),
      half,
    );
    row(
      'find by root, left, right',
      frameOf(i => [FIND, spread(i, 60_000)]),
      COMMANDS,
    );
    for (const [name, op] of SEARCHES)
      row(
        `new, ${name}, drop`,
        frameOf(i => [op, spread(i, 60_000)]),
        COMMANDS,
        false,
        search,
      );
    row(
      'new, push back, pop front, drop',
      frameOf(i => (i % 2 ? [POP_FRONT, 0] : [PUSH_BACK, i])),
      half,
    );
    row(
      'new, exchange a kptr, drop',
      frameOf(i => [STASH, i]),
      COMMANDS,
    );
    row(
      'new, acquire, add and push, take both, drop',
      frameOf(
        i =>
          [
            [BOTH, 0],
            [TAKE_FIRST, 0],
            [POP_FRONT, 0],
            [NOTHING, 0],
          ][i % 4] as [number, number],
      ),
      COMMANDS / 4,
    );
    theirs?.close();
  }
}
