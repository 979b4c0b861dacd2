/**
 * Maps of the `.maps` section: each variable is a structure whose *member types* are the definition
 * (libbpf's `__uint(name, N)` = pointer to array of N, `__type(name, T)` = pointer to T, `__array(values, T)`).
 * Initialisers of `values` come as relocations.
 */
import type { BtfMember, BtfType } from '../btf/btf.js';
import { resolve, sizeOf, typeOf } from '../btf/types.js';
import { mapTypeName } from '../map_types.js';
import type { MapSpec } from '../spec.js';
import type { BpfObject } from './object.js';
import { type ElfSection, type ElfSymbol, Shf, Stt } from './reader.js';

/** Bytes between two initialisers: a pointer. */
const POINTER = 8;
/** Keys of a prog_array or map of maps are array indices. */
const INDEX_BYTES = 4;

type Struct = Extract<BtfType, { kind: 'struct' | 'union' }>;

export interface BtfMaps {
  section: ElfSection | undefined;
  /** By offset in `.maps`. */
  at: Map<number, MapSpec>;
}

/** What an initialiser points at: a map of this file, or code that the linker names. */
export type NameOfCode = (symbol: ElfSymbol, offset: number) => string | undefined;

/** @throws EtherloomError ERR_ELF_MAP, ERR_BTF_TYPE */
export function readBtfMaps(object: BpfObject, nameOfCode: NameOfCode): BtfMaps {
  const section = object.section('.maps');
  const at = new Map<number, MapSpec>();
  if (!section || section.size === 0) return { section, at };
  const { btf } = object;
  const datasec = btf?.types[object.datasecId('.maps')];
  if (!btf || datasec?.kind !== 'datasec')
    throw object.fail('ERR_ELF_MAP', '.maps without BTF', section.offset, 'BTF of the maps: compile with -g');

  const symbols = new Map(object.symbolsIn(section).map(s => [s.name, s]));
  const tables: { spec: MapSpec; start: number; end: number }[] = [];
  for (const entry of datasec.vars) {
    const variable = typeOf(btf, entry.type);
    if (variable.kind !== 'var')
      throw object.fail('ERR_ELF_MAP', `.maps holds a ${variable.kind}`, section.offset, 'variables');
    const symbol = symbols.get(variable.name);
    if (!symbol)
      throw object.fail(
        'ERR_ELF_MAP',
        `map ${variable.name} has no symbol`,
        section.offset,
        'a symbol in .maps',
      );
    const reader = new Definition(object, section, variable.name, symbol.value);
    const spec = reader.read(variable.type);
    at.set(symbol.value, spec);
    if (reader.valuesAt !== undefined)
      tables.push({
        spec,
        start: symbol.value + reader.valuesAt,
        end: symbol.value + Math.max(symbol.size, entry.size),
      });
  }
  initialise(object, section, tables, at, nameOfCode);
  return { section, at };
}

/** Reads one definition; inner ones through `values` of an outer map. */
class Definition {
  /** Offset of `values` in the variable when it has initialisers. */
  valuesAt: number | undefined;

  constructor(
    private readonly object: BpfObject,
    private readonly section: ElfSection,
    private readonly name: string,
    private readonly at: number,
    private readonly isInner = false,
  ) {}

  read(typeId: number): MapSpec {
    const btf = this.object.btf!;
    const struct = resolve(btf, typeId);
    if (struct.kind !== 'struct') throw this.fail(`is a ${struct.kind}`, 'a structure');
    const numbers = new Map<string, number>();
    let keyId = 0;
    let valueId = 0;
    let inner: MapSpec | undefined;
    let programs = false;
    const seen = new Set<string>();
    for (const member of struct.members) {
      // Also what keeps a definition short: one structure of thousands of members may be the type of thousands of maps.
      if (seen.has(member.name)) throw this.fail(`has two members "${member.name}"`, 'each member once');
      seen.add(member.name);
      switch (member.name) {
        case 'key':
          keyId = this.pointee(member);
          break;
        case 'value':
          valueId = this.pointee(member);
          break;
        case 'values': {
          const element = this.element(member, struct);
          if (element.kind === 'func_proto') programs = true;
          else inner = this.innerMap(member);
          this.valuesAt = member.bitOffset / 8;
          break;
        }
        case 'type':
        case 'max_entries':
        case 'map_flags':
        case 'map_extra':
        case 'key_size':
        case 'value_size':
        case 'pinning':
        case 'numa_node':
          numbers.set(member.name, this.number(member));
          break;
        default:
          throw this.fail(
            `has a member "${member.name}"`,
            'type, key, value, key_size, value_size, max_entries, map_flags, map_extra, pinning, numa_node or values',
          );
      }
    }
    const type = mapTypeName(numbers.get('type') ?? 0);
    if (!type) throw this.fail(`has type ${numbers.get('type') ?? 'none'}`, 'a BPF_MAP_TYPE_*');
    const holdsObjects = inner !== undefined || programs;
    if (inner && type !== 'array_of_maps' && type !== 'hash_of_maps')
      throw this.fail(`of type ${type} has inner maps`, 'array_of_maps or hash_of_maps');
    if (programs && type !== 'prog_array')
      throw this.fail(`of type ${type} has programs as values`, 'prog_array');
    const spec: MapSpec = {
      name: this.name,
      type,
      keySize: this.size('key', keyId, numbers.get('key_size')) ?? (holdsObjects ? INDEX_BYTES : 0),
      valueSize: this.size('value', valueId, numbers.get('value_size')) ?? (holdsObjects ? INDEX_BYTES : 0),
      maxEntries: numbers.get('max_entries') ?? 0,
      flags: numbers.get('map_flags') ?? 0,
    };
    const extra = numbers.get('map_extra');
    if (extra) spec.extra = extra;
    if (inner) spec.inner = inner;
    if (keyId || valueId) spec.btf = { types: btf, keyId, valueId };
    if (numbers.get('pinning')) spec.pinning = 'by_name';
    return spec;
  }

