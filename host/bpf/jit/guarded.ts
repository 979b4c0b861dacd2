/** Running guarded programs: the region, the fuel, and faults as errors. */
import { EtherloomError } from '../../errors.js';
import type { CompiledProgram } from './compiled.js';
import { FaultReason } from './guard.js';

/** A guarded program broke a rule. It ended; nothing outside its region was touched. */
export class GuardFault extends EtherloomError {
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
  /** r10: one past the stack, inside the region. Calls may go down to `lo`. */
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

export class GuardedProgram {
  readonly #exports: Exports;

  constructor(
    readonly compiled: CompiledProgram,
    region: GuardedRegion,
    helpers: Readonly<Record<string, GuardedHelper>> = {},
  ) {
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
