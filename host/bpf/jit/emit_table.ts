/**
 * Lookups in hash tables, written into the program: no call, the key's size unrolled, the table's addresses and
 * coefficients as constants. The same walk as assembly/bpf/maps/hash_table.ts (find); what it does not follow to the
 * end — a long chain, a reader led astray by a recycled element — goes to the core's export.
 *
 *   hash(key) ─▶ bucket ─▶ element: key equal? ─yes─▶ (LRU: ref) value
 *                             │ no: next        end marker of this bucket ─▶ NULL
 *                             └─ after STEPS, or at another bucket's marker ─▶ core
 */
import type { HashTableShape } from './compiled.js';
import { emitAddress } from './emit_memory.js';
import type { FunctionEmitter } from './emitter.js';
import { I32, Op, VOID } from './wasm/opcodes.js';

/** Elements compared in the program: chains are rarely longer, there are two buckets for each element. */
const STEPS = 4;
/** Longest key that is unrolled: two IPv6 addresses, ports and more. */
const MAX_KEY = 64;

export const canInline = ({ keySize }: HashTableShape): boolean => keySize % 4 === 0 && keySize <= MAX_KEY;

/** Leaves the address of the value, or 0, on the Wasm stack. `call` pushes what the core's export returns. */
export function emitTableLookup(
  e: FunctionEmitter,
  pc: number,
  table: HashTableShape,
  call: () => void,
): void {
  const { f } = e;
  const { keySize } = table;
  const key = e.view(pc, 2);
  const bucket = e.temp(I32, 'bucket');
  const element = e.temp(I32, 'element');
  const steps = e.temp(I32, 'steps');
  /** Words of 4 for the hash: what a program has just stored there is forwarded whatever it stored it with. */
  const word = (at: number): void => {
    f.mem(Op.i64_load32_u, emitAddress(e, pc, key, 2, at, 4));
  };
  pushHash(f, table.seeds, keySize, word);
  f.i32(table.mask).op(Op.i32_and).tee(bucket);
  // Plain loads: an element's address comes before its contents by dependency, and was stored after them.
  f.i32(3).op(Op.i32_shl).mem(Op.i32_load, table.bucketsAt).set(element);
  f.i32(STEPS).set(steps);
  f.op(Op.block).byte(I32);
  f.op(Op.block).byte(VOID);
  f.op(Op.block).byte(VOID);
  f.op(Op.loop).byte(VOID);
  f.get(element).i32(1).op(Op.i32_and).op1(Op.br_if, 1);
  for (let at = 0; at < keySize; at += 8) {
    const load = keySize - at >= 8 ? Op.i64_load : Op.i64_load32_u;
    f.get(element).mem(load, table.keyAt + at);
    f.mem(load, emitAddress(e, pc, key, 2, at, 8)).op(Op.i64_xor);
    if (at) f.op(Op.i64_or);
  }
  f.op(Op.i64_eqz).op(Op.if).byte(VOID);
  if (table.refAt !== undefined) {
    // Written only when it changes something: the line may be shared with other lanes.
    f.get(element).mem(Op.i32_load, table.refAt).op(Op.i32_eqz).op(Op.if).byte(VOID);
    f.get(element).i32(1).mem(Op.i32_store, table.refAt).op(Op.end);
  }
  f.get(element);
  if (table.perCpu) {
    f.mem(Op.i32_load, table.perCpu.valuesAt).op1(Op.global_get, e.unit.globals.lane);
    f.i32(table.perCpu.laneStride).op(Op.i32_mul).op(Op.i32_add);
  } else f.i32(table.valueAt).op(Op.i32_add);
  f.op1(Op.br, 4).op(Op.end);
  f.get(element).mem(Op.i32_load, 0).set(element);
  f.get(steps).i32(1).op(Op.i32_sub).tee(steps).op1(Op.br_if, 0).op1(Op.br, 2);
  f.op(Op.end).op(Op.end);
  f.i32(0).get(element).i32(2).op(Op.i32_shr_u).get(bucket).op(Op.i32_eq).op1(Op.br_if, 1).op(Op.drop);
  f.op(Op.end);
  call();
  f.op(Op.end);
}

/** hashKey of assembly/bpf/maps/hash_key.ts as an i32. */
function pushHash(
  f: FunctionEmitter['f'],
  seeds: BigUint64Array,
  keySize: number,
  word: (at: number) => void,
): void {
  let s = 0;
  let at = 0;
  f.i64(seeds[s++]);
  for (; at + 8 <= keySize; at += 8) {
    word(at);
    f.i64(seeds[s++]).op(Op.i64_add);
    word(at + 4);
    f.i64(seeds[s++]).op(Op.i64_add).op(Op.i64_mul).op(Op.i64_add);
  }
  if (at < keySize) {
    word(at);
    f.i64(seeds[s]).op(Op.i64_mul).op(Op.i64_add);
  }
  f.i64(32n).op(Op.i64_shr_u).op(Op.i32_wrap_i64);
}
