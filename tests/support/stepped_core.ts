/**
 * A core that calls back before each load and each store, by binaryen's pass for that: so a lane can die between any two of
 * its stores, and others can act between any two of its looks at memory, as they do in threads, but by a seed.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { Arena } from '../../host/mem/arena.js';
import type { Core, CoreExports } from '../../host/mem/core.js';

/** `store`: the address is about to be written; else it is about to be read. May throw: then the lane has died. */
export type Step = (store: boolean, address: number) => void;

interface Binaryen {
  Features: { All: number };
  readBinary(bytes: Uint8Array): {
    setFeatures(features: number): void;
    runPasses(passes: string[]): void;
    emitBinary(): Uint8Array;
    dispose(): void;
  };
}

let stepped: WebAssembly.Module | undefined;

/** The built core with calls in it. The compiler of AssemblyScript brings binaryen along. */
async function steppedModule(): Promise<WebAssembly.Module> {
  if (stepped) return stepped;
  const asc = createRequire(createRequire(import.meta.url).resolve('assemblyscript/package.json'));
  const { default: binaryen } = (await import(pathToFileURL(asc.resolve('binaryen')).href)) as {
    default: Binaryen;
  };
  const module = binaryen.readBinary(readFileSync(new URL('../../build/etherloom.wasm', import.meta.url)));
  module.setFeatures(binaryen.Features.All);
  module.runPasses(['instrument-memory']);
  stepped = new WebAssembly.Module(module.emitBinary() as BufferSource);
  module.dispose();
  return stepped;
}

/** An instance for lane `lane`: `step` comes before each of its accesses. */
export async function steppedCore(arena: Arena, lane: number, step: Step): Promise<Core> {
  const module = await steppedModule();
  const env: Record<string, unknown> = { memory: arena.memory };
  const same = (_id: number, value: unknown): unknown => value;
  for (const { name, kind } of WebAssembly.Module.imports(module)) if (kind === 'function') env[name] = same;
  env.load_ptr = (_id: number, _bytes: number, offset: number, at: number): number => {
    step(false, (at + offset) >>> 0);
    return at;
  };
  env.store_ptr = (_id: number, _bytes: number, offset: number, at: number): number => {
    step(true, (at + offset) >>> 0);
    return at;
  };
  const instance = new WebAssembly.Instance(module, { env } as WebAssembly.Imports);
  const exports = instance.exports as unknown as CoreExports;
  exports.core_init(lane);
  return { lane, exports, table: (instance.exports as { table: WebAssembly.Table }).table };
}
