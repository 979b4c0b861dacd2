/** etherloom jit: the WebAssembly module of a program, as text or binary. */
import { Collection, HostPrograms } from '../../bpf/collection.js';
import { formatWat } from '../../bpf/jit/wat.js';
import { chooseProgram, openObject } from '../../bpf/open.js';
import { EXIT, print, toJson, writeOutput } from '../output.js';

export interface JitOptions {
  program?: string;
  wat?: boolean;
  wasm?: string;
  json?: boolean;
}

export async function jit(path: string, options: JitOptions): Promise<number> {
  const object = openObject(path);
  const spec = chooseProgram(object, options.program);
  const loaded = await Collection.load(object, HostPrograms.create(), { programs: [spec.name] });
  const { compiled } = loaded.program(spec.name);
  if (options.wasm) writeOutput(options.wasm, compiled.bytes);
  const wat = options.wat ? await formatWat(compiled) : undefined;
  const facts = {
    program: spec.name,
    insns: spec.insns.length,
    wasmBytes: compiled.bytes.length,
    compileUs: compiled.compileUs,
    helpers: compiled.helpers,
    tableSlots: compiled.slotCount,
    file: options.wasm,
  };
  if (options.json) print(toJson({ ...facts, wat }));
  else if (wat) print(wat);
  else {
    print(
      `${facts.program}: ${facts.insns} instructions → ${facts.wasmBytes} bytes of WebAssembly in ${(facts.compileUs / 1000).toFixed(2)} ms, ` +
        `${facts.tableSlots} table slots, helpers: ${facts.helpers.join(', ') || 'none'}`,
    );
    if (options.wasm) print(`written to ${options.wasm}`);
  }
  return EXIT.DONE;
}
