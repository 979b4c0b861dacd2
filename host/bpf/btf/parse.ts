/**
 * BTF parser (Documentation/bpf/btf.rst of the kernel): bytes of a `.BTF` section → Btf.
 * Called by the object loader. Promises that every type id in the result exists and every name was inside the strings.
 * Cycles are legal in BTF (a list node points to itself); the walkers of types.ts bound their depth.
 */
import { ByteReader } from '../bytes.js';
import type { Btf, BtfMember, BtfType } from './btf.js';

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
/** BTF_MAX_TYPE of the kernel. */
const MAX_TYPES = 0x000f_ffff;

const LINKAGE = ['static', 'global', 'extern'] as const;
const KINDS = [
  '', 'int', 'ptr', 'array', 'struct', 'union', 'enum', 'fwd', 'typedef', 'volatile', 'const',
  'restrict', 'func', 'func_proto', 'var', 'datasec', 'float', 'decl_tag', 'type_tag', 'enum64',
] as const; // biome-ignore format: kind numbers 1–19 in order

/** What BTF.ext needs beside the types: the string table that both sections share. */
export interface ParsedBtf extends Btf {
  /** NUL-terminated string at `offset`; a source line that is too long is cut. */
  string(offset: number): string;
}

/**
 * @param base offset of the section in `file`, for errors
 * @throws EtherloomError ERR_BTF_HEADER, ERR_BTF_TRUNCATED, ERR_BTF_STRING, ERR_BTF_KIND, ERR_BTF_TYPE
 */
export function parseBtf(bytes: Uint8Array, file: string, base = 0): ParsedBtf {
  const all = new ByteReader(bytes, file, 'ERR_BTF_TRUNCATED', base);
  const magic = all.u16(0, 'BTF magic');
  if (magic !== MAGIC)
    throw all.fail('ERR_BTF_HEADER', `BTF magic ${magic.toString(16)}`, 0, 'eb9f, little-endian');
  const version = all.u8(2, 'BTF version');
  if (version !== 1) throw all.fail('ERR_BTF_HEADER', `BTF version ${version}`, 2, 'version 1');
  const headerLength = all.u32(4, 'BTF header length');
  if (headerLength < HEADER_BYTES)
    throw all.fail('ERR_BTF_HEADER', `BTF header of ${headerLength} bytes`, 4, `at least ${HEADER_BYTES}`);
  all.need(0, HEADER_BYTES, 'BTF header');
  const types = all.part(headerLength + all.u32(8, 'type offset'), all.u32(12, 'type length'), 'BTF types');
  const strings = all.part(
    headerLength + all.u32(16, 'string offset'),
    all.u32(20, 'string length'),
    'BTF strings',
  );
  if (strings.length === 0 || strings.bytes[0] !== 0 || strings.bytes[strings.length - 1] !== 0)
    throw strings.fail('ERR_BTF_STRING', 'BTF strings', 0, 'a table that starts and ends with NUL');
  const parser = new TypeParser(types, strings);
  return { types: parser.run(), string: offset => parser.text(offset) };
}

class TypeParser {
  private readonly out: BtfType[] = [{ kind: 'void' }];
  /** Offset of every type record, to name it in errors. */
  private readonly offsets: number[] = [0];
  private readonly names = new Map<number, string>();
  private at = 0;

  constructor(
    private readonly types: ByteReader,
    private readonly strings: ByteReader,
  ) {}

  run(): BtfType[] {
    while (this.at < this.types.length) {
      if (this.out.length > MAX_TYPES)
        throw this.types.fail('ERR_BTF_TYPE', 'too many types', this.at, `at most ${MAX_TYPES}`);
      this.offsets.push(this.at);
      this.out.push(this.one());
    }
    this.out.forEach((type, id) => {
      for (const ref of references(type))
        if (ref >= this.out.length)
          throw this.types.fail(
            'ERR_BTF_TYPE',
            `type ${id} (${type.kind}) refers to type ${ref}`,
            this.offsets[id],
            `an id below ${this.out.length}`,
          );
    });
    return this.out;
  }

  text(offset: number): string {
    let name = this.names.get(offset);
    if (name === undefined) {
      if (offset >= this.strings.length)
        throw this.strings.fail(
          'ERR_BTF_STRING',
          `string ${offset}`,
          offset,
          `an offset below ${this.strings.length}`,
        );
      name = this.strings.string(offset, 'BTF string', true);
      this.names.set(offset, name);
    }
    return name;
  }

  private u32(what: string): number {
    const value = this.types.u32(this.at, what);
    this.at += 4;
    return value;
  }

  /** Reads `count` records of `bytes` each; the check comes first, so a hostile count costs nothing. */
  private list<T>(count: number, bytes: number, what: string, read: () => T): T[] {
    this.types.need(this.at, count * bytes, what);
    return Array.from({ length: count }, read);
  }

