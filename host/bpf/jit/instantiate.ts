/**
 * How a lane takes a compiled program in, and how code is made hot before a packet sees it.
 */
import { EtherloomError } from '../../errors.js';
import { LaneStateLayout } from '../../layout/layout.gen.js';
import type { Arena } from '../../mem/arena.js';
import type { Core } from '../../mem/core.js';
import { objectTypeAt } from '../objects/pool.js';
import type { CompiledProgram } from './compiled.js';

/** Raw exports of a program's instance. */
export interface ProgramExports {
  /** Returns r0. The tail-call count starts at 0. */
  run(ctx: number): bigint;
  tail(ctx: number): bigint;
}

/** What a lane needs of a CompiledProgram. Unlike the whole, it can be posted. */
export type LinkableProgram = Pick<CompiledProgram, 'module' | 'objects' | 'slotCount'> & {
  readonly spec: { readonly name: string };
};

/**
 * Instantiates a program in one lane and sets its table slots: slots + 0 run, + 1 tail, + 2 … callbacks.
 * The table grows when it must. Call it between bursts: the slots are live at once.
 * @throws EtherloomError ERR_JIT_LINK when the core lacks a helper that the program imports.
 */
export function instantiateProgram(
  compiled: LinkableProgram,
  core: Core,
  arena: Arena,
  slots: number,
): WebAssembly.Instance {
  const lane = arena.lane(core.lane);
  const instance = linked(compiled, {
    env: {
      memory: arena.memory,
      table: core.table,
      stack: lane.stackTop,
      lane: core.lane,
      state: arena.header.lanesAt + core.lane * LaneStateLayout.size,
      slots,
    },
    o: Object.fromEntries(compiled.objects.map((layout, i) => [`${i}`, objectTypeAt(arena, layout)])),
    h: core.exports as unknown as WebAssembly.ModuleImports,
  });
  const need = slots + compiled.slotCount;
  if (core.table.length < need) core.table.grow(need - core.table.length);
  core.table.set(slots, instance.exports.run);
  core.table.set(slots + 1, instance.exports.tail);
  for (let i = 2; i < compiled.slotCount; i++)
    core.table.set(slots + i, instance.exports[`callback${i - 2}`]);
  return instance;
}

/** What the core lacks is looked for when it fails only: the look takes a lane that is at work as long as the instance. */
function linked({ module, spec }: LinkableProgram, imports: WebAssembly.Imports): WebAssembly.Instance {
  try {
    return new WebAssembly.Instance(module, imports);
  } catch (cause) {
    const helpers = WebAssembly.Module.imports(module).filter(i => i.module === 'h');
    const missing = helpers.map(i => i.name).filter(name => typeof imports.h[name] !== 'function');
    if (!missing.length) throw cause;
    throw new EtherloomError('ERR_JIT_LINK', `the core has no export ${missing.join(', ')}`, {
      ...{ file: spec.name, cause },
    });
  }
}
