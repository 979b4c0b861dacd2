/** Running guarded programs: the region, the fuel, and faults as errors. */
import { EtherloomError } from '../../errors.js';
import type { CompiledProgram } from './compiled.js';
import { FaultReason } from './guard.js';
import { FRAME_BYTES } from './unit.js';

/** Least bytes of a region: no access is longer, so length − size never wraps. */
const LEAST_REGION = 16;

/** A guarded program broke a rule. It ended; nothing outside its region was touched. */
export class GuardFault extends EtherloomError {
  /** Instruction that broke it; 0 when calls ended the JavaScript engine's own stack. */
  readonly insn: number;
  readonly reason: FaultReason;
  /** bounds, align: address (unsigned 64-bit) and bytes of the access. */
  readonly addr: bigint;
  readonly size: number;

  constructor(insn: number, reason: FaultReason, addr: bigint, size: number, file?: string) {
    const what = {
      none: 'fault',
      bounds: `access of ${size} bytes at 0x${addr.toString(16)} is outside of its region`,
      align: `atomic access of ${size} bytes at 0x${addr.toString(16)} is not aligned`,
      fuel: 'fuel is spent',
      stack: 'calls are nested too deeply: no stack is left',
      helper: 'no such helper',
    }[reason];
    super(`ERR_GUARD_${reason.toUpperCase()}`, `instruction ${insn}: ${what}`, { file, offset: insn });
    this.name = 'GuardFault';
    this.insn = insn;
    this.reason = reason;
    this.addr = addr;
    this.size = size;
  }
}

export interface GuardedRegion {
  /** Shared memory that holds the region. */
  memory: WebAssembly.Memory;
  /** The region [lo, hi): stack and data of the program. */
  lo: number;
  hi: number;
  /** r10: one past the stack, inside the region, at least one frame (512 B) above `lo`. Calls may go down to `lo`. */
  stack: number;
}

/** Five registers in, r0 out; as signed 64-bit. */
export type GuardedHelper = (r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint) => bigint;

interface Exports {
  run(ctx: number): bigint;
  enter(r1: bigint, r2: bigint): bigint;
  fuel: WebAssembly.Global<'i64'>;
  fault_pc: WebAssembly.Global<'i32'>;
  fault_reason: WebAssembly.Global<'i32'>;
  fault_addr: WebAssembly.Global<'i64'>;
  fault_size: WebAssembly.Global<'i32'>;
}

const REASONS = Object.keys(FaultReason) as FaultReason[];

/** Checks what the compiled bounds checks rely on: 0 ≤ lo ≤ stack − 512, stack ≤ hi ≤ bytes of the memory. */
function checkRegion({ memory, lo, hi, stack }: GuardedRegion, file: string): void {
  const refuse = (what: string, expected: string): never => {
    throw new EtherloomError('ERR_GUARD_REGION', what, { file, expected });
  };
  const bytes = memory.buffer.byteLength;
  for (const [name, value] of Object.entries({ lo, hi, stack }))
    if (!Number.isInteger(value) || value < 0 || value > bytes)
      refuse(`${name} ${value} of a guarded region`, `a whole number from 0 to ${bytes}, the memory's bytes`);
  if (hi - lo < LEAST_REGION)
    refuse(`a guarded region of ${hi - lo} bytes, lo ${lo}, hi ${hi}`, `at least ${LEAST_REGION} bytes`);
  if (stack < lo + FRAME_BYTES)
    refuse(`stack ${stack} of a guarded region at lo ${lo}`, `at least lo + ${FRAME_BYTES}, one frame`);
  if (stack > hi) refuse(`stack ${stack} of a guarded region that ends at hi ${hi}`, 'at most hi');
}

export class GuardedProgram {
  readonly #exports: Exports;

  /** @throws EtherloomError ERR_GUARD_REGION for a region that is not inside the memory or has no room for a frame. */
  constructor(
    readonly compiled: CompiledProgram,
    region: GuardedRegion,
    helpers: Readonly<Record<string, GuardedHelper>> = {},
  ) {
    checkRegion(region, compiled.spec.name);
    const { memory, lo, hi, stack } = region;
    const instance = new WebAssembly.Instance(compiled.module, {
      env: { memory, lo, hi, stack },
      h: helpers,
    });
    this.#exports = instance.exports as unknown as Exports;
  }

  /**
   * Runs the program with two arguments; returns r0, unsigned. `fuel` is charged by basic block, one an instruction.
   * @throws GuardFault when a rule is broken.
   */
  enter(r1: bigint, r2: bigint, fuel: bigint): bigint {
    const x = this.#exports;
    x.fuel.value = fuel;
    x.fault_reason.value = 0;
    try {
      return BigInt.asUintN(64, x.enter(r1, r2));
    } catch (error) {
      const reason = REASONS[x.fault_reason.value];
      // A region larger than the JavaScript engine's stack: calls end there before the program's stack is spent.
      // Which instruction made the last call is not known then: 0. What a helper throws is the caller's.
      if (error instanceof RangeError && reason === 'none' && /call stack/.test(error.message))
        throw new GuardFault(0, 'stack', 0n, 0, this.compiled.spec.name);
      if (!(error instanceof WebAssembly.RuntimeError) || reason === 'none') throw error;
      throw new GuardFault(
        x.fault_pc.value,
        reason,
        BigInt.asUintN(64, x.fault_addr.value),
        x.fault_size.value,
        this.compiled.spec.name,
      );
    }
  }

  /** Fuel left after the last run. */
  get fuel(): bigint {
    return this.#exports.fuel.value;
  }
}
