/** Calls: local functions, helpers inlined or exported, tail calls, loops with callbacks. */
import { LaneStateLayout, MAX_TAIL_CALLS } from '../../layout/layout.gen.js';
import { CallKind, type Insn, SRC_X } from '../insn.js';
import { callxRegister, targetOf } from '../wellformed.js';
import type { CallPlan } from './calls.js';
import { emitAddress } from './emit_memory.js';
import { emitTableLookup } from './emit_table.js';
import type { FunctionEmitter } from './emitter.js';
import { STACK_OF_PROGRAM } from './unit.js';
import type { Value } from './values.js';
import { I32, I64, Op } from './wasm/opcodes.js';

/** MapHeader fields read at run time when the binding does not carry them. */
const HEADER = { maxEntries: 16, dataAt: 24, stride: 32, laneStride: 36 } as const;
/** BPF_MAX_LOOPS. */
const MAX_LOOPS = 1 << 23;
const E2BIG = 7n;
const EINVAL = 22n;

export function emitCall(e: FunctionEmitter, pc: number, insn: Insn, result: Value): void {
  if (insn.op & SRC_X) emitCallx(e, pc, insn);
  else if (insn.src === CallKind.LOCAL) emitLocalCall(e, pc, targetOf(insn, pc), result);
  else emitHelper(e, pc, e.transfer.plan(e.state, pc), result);
}

/** r0 is on the Wasm stack as i64. */
function keep(e: FunctionEmitter, pc: number, result: Value): void {
  if (!e.lives(pc, 0)) e.f.op(Op.drop);
  else {
    if (result.k === 'w32') e.f.op(Op.i32_wrap_i64);
    e.assign(0, result);
  }
}

/** Pushes the frame pointer for a function that is called from here. */
function pushCalleeFp(e: FunctionEmitter): void {
  e.f.get(e.analysis.usesFrame ? e.frame : e.fp);
}

/** Runs `body` and puts LaneState.entryFp back to what it was. */
function preservingEntry(e: FunctionEmitter, body: () => void): void {
  const { f, unit } = e;
  const saved = e.temp(I32, 'entry_fp');
  f.op1(Op.global_get, unit.globals.state).mem(Op.i32_load, LaneStateLayout.entryFp).set(saved);
  body();
  f.op1(Op.global_get, unit.globals.state).get(saved).mem(Op.i32_store, LaneStateLayout.entryFp);
}

function emitLocalCall(e: FunctionEmitter, pc: number, entry: number, result: Value): void {
  const { f } = e;
  const callee = e.unit.functions.get(entry)!;
  const call = (): void => {
    for (const reg of callee.params) {
      if (callee.analysis.entryArgs[reg - 1].k === 'w32') e.pushLow(e.view(pc, reg), reg);
      else e.push(e.view(pc, reg), reg);
    }
    if (callee.needsFp) pushCalleeFp(e);
    f.op1(Op.call, callee.index);
  };
  if (callee.movesEntry) preservingEntry(e, call);
  else call();
  keep(e, pc, result);
}

function emitHelper(e: FunctionEmitter, pc: number, plan: CallPlan, result: Value): void {
  const { f, unit } = e;
  switch (plan.kind) {
    case 'lane':
      if (!e.lives(pc, 0)) return;
      f.op1(Op.global_get, unit.globals.lane);
      e.assign(0, result);
      return;
    case 'array_lookup':
      emitArrayLookup(e, pc, plan, result);
      return;
    case 'tail':
      emitTailCall(e, pc, plan);
      return;
    case 'loop':
      emitLoop(e, pc, plan, result);
      return;
    case 'guarded':
      for (let r = 1; r <= 5; r++) e.push(e.view(pc, r), r);
      f.op1(Op.call, unit.imports.get(plan.name)!);
      keep(e, pc, result);
      return;
    case 'export':
    case 'kfunc':
      if (plan.kind === 'export' ? plan.callback : plan.kfunc.runsPrograms)
        preservingEntry(e, () => {
          f.op1(Op.global_get, unit.globals.state);
          pushCalleeFp(e);
          f.mem(Op.i32_store, LaneStateLayout.entryFp);
          emitExport(e, pc, plan, result);
        });
      else emitExport(e, pc, plan, result);
  }
}

