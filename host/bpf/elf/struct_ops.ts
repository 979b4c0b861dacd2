/**
 * Structures of functions: each variable of `.struct_ops` (and `.struct_ops.link`) becomes a map of type struct_ops whose
 * entries are the programs that its members point to, by relocation, and whose contents are the rest of its bytes.
 * Structures of the engine's are compared with the engine's own, member by member, by BTF; the kernel's are only read.
 */

import type { BtfType } from '../btf/btf.js';
import { resolve, sizeOf, typeOf } from '../btf/types.js';
import { signatureMismatch } from '../kfuncs/btf.js';
import { MapFlag } from '../maps/flags.js';
import type { MapSpec, ProgramSpec } from '../spec.js';
import { type OpsType, opsType } from '../struct_ops.js';
import type { NameOfCode } from './btf_maps.js';
import type { BpfObject } from './object.js';
import { type ElfSection, Stt } from './reader.js';

type Struct = Extract<BtfType, { kind: 'struct' | 'union' }>;

/** Sections, and the flags of the maps that they make. */
const SECTIONS: readonly (readonly [name: string, flags: number])[] = [
  ['.struct_ops', 0],
  ['.struct_ops.link', MapFlag.LINK],
];

/** @throws EtherloomError ERR_ELF_STRUCT_OPS, ERR_BTF_TYPE */
export function readStructOps(object: BpfObject, nameOfCode: NameOfCode): MapSpec[] {
  return SECTIONS.flatMap(([name, flags]) => {
    const section = object.section(name);
    return section?.size ? readSection(object, section, flags, nameOfCode) : [];
  });
}

function readSection(
  object: BpfObject,
  section: ElfSection,
  flags: number,
  nameOfCode: NameOfCode,
): MapSpec[] {
  const { btf } = object;
  const datasec = btf?.types[object.datasecId(section.name)];
  if (!btf || datasec?.kind !== 'datasec')
    throw object.fail(
      'ERR_ELF_STRUCT_OPS',
      `${section.name} without BTF`,
      section.offset,
      'BTF: compile with -g',
    );
  return datasec.vars.map(({ type, offset }) => {
    const variable = typeOf(btf, type);
    if (variable.kind !== 'var')
      throw object.fail(
        'ERR_ELF_STRUCT_OPS',
        `${section.name} holds a ${variable.kind}`,
        section.offset,
        'variables',
      );
    return new Variable(object, section, variable.name, variable.type, offset, nameOfCode).read(flags);
  });
}

class Variable {
  readonly struct: Struct;
  readonly size: number;

  constructor(
    private readonly object: BpfObject,
    private readonly section: ElfSection,
    private readonly name: string,
    private readonly typeId: number,
    private readonly at: number,
    private readonly nameOfCode: NameOfCode,
  ) {
    const struct = resolve(object.btf!, typeId);
    if (struct.kind !== 'struct') throw this.fail(`is a ${struct.kind}`, 'a structure');
    this.struct = struct;
    this.size = sizeOf(object.btf!, typeId);
    if (at + this.size > section.size) throw this.fail('lies outside of its section', 'a variable inside');
  }

  read(flags: number): MapSpec {
    const { object, section, at, size } = this;
    const ours = opsType(this.struct.name);
    if (ours) this.compare(ours);
    const contents = section.data.bytes.slice(at, at + size);
    return {
      name: this.name,
      type: 'struct_ops',
      keySize: 4,
      valueSize: size,
      maxEntries: 1,
      flags,
      contents,
      values: this.programs(contents),
      btf: { types: object.btf!, keyId: 0, valueId: this.typeId },
    };
  }

  /** Members that point to functions; their bytes in `contents` are cleared. */
  private programs(contents: Uint8Array): { key: number; name: string }[] {
    const { object, section, at, size } = this;
    const values: { key: number; name: string }[] = [];
    for (const reloc of object.elf.relocs.get(section.index) ?? []) {
      const from = reloc.offset - at;
      if (from < 0 || from >= size) continue;
      const key = this.struct.members.findIndex(m => m.bitOffset === from * 8);
      const addend = reloc.symbol.type === Stt.SECTION ? section.data.u32(reloc.offset, 'initialiser') : 0;
      const name = this.nameOfCode(reloc.symbol, reloc.symbol.value + addend);
      if (key < 0 || name === undefined)
        throw this.fail(
          `has ${reloc.symbol.name || 'an address'} at byte ${from}`,
          'the functions of this file in its members',
        );
      values.push({ key, name });
      contents.fill(0, from, from + 8);
    }
    return values.sort((a, b) => a.key - b.key);
  }

  /** The file was compiled with the structure that the engine has. */
  private compare(ours: OpsType): void {
    const { members } = this.struct;
    if (this.size !== ours.bytes)
      throw this.fail(`has ${this.size} bytes`, `${ours.bytes}: struct_ops.h of this engine`);
    for (const own of ours.members) {
      const theirs = members[own.index];
      const pointer = theirs && resolve(this.object.btf!, theirs.type);
      if (theirs?.name !== own.name || theirs.bitOffset !== own.off * 8 || pointer?.kind !== 'ptr')
        throw this.fail(`has no function ${own.name} at byte ${own.off}`, own.prototype);
      const problem = signatureMismatch(
        this.object.btf!,
        pointer.type,
        own.signature,
        own.prototype,
        i => own.args[i].object.bytes,
      );
      if (problem) throw this.fail(`: ${problem}`, own.prototype);
    }
  }

  private fail(message: string, expected: string): Error {
    return this.object.fail(
      'ERR_ELF_STRUCT_OPS',
      `${this.name} (struct ${this.struct?.name ?? '?'}) ${message}`,
      this.section.offset + this.at,
      expected,
    );
  }
}

/** Tells every program of a structure which member it is. @throws EtherloomError ERR_ELF_STRUCT_OPS */
export function nameMembers(
  object: BpfObject,
  maps: readonly MapSpec[],
  programs: Readonly<Record<string, ProgramSpec>>,
): void {
  for (const map of maps) {
    if (map.type !== 'struct_ops' || !map.btf) continue;
    const struct = resolve(object.btf!, map.btf.valueId) as Struct;
    for (const { key, name } of map.values ?? []) {
      const fail = (message: string, expected: string): Error =>
        object.fail('ERR_ELF_STRUCT_OPS', `${map.name} has ${name}, which ${message}`, 0, expected);
      if (!Object.hasOwn(programs, name))
        throw fail('is no program', 'a global function with SEC("struct_ops/…")');
      const program = programs[name];
      if (program.type !== 'struct_ops')
        throw fail(`stands in section ${program.section}`, 'SEC("struct_ops/…")');
      const member = struct.members[key].name;
      const known = program.structOps;
      if (known && (known.name !== struct.name || known.member !== member))
        throw fail(`is ${known.name}.${known.member} elsewhere`, 'one member for each program');
      program.structOps = { name: struct.name, member };
    }
  }
}
