/**
 * The AssemblyScript core: compiled once, instantiated once per lane over the same arena.
 * The host thread has an instance of its own (lane number `laneCount`) for control-plane work.
 */
import { readFileSync } from 'node:fs';
import { instantiateSync } from '@assemblyscript/loader';
import type { instantiate } from '../../build/etherloom.js';
import { EtherloomError } from '../errors.js';
import type { Arena } from './arena.js';

/** Raw exports of the core. The loader's and V8's numbers are signed: use `>>> 0` and `BigInt.asUintN` where it matters. */
export type CoreExports = Awaited<ReturnType<typeof instantiate>>;

const WASM = new URL('../../build/etherloom.wasm', import.meta.url);
let cached: WebAssembly.Module | undefined;

/** The compiled core module. @throws EtherloomError ERR_CORE_MISSING when it was not built. */
export function coreModule(): WebAssembly.Module {
  if (cached) return cached;
  let bytes: Buffer;
  try {
    bytes = readFileSync(WASM);
  } catch (cause) {
    throw new EtherloomError('ERR_CORE_MISSING', 'the WebAssembly core is not built', {
      cause,
      expected: 'npm run build',
    });
  }
  return (cached = new WebAssembly.Module(new Uint8Array(bytes)));
}

export interface Core {
  /** Lane number this instance works for. */
  readonly lane: number;
  readonly exports: CoreExports;
  /** The lane's function table: programs and callbacks live in it. */
  readonly table: WebAssembly.Table;
}

/** Instantiates the core for lane `lane` of the arena and sets its lane-local globals. */
export function instantiateCore(arena: Arena, lane: number, module = coreModule()): Core {
  const { instance } = instantiateSync(module, { env: { memory: arena.memory } });
  const exports = instance.exports as unknown as CoreExports & { table: WebAssembly.Table };
  exports.core_init(lane);
  return { lane, exports, table: exports.table };
}