function emitExport(
  e: FunctionEmitter,
  pc: number,
  plan: CallPlan & { kind: 'export' | 'kfunc' },
  result: Value,
): void {
  const { f } = e;
  const { wasm } = plan.kind === 'kfunc' ? plan.kfunc : plan.helper;
  const call = (): void => {
    [...wasm.args].forEach((letter, i) => {
      const arg = plan.kind === 'kfunc' ? plan.kfunc.args[i].kind : undefined;
      // What the verifier does not look at may hold nothing.
      if (arg === 'type') f.op1(Op.global_get, e.unit.objects.get(e.unit.program.facts.made(pc)!)!);
      else if (arg === 'ignored') letter === 'd' ? f.i64(0n) : f.i32(0);
      else if (letter === 'd') e.push(e.view(pc, i + 1), i + 1);
      else e.pushLow(e.view(pc, i + 1), i + 1);
    });
    f.op1(Op.call, e.unit.imports.get(plan.name)!);
  };
  if (plan.kind === 'export' && plan.table && e.lives(pc, 0)) emitTableLookup(e, pc, plan.table, call);
  else call();
  if (wasm.result === 'v') return;
  if (!e.lives(pc, 0)) {
    f.op(Op.drop);
    return;
  }
  if (wasm.result === 'i' && result.k === 'w64') f.op(Op.i64_extend_i32_s);
  if (wasm.result === 'd' && result.k === 'w32') f.op(Op.i32_wrap_i64);
  e.assign(0, result);
}

/** Pushes a map's field: baked in, or loaded from its header. */
function pushField(e: FunctionEmitter, addr: number, known: number | undefined, at: number): void {
  if (known !== undefined) e.f.i32(known);
  else e.f.i32(addr).mem(Op.i32_load, at);
}

/** key < max_entries ? dataAt + key * stride (+ lane * laneStride) : NULL. */
function emitArrayLookup(
  e: FunctionEmitter,
  pc: number,
  plan: CallPlan & { kind: 'array_lookup' },
  result: Value,
): void {
  const { f, unit } = e;
  const { map, perCpu } = plan;
  if (!e.lives(pc, 0) || result.k !== 'w32') return;
  const slot = e.transfer.slotOf(pc);
  const key = slot >= 0 ? e.state[slot] : undefined;
  const offset = (): void => {
    if (key?.k === 'const') {
      const index = Number(key.v);
      if (map.stride !== undefined) f.i32(index * map.stride);
      else f.i32(index).i32(map.addr).mem(Op.i32_load, HEADER.stride).op(Op.i32_mul);
    } else {
      f.get(e.temp(I32, 'key'));
      const stride = map.stride;
      if (stride !== undefined && stride > 0 && (stride & (stride - 1)) === 0)
        f.i32(31 - Math.clz32(stride)).op(Op.i32_shl);
      else {
        pushField(e, map.addr, stride, HEADER.stride);
        f.op(Op.i32_mul);
      }
    }
  };
  const address = (): void => {
    offset();
    if (perCpu) {
      f.op1(Op.global_get, unit.globals.lane);
      pushField(e, map.addr, map.laneStride, HEADER.laneStride);
      f.op(Op.i32_mul).op(Op.i32_add);
    }
    pushField(e, map.addr, map.dataAt, HEADER.dataAt);
    f.op(Op.i32_add);
  };
  if (key?.k === 'const') address();
  else {
    if (key) e.pushLow(key, slot);
    else {
      const off = emitAddress(e, pc, e.view(pc, 2), 2, 0, 4);
      f.mem(Op.i32_load, off);
    }
    f.tee(e.temp(I32, 'key')).i32(map.spec.maxEntries).op(Op.i32_lt_u).op(Op.if).byte(I32);
    address();
    f.op(Op.else).i32(0).op(Op.end);
  }
  e.assign(0, result);
}

/**
 * Leaves this function for the program in the slot: `return_call_indirect`, as the kernel jumps. From a subprogram
 * the target's frame begins where this one's was, and its result goes to this function's caller.
 */
function emitTailCall(e: FunctionEmitter, pc: number, plan: CallPlan & { kind: 'tail' }): void {
  const { f, unit } = e;
  const { map } = plan;
  const index = e.temp(I32, 'index');
  const slot = e.temp(I32, 'slot');
  const header = e.temp(I32, 'map');
  const { state } = unit.globals;
  const field = (known: number | undefined, at: number): void => {
    if (map) pushField(e, map.addr, known, at);
    else f.get(header).mem(Op.i32_load, at);
  };
  f.op(Op.block).byte(0x40);
  if (!map) {
    e.pushLow(e.view(pc, 2), 2);
    f.set(header);
  }
  e.pushLow(e.view(pc, 3), 3);
  f.tee(index);
  field(map?.spec.maxEntries, HEADER.maxEntries);
  f.op(Op.i32_ge_u).op1(Op.br_if, 0);
  f.get(index);
  field(map?.stride, HEADER.stride);
  f.op(Op.i32_mul);
  field(map?.dataAt, HEADER.dataAt);
  f.op(Op.i32_add).mem(Op.i32_load, 0).tee(slot).op(Op.i32_eqz).op1(Op.br_if, 0);
  f.op1(Op.global_get, state).mem(Op.i32_load, LaneStateLayout.tailCalls);
  f.tee(index).i32(MAX_TAIL_CALLS).op(Op.i32_ge_u).op1(Op.br_if, 0);
  if (e.analysis.entry !== 0) {
    f.get(e.fp).i32(STACK_OF_PROGRAM).op(Op.i32_sub);
    f.op1(Op.global_get, state).mem(Op.i32_load, LaneStateLayout.stackAt).op(Op.i32_lt_u).op1(Op.br_if, 0);
    f.op1(Op.global_get, state).get(e.fp).mem(Op.i32_store, LaneStateLayout.entryFp);
  }
  f.op1(Op.global_get, state).get(index).i32(1).op(Op.i32_add).mem(Op.i32_store, LaneStateLayout.tailCalls);
  e.pushLow(e.view(pc, 1), 1);
  f.get(slot)
    .op1(Op.return_call_indirect, unit.module.typeIndex([I32], [I64]))
    .u32(0);
  f.op(Op.end);
}

