/** The generated module as text, for people. wabt is loaded when it is asked for. */
import type { CompiledProgram } from './compiled.js';

/** WebAssembly text of a compiled program, with the names of functions and locals. */
export async function formatWat(compiled: Pick<CompiledProgram, 'bytes'>): Promise<string> {
  const { default: load } = await import('wabt');
  const wabt = await load();
  const module = wabt.readWasm(compiled.bytes, {
    readDebugNames: true,
    threads: true,
    tail_call: true,
    sign_extension: true,
    mutable_globals: true,
  });
  try {
    module.applyNames();
    return module.toText({ foldExprs: false, inlineExport: false });
  } finally {
    module.destroy();
  }
}
