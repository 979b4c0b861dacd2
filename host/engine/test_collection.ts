/**
 * testRun: a program of a loaded collection over one packet, in the JIT or the checked interpreter. The packet is laid
 * out as BPF_PROG_TEST_RUN does it (test_run.ts); maps keep what the program wrote to them.
 */
import type { Collection, Placed } from '../bpf/collection.js';
import { interpret } from '../bpf/interp/interpret.js';
import type { MapBinding } from '../bpf/jit/compiled.js';
import { mapBinding } from '../bpf/maps/index.js';
import type { ProgramSpec } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';
import {
  advanceTimers,
  type TestRunOptions,
  type TestRunResult,
  testPacket,
  testRunSlot,
} from './test_run.js';

export interface CollectionRunOptions extends TestRunOptions {
  /** Name of the program. Default: the only one, or the first. */
  program?: string;
  /** `jit`: as in a lane, timed inside Wasm. `interp`: every access is checked, and slow. Default `jit`. */
  engine?: 'jit' | 'interp';
}

/**
 * Runs a program of the collection over `data` on the calling thread.
 * @throws EtherloomError ERR_TEST_RUN_DATA for a packet that is too short or too long, ERR_TEST_RUN_OPTIONS for a
 * `repeat` that is no number of runs, ERR_COLLECTION_PROGRAM, ERR_TEST_RUN_TIMERS; with `interp` also what the interpreter found (ERR_INTERP_*)
 */
export function testRun(
  collection: Collection<Placed>,
  data: Uint8Array,
  options: CollectionRunOptions = {},
): TestRunResult {
  const { arena, core } = collection.host;
  const { repeat = 1 } = options;
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 0xffffffff)
    throw new EtherloomError('ERR_TEST_RUN_OPTIONS', `repeat ${repeat}`, {
      expected: 'a whole number from 1 to 4294967295',
    });
  const program = collection.program(options.program);
  try {
    if (options.engine !== 'interp')
      return testRunSlot(arena, core, program.placed.run, program.spec.type, data, options);
    return interpretRun(collection, program.spec, data, repeat, options);
  } finally {
    collection.host.ran?.();
  }
}

function interpretRun(
  collection: Collection<Placed>,
  spec: ProgramSpec,
  data: Uint8Array,
  repeat: number,
  { nowNs = process.hrtime.bigint(), advanceNs }: CollectionRunOptions,
): TestRunResult {
  const { arena, core } = collection.host;
  const bindings = (p: ProgramSpec): MapBinding =>
    mapBinding(Object.fromEntries(Object.entries(p.maps).map(([k, m]) => [k, collection.maps[m.name]])));
  const bySlot = new Map(Object.values(collection.programs).map(p => [p.placed.tail, p.spec]));
  const maps = bindings(spec);
  const packet = testPacket(arena, spec.type, data);
  try {
    packet.reset();
    core.exports.clock_set(nowNs);
    const from = process.hrtime.bigint();
    let r0 = 0n;
    for (let i = 0; i < repeat; i++) {
      packet.rewind();
      r0 = interpret(spec, {
        arena,
        core,
        ctx: packet.ctx,
        maps,
        tailTarget: slot => {
          const target = bySlot.get(slot);
          return target && { spec: target, maps: bindings(target) };
        },
      }).r0;
    }
    const ns = Number(process.hrtime.bigint() - from);
    const result = { retval: Number(BigInt.asUintN(32, r0)), data: packet.read(), nsPerRun: ns / repeat };
    return { ...result, timers: advanceNs === undefined ? 0 : advanceTimers(core, nowNs, advanceNs) };
  } finally {
    packet.free();
  }
}