/** bpf_loop: for (i = 0; i < n; i++) if (callback(i, ctx)) { i++; break; } */
function emitLoop(e: FunctionEmitter, pc: number, plan: CallPlan & { kind: 'loop' }, result: Value): void {
  const { f, unit } = e;
  const i = e.temp(I32, 'i');
  const n = e.temp(I32, 'n');
  const r0 = e.temp(I64, 'loop');
  const callee = plan.callback === undefined ? undefined : unit.functions.get(plan.callback);
  const argument = (reg: number): void => {
    const wide = callee?.analysis.entryArgs[reg - 1].k !== 'w32';
    if (reg === 1) {
      f.get(i);
      if (wide) f.op(Op.i64_extend_i32_u);
    } else if (reg === 2) {
      if (wide) e.push(e.view(pc, 3), 3);
      else e.pushLow(e.view(pc, 3), 3);
    } else if (wide) f.i64(0n);
    else f.i32(0);
  };
  const callBack = (): void => {
    if (callee) {
      for (const reg of callee.params) argument(reg);
      if (callee.needsFp) pushCalleeFp(e);
      f.op1(Op.call, callee.index);
      return;
    }
    f.op1(Op.global_get, unit.globals.state);
    pushCalleeFp(e);
    f.mem(Op.i32_store, LaneStateLayout.entryFp);
    for (let reg = 1; reg <= 5; reg++) argument(reg);
    e.pushLow(e.view(pc, 2), 2);
    f.op1(Op.call_indirect, unit.module.typeIndex([I64, I64, I64, I64, I64], [I64])).u32(0);
  };
  const run = (): void => {
    f.op(Op.block).byte(0x40);
    f.i64(-EINVAL).set(r0);
    e.push(e.view(pc, 4), 4);
    f.i64(0n).op(Op.i64_ne).op1(Op.br_if, 0);
    f.i64(-E2BIG).set(r0);
    e.pushLow(e.view(pc, 1), 1);
    f.tee(n).i32(MAX_LOOPS).op(Op.i32_gt_u).op1(Op.br_if, 0);
    f.i32(0).set(i);
    f.op(Op.block).byte(0x40).op(Op.loop).byte(0x40);
    f.get(i).get(n).op(Op.i32_ge_u).op1(Op.br_if, 1);
    callBack();
    f.get(i).i32(1).op(Op.i32_add).set(i);
    f.op(Op.i64_eqz).op1(Op.br_if, 0);
    f.op(Op.end).op(Op.end);
    f.get(i).op(Op.i64_extend_i32_u).set(r0);
    f.op(Op.end);
  };
  if (!callee || callee.movesEntry) preservingEntry(e, run);
  else run();
  if (!e.lives(pc, 0)) return;
  f.get(r0);
  keep(e, pc, result);
}

/** Conformance only: calls the helper whose number is in a register; an unknown number ends the program. */
function emitCallx(e: FunctionEmitter, pc: number, insn: Insn): void {
  const { f, unit } = e;
  const reg = callxRegister(insn);
  const id = e.temp(I64, 'callx');
  const r0 = e.temp(I64, 'callx_r0');
  e.push(e.view(pc, reg), reg);
  f.set(id);
  f.op(Op.block).byte(0x40);
  for (const [number, name] of unit.program.callxHelpers) {
    f.get(id).i64(BigInt(number)).op(Op.i64_eq).op(Op.if).byte(0x40);
    for (let r = 1; r <= 5; r++) e.push(e.view(pc, r), r);
    f.op1(Op.call, unit.imports.get(name)!).set(r0).op1(Op.br, 1).op(Op.end);
  }
  unit.guard?.fault(e, pc, 'helper');
  f.op(Op.end).get(r0);
  if (e.lives(pc, 0)) e.f.set(e.wide(0));
  else f.op(Op.drop);
}
