/** A Wasm function `(i64 × 5) → i64` that calls JavaScript: Node has no WebAssembly.Function to make one from. */
import { ModuleBuilder } from '../jit/wasm/encoder.js';
import { I64, Op, type ValueType } from '../jit/wasm/opcodes.js';

let module: WebAssembly.Module | undefined;

export type Callback = (r1: bigint, r2: bigint, r3: bigint, r4: bigint, r5: bigint) => bigint;

/** Wraps `callback` so that it can stand in a function table. Arguments and result are signed 64-bit. */
export function callbackTrampoline(callback: Callback): () => bigint {
  if (!module) {
    const m = new ModuleBuilder();
    const params: ValueType[] = [I64, I64, I64, I64, I64];
    const js = m.importFunction('e', 'f', params, [I64]);
    const f = m.addFunction('callback', params, [I64]);
    for (let i = 0; i < 5; i++) f.op1(Op.local_get, i);
    f.op1(Op.call, js);
    m.exportFunction('f', f);
    module = new WebAssembly.Module(m.finish());
  }
  return new WebAssembly.Instance(module, { e: { f: callback } }).exports.f as () => bigint;
}
