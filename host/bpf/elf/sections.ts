/**
 * What the name of a section says: program type, attach flags, or the kind of data that it holds.
 * Names are libbpf's, with the looser spellings that old samples and iproute2 use; those of programs are in
 * program_types.ts.
 */
import { isRunnable, programTypes, sectionType } from '../program_types.js';
import type { ProgramSpec, ProgramType } from '../spec.js';

export interface SectionRole {
  type: ProgramType;
  flags: NonNullable<ProgramSpec['flags']>;
  /** The name without the `?` that means "not loaded unless asked for". */
  name: string;
}

/** Type and flags of a program section; types that this engine does not run are 'unspec'. */
export function sectionRole(section: string): SectionRole {
  const optional = section.startsWith('?');
  const name = optional ? section.slice(1) : section;
  const stem = name.split('/')[0];
  const type = sectionType(name);
  const flags: SectionRole['flags'] = {};
  if (programTypes[type].context === 'xdp_md' && /\.frags$/.test(stem)) flags.frags = true;
  if (!isRunnable(type) && /\.s$/.test(stem)) flags.sleepable = true;
  if (optional) flags.autoload = false;
  return { type, flags, name };
}

/** `ID/KEY` sections of iproute2: place of a program in a prog_array. */
export function tailSection(section: string): { id: number; key: number } | undefined {
  if (!/^(0x[0-9a-f]+|\d+)\/(0x[0-9a-f]+|\d+)$/.test(section)) return undefined;
  const [id, key] = section.split('/').map(Number);
  return { id, key };
}

export type DataKind = 'rodata' | 'data' | 'bss';

/** Kind of a data section by name, undefined for one of no special name. */
export function dataKind(section: string): DataKind | undefined {
  const match = /^\.(rodata|data|bss)(\.|$)/.exec(section);
  return match ? (match[1] as DataKind) : undefined;
}

/** Sections that describe the file and never hold a program's variables. */
export const isMetadata = (section: string): boolean =>
  /^(license|version|maps(\/.*)?|\.(maps|ksyms|kconfig|struct_ops|text|strtab|symtab|shstrtab|comment|llvm_addrsig)(\..*)?|\.(debug|BTF|rel|note|eh_frame|group|discard|addr_space).*)$/.test(
    section,
  );
