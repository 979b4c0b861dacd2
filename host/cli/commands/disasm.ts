/** etherloom disasm: programs as assembly, in the kernel's or clang's spelling, with their source lines. */
import { disassembleProgram } from '../../bpf/asm/disassemble.js';
import { chooseProgram, openObject } from '../../bpf/open.js';
import { EXIT, print, toJson } from '../output.js';

export interface DisasmOptions {
  program?: string;
  notation: 'kernel' | 'clang';
  source: boolean;
  json?: boolean;
}

export function disasm(path: string, options: DisasmOptions): number {
  const object = openObject(path);
  const programs = options.program
    ? [chooseProgram(object, options.program)]
    : Object.values(object.programs);
  const listed = programs.map(p => ({
    name: p.name,
    section: p.section,
    type: p.type,
    insns: p.insns.length,
    text: disassembleProgram(p, { notation: options.notation, source: options.source }),
  }));
  if (options.json) print(toJson({ file: path, programs: listed }));
  else
    print(
      listed
        .map(p => `; ${p.name} (${p.section ?? p.type}, ${p.insns} instructions)\n${p.text}`)
        .join('\n\n'),
    );
  return EXIT.DONE;
}