  private innerMap(values: BtfMember): MapSpec {
    if (this.isInner) throw this.fail('nests maps twice', 'one level of inner maps');
    const btf = this.object.btf!;
    const array = resolve(btf, values.type) as Extract<BtfType, { kind: 'array' }>;
    const pointer = resolve(btf, array.type) as Extract<BtfType, { kind: 'ptr' }>;
    return new Definition(this.object, this.section, `${this.name}.inner`, this.at, true).read(pointer.type);
  }

  /** `values` must be a flexible array of pointers at the end. */
  private element(member: BtfMember, struct: Struct): BtfType {
    const btf = this.object.btf!;
    const array = resolve(btf, member.type);
    const pointer = array.kind === 'array' ? resolve(btf, array.type) : array;
    const target = pointer.kind === 'ptr' ? resolve(btf, pointer.type) : pointer;
    const last = struct.members[struct.members.length - 1] === member;
    if (
      !last ||
      array.kind !== 'array' ||
      pointer.kind !== 'ptr' ||
      !['struct', 'func_proto'].includes(target.kind)
    )
      throw this.fail(
        'has values of another form',
        '__array(values, struct … or a function) as the last member',
      );
    return target;
  }

  /** `int (*name)[N]`, or an enumeration of one value (`__ulong`). */
  private number(member: BtfMember): number {
    const btf = this.object.btf!;
    const type = resolve(btf, member.type);
    if (type.kind === 'enum' && type.values.length === 1) return Number(type.values[0].value);
    const array = type.kind === 'ptr' ? resolve(btf, type.type) : type;
    if (type.kind !== 'ptr' || array.kind !== 'array')
      throw this.fail(`has "${member.name}" as a ${type.kind}`, `__uint(${member.name}, N)`);
    return array.count;
  }

  private pointee(member: BtfMember): number {
    const type = resolve(this.object.btf!, member.type);
    if (type.kind !== 'ptr')
      throw this.fail(`has "${member.name}" as a ${type.kind}`, `__type(${member.name}, T)`);
    return type.type;
  }

  private size(what: string, typeId: number, given: number | undefined): number | undefined {
    if (!typeId) return given;
    const size = sizeOf(this.object.btf!, typeId);
    if (given !== undefined && given !== size)
      throw this.fail(
        `has a ${what} of ${size} bytes and ${what}_size ${given}`,
        'one of them, or equal ones',
      );
    return size;
  }

  private fail(message: string, expected: string) {
    return this.object.fail(
      'ERR_ELF_MAP',
      `map ${this.name} ${message}`,
      this.section.offset + Math.min(this.at, this.section.size),
      expected,
    );
  }
}

/** Relocations inside `.maps` fill the slots of `values`. */
function initialise(
  object: BpfObject,
  section: ElfSection,
  tables: readonly { spec: MapSpec; start: number; end: number }[],
  maps: ReadonlyMap<number, MapSpec>,
  nameOfCode: NameOfCode,
): void {
  const ordered = [...tables].sort((a, b) => a.start - b.start);
  let at = 0;
  for (const reloc of object.elf.relocs.get(section.index) ?? []) {
    // Both are in order of their offset.
    while (at < ordered.length && ordered[at].end <= reloc.offset) at++;
    const table = ordered[at]?.start <= reloc.offset ? ordered[at] : undefined;
    if (!table || (reloc.offset - table.start) % POINTER !== 0)
      throw object.fail(
        'ERR_ELF_MAP',
        `relocation at ${reloc.offset} of .maps against ${reloc.symbol.name}`,
        reloc.at,
        'a slot of values',
      );
    const { symbol } = reloc;
    // A static map or program is named by its section; the offset then stands in the slot.
    const addend = symbol.type === Stt.SECTION ? section.data.u32(reloc.offset, 'initialiser') : 0;
    const offset = symbol.value + addend;
    const target = object.elf.sections[symbol.section];
    const name =
      symbol.section === section.index
        ? maps.get(offset)?.name
        : target && target.flags & Shf.EXECINSTR
          ? nameOfCode(symbol, offset)
          : undefined;
    if (name === undefined)
      throw object.fail(
        'ERR_ELF_MAP',
        `map ${table.spec.name} is initialised with ${symbol.name || 'nothing'}`,
        reloc.at,
        'a map or program of this file',
      );
    const values = (table.spec.values ??= []);
    values.push({ key: (reloc.offset - table.start) / POINTER, name });
  }
  for (const { spec } of tables) spec.values?.sort((a, b) => a.key - b.key);
}
