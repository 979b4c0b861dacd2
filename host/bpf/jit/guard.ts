/**
 * Guarded mode (DESIGN D6): every access is checked against the program's one region [lo, hi), which holds its stack
 * and its memory, and every block is charged against fuel. What breaks a rule writes instruction, reason, address
 * and size to exported globals and traps: the program ends, the engine does not.
 */
import type { Block } from './cfg.js';
import type { FunctionEmitter } from './emitter.js';
import { FRAME_BYTES } from './unit.js';
import type { Value } from './values.js';
import type { ModuleBuilder } from './wasm/encoder.js';
import { I32, I64, Op } from './wasm/opcodes.js';

export const FaultReason = { none: 0, bounds: 1, align: 2, fuel: 3, stack: 4, helper: 5 } as const;
export type FaultReason = keyof typeof FaultReason;

interface Locals {
  /** i64: lowest address. */
  lo: number;
  /** i64: bytes in the region. */
  length: number;
  /** i64: address being checked. */
  at: number;
}

export class Guard {
  readonly #lo: number;
  readonly #hi: number;
  readonly #fuel: number;
  readonly #pc: number;
  readonly #reason: number;
  readonly #addr: number;
  readonly #size: number;
  #fault = -1;
  readonly #locals = new Map<FunctionEmitter, Locals>();

  /** Declares the region's imports and the globals. Before any function. */
  constructor(m: ModuleBuilder) {
    this.#lo = m.importGlobal('env', 'lo', I32);
    this.#hi = m.importGlobal('env', 'hi', I32);
    this.#fuel = m.addGlobal(I64, 'fuel');
    this.#pc = m.addGlobal(I32, 'fault_pc');
    this.#reason = m.addGlobal(I32, 'fault_reason');
    this.#addr = m.addGlobal(I64, 'fault_addr');
    this.#size = m.addGlobal(I32, 'fault_size');
    m.exportGlobal('fuel', this.#fuel);
    m.exportGlobal('fault_pc', this.#pc);
    m.exportGlobal('fault_reason', this.#reason);
    m.exportGlobal('fault_addr', this.#addr);
    m.exportGlobal('fault_size', this.#size);
  }

  /** Adds the function that records a fault. After all imports. */
  define(m: ModuleBuilder): void {
    const f = m.addFunction('fault', [I32, I32, I64, I32], []);
    f.get(0).op1(Op.global_set, this.#pc);
    f.get(1).op1(Op.global_set, this.#reason);
    f.get(2).op1(Op.global_set, this.#addr);
    f.get(3).op1(Op.global_set, this.#size);
    f.op(Op.unreachable);
    this.#fault = f.index;
  }

  /** Expects a condition (i32) on the Wasm stack and ends the program when it holds. */
  faultIf(e: FunctionEmitter, pc: number, reason: FaultReason, size = 0): void {
    e.f.op(Op.if).byte(0x40);
    this.fault(e, pc, reason, size);
    e.f.op(Op.end);
  }

  fault(e: FunctionEmitter, pc: number, reason: FaultReason, size = 0): void {
    const { f } = e;
    f.i32(pc).i32(FaultReason[reason]);
    if (size) f.get(this.#at(e).at);
    else f.i64(0n);
    f.i32(size).op1(Op.call, this.#fault).op(Op.unreachable);
  }

  #at(e: FunctionEmitter): Locals {
    return this.#locals.get(e)!;
  }

  enterFunction(e: FunctionEmitter): void {
    const { f } = e;
    const locals = { lo: f.local(I64, 'lo'), length: f.local(I64, 'length'), at: f.local(I64, 'at') };
    this.#locals.set(e, locals);
    f.op1(Op.global_get, this.#lo).op(Op.i64_extend_i32_u).tee(locals.lo);
    f.set(locals.at);
    f.op1(Op.global_get, this.#hi).op(Op.i64_extend_i32_u).get(locals.lo).op(Op.i64_sub).set(locals.length);
    f.get(e.fp).op1(Op.global_get, this.#lo).op(Op.i32_sub).i32(FRAME_BYTES).op(Op.i32_lt_u);
    this.faultIf(e, e.analysis.entry, 'stack');
  }

  enterBlock(e: FunctionEmitter, block: Block): void {
    const { f } = e;
    let n = 0;
    for (let pc = block.start; pc <= block.last; pc++) if (e.unit.program.insns[pc].op !== 0) n++;
    f.op1(Op.global_get, this.#fuel).i64(BigInt(n)).op(Op.i64_sub).op1(Op.global_set, this.#fuel);
    if (!block.loopHead && block.index !== 0 && e.analysis.graph.reducible) return;
    f.op1(Op.global_get, this.#fuel).i64(0n).op(Op.i64_lt_s);
    this.faultIf(e, block.start, 'fuel');
  }

  /**
   * Checks `size` bytes at value + off and pushes their address (i32); returns the static offset to use with it.
   * `aligned`: the address must be a multiple of the size.
   */
  address(
    e: FunctionEmitter,
    pc: number,
    base: Value,
    v: number,
    off: number,
    size: number,
    aligned: boolean,
  ): number {
    const { f } = e;
    if (base.k === 'fp') {
      const at = FRAME_BYTES + base.off + off;
      if (at >= 0 && at + size <= FRAME_BYTES && (!aligned || at % size === 0)) {
        f.get(e.frame);
        return at;
      }
    }
    const { lo, length, at } = this.#at(e);
    e.push(base, v);
    if (off) f.i64(BigInt(off)).op(Op.i64_add);
    f.tee(at).get(lo).op(Op.i64_sub);
    f.get(length).i64(BigInt(size)).op(Op.i64_sub).op(Op.i64_gt_u);
    this.faultIf(e, pc, 'bounds', size);
    if (aligned && size > 1) {
      f.get(at)
        .i64(BigInt(size - 1))
        .op(Op.i64_and)
        .i64(0n)
        .op(Op.i64_ne);
      this.faultIf(e, pc, 'align', size);
    }
    f.get(at).op(Op.i32_wrap_i64);
    return 0;
  }
}
