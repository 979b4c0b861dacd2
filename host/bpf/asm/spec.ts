/**
 * Assembly text → ProgramSpec: for tests, goldens and hand-written programs.
 */
import { EtherloomError } from '../../errors.js';
import { programTypeNames, programTypes } from '../program_types.js';
import type { MapSpec, ProgramSpec, ProgramType } from '../spec.js';
import { type AssembleOptions, assemble } from './assemble.js';

export interface AssembleSpecOptions extends AssembleOptions {
  /** Default: the `.program` directive, else xdp. */
  type?: ProgramType;
  name?: string;
  license?: string;
  /** Maps by name, beside those of `.map` directives. */
  mapSpecs?: Readonly<Record<string, Omit<MapSpec, 'name'>>>;
}

/**
 * Text → program, its own lines as source lines.
 * @throws EtherloomError ERR_ASM_*; ERR_ASM_NAME when a map is used that is nowhere defined
 */
export function assembleSpec(text: string, options: AssembleSpecOptions = {}): ProgramSpec {
  const assembly = assemble(text, options);
  const type = options.type ?? assembly.program?.type ?? 'xdp';
  const file = options.file ?? 'assembly';
  if (!Object.hasOwn(programTypes, type))
    throw new EtherloomError('ERR_ASM_SYNTAX', `program type ${type}`, {
      file,
      expected: programTypeNames.join(', '),
    });
  const defined = new Map<string, MapSpec>(assembly.definitions.map(d => [d.name, d]));
  for (const [name, spec] of Object.entries(options.mapSpecs ?? {})) defined.set(name, { ...spec, name });
  const maps: Record<number, MapSpec> = {};
  for (const [name, key] of assembly.maps) {
    const spec = defined.get(name);
    if (!spec)
      throw new EtherloomError('ERR_ASM_NAME', `map ${name} is not defined`, {
        file,
        expected: `.map ${name} TYPE key=… value=… max=…`,
      });
    maps[key] = spec;
  }
  const spec: ProgramSpec = {
    name: options.name ?? assembly.program?.name ?? assembly.funcs[0].name,
    type: type as ProgramType,
    license: options.license ?? assembly.license ?? 'GPL',
    insns: assembly.insns,
    maps,
    funcs: assembly.funcs,
    lines: assembly.lines,
  };
  if (Object.keys(assembly.kfuncs).length) spec.kfuncs = assembly.kfuncs;
  return spec;
}