  private one(): BtfType {
    const start = this.at;
    const name = this.text(this.u32('type name'));
    const info = this.u32('type info');
    const sizeOrType = this.u32('type size');
    const count = info & 0xffff;
    const flag = info >>> 31 === 1;
    const kind = KINDS[(info >>> 24) & 31];
    switch (kind) {
      case 'int': {
        const data = this.u32('int encoding');
        const encoding = (data >>> 24) & 15;
        const bits = data & 0xff;
        if (bits === 0 || bits > 128 || sizeOrType === 0 || sizeOrType > 16 || bits > sizeOrType * 8)
          throw this.types.fail(
            'ERR_BTF_TYPE',
            `int of ${bits} bits in ${sizeOrType} bytes`,
            start,
            '1–16 bytes',
          );
        return {
          kind,
          name,
          size: sizeOrType,
          bits,
          bitOffset: (data >>> 16) & 0xff,
          signed: (encoding & 1) !== 0,
          char: (encoding & 2) !== 0,
          bool: (encoding & 4) !== 0,
        };
      }
      case 'ptr':
        return { kind, type: sizeOrType };
      case 'array': {
        const type = this.u32('array element type');
        const indexType = this.u32('array index type');
        return { kind, type, indexType, count: this.u32('array length') };
      }
      case 'struct':
      case 'union':
        return {
          kind,
          name,
          size: sizeOrType,
          members: this.list(count, 12, 'members', () => this.member(flag)),
        };
      case 'enum': {
        const values = this.list(count, 8, 'enum values', () => {
          const label = this.text(this.u32('enum label'));
          const value = this.u32('enum value');
          return { name: label, value: BigInt(flag ? value | 0 : value) };
        });
        return { kind, name, size: this.enumSize(sizeOrType, start), signed: flag, values };
      }
      case 'enum64': {
        const values = this.list(count, 12, 'enum values', () => {
          const label = this.text(this.u32('enum label'));
          const low = BigInt(this.u32('enum value'));
          const value = (BigInt(this.u32('enum value')) << 32n) | low;
          return { name: label, value: flag ? BigInt.asIntN(64, value) : value };
        });
        return { kind: 'enum', name, size: this.enumSize(sizeOrType, start), signed: flag, values };
      }
      case 'fwd':
        return { kind, name, union: flag };
      case 'typedef':
      case 'volatile':
      case 'const':
      case 'restrict':
        return { kind, name, type: sizeOrType };
      case 'type_tag':
        return { kind, name, type: sizeOrType, component: -1 };
      case 'decl_tag':
        return { kind, name, type: sizeOrType, component: this.u32('tag component') | 0 };
      case 'func':
        return { kind, name, type: sizeOrType, linkage: this.linkage(count, start) };
      case 'func_proto':
        return {
          kind,
          ret: sizeOrType,
          params: this.list(count, 8, 'parameters', () => {
            const param = this.text(this.u32('parameter name'));
            return { name: param, type: this.u32('parameter type') };
          }),
        };
      case 'var':
        return { kind, name, type: sizeOrType, linkage: this.linkage(this.u32('variable linkage'), start) };
      case 'datasec':
        return {
          kind,
          name,
          size: sizeOrType,
          vars: this.list(count, 12, 'variables', () => {
            const type = this.u32('variable type');
            const offset = this.u32('variable offset');
            return { type, offset, size: this.u32('variable size') };
          }),
        };
      case 'float':
        if (![2, 4, 8, 12, 16].includes(sizeOrType))
          throw this.types.fail('ERR_BTF_TYPE', `float of ${sizeOrType} bytes`, start, '2, 4, 8, 12 or 16');
        return { kind, name, size: sizeOrType };
      default:
        throw this.types.fail(
          'ERR_BTF_KIND',
          `type ${this.out.length} has kind ${(info >>> 24) & 31}`,
          start,
          '1–19',
        );
    }
  }

  private member(bitfields: boolean): BtfMember {
    const name = this.text(this.u32('member name'));
    const type = this.u32('member type');
    const offset = this.u32('member offset');
    return bitfields
      ? { name, type, bitOffset: offset & 0xff_ffff, bitSize: offset >>> 24 }
      : { name, type, bitOffset: offset, bitSize: 0 };
  }

  private enumSize(size: number, start: number): number {
    if (![1, 2, 4, 8].includes(size))
      throw this.types.fail('ERR_BTF_TYPE', `enum of ${size} bytes`, start, '1, 2, 4 or 8');
    return size;
  }

  private linkage(value: number, start: number): (typeof LINKAGE)[number] {
    const linkage = LINKAGE[value];
    if (!linkage) throw this.types.fail('ERR_BTF_TYPE', `linkage ${value}`, start, '0, 1 or 2');
    return linkage;
  }
}

/** Type ids that a type names. */
export function references(type: BtfType): number[] {
  switch (type.kind) {
    case 'ptr':
    case 'typedef':
    case 'volatile':
    case 'const':
    case 'restrict':
    case 'type_tag':
    case 'decl_tag':
    case 'func':
    case 'var':
      return [type.type];
    case 'array':
      return [type.type, type.indexType];
    case 'struct':
    case 'union':
      return type.members.map(m => m.type);
    case 'func_proto':
      return [type.ret, ...type.params.map(p => p.type)];
    case 'datasec':
      return type.vars.map(v => v.type);
    default:
      return [];
  }
}
