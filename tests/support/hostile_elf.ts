/**
 * Objects that are well formed and made to be slow: a few tables, each entry of one of which leads to all of another.
 * A loader that walks them so needs the product of their lengths.
 */

const SHT = { PROGBITS: 1, SYMTAB: 2, STRTAB: 3, REL: 9 } as const;
const CODE = 6;
const DATA = 3;
const FUNC = 0x12;
const OBJECT = 0x11;
const HEADER = 64;
const KIND = { INT: 1, PTR: 2, ARRAY: 3, STRUCT: 4, VAR: 14, DATASEC: 15 } as const;
/** `r0 = 0; exit` */
const PROGRAM = Buffer.from('b7000000000000009500000000000000', 'hex');

interface Section {
  name: string;
  type: number;
  data: Buffer;
  flags?: number;
  link?: number;
  info?: number;
}

/** A string table: every name once. */
class Strings {
  #parts = [Buffer.from([0])];
  #at = 1;
  #known = new Map<string, number>();

  add(name: string): number {
    let at = this.#known.get(name);
    if (at === undefined) {
      const bytes = Buffer.from(`${name}\0`);
      at = this.#at;
      this.#known.set(name, at);
      this.#parts.push(bytes);
      this.#at += bytes.length;
    }
    return at;
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** 32-bit words, little-endian. */
const words = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);
/** The same words `n` times. */
const repeated = (n: number, ...values: number[]): Buffer => Buffer.concat(times(n, () => words(...values)));
const times = <T>(n: number, make: (i: number) => T): T[] => Array.from({ length: n }, (_, i) => make(i));
const typeInfo = (kind: number, length = 0): number => (kind << 24) | length;

/** Sections count from 1; the table of their names comes last. */
function elf(sections: readonly Section[]): Buffer {
  const names = new Strings();
  const all: Section[] = [{ name: '', type: 0, data: Buffer.alloc(0) }, ...sections];
  const table: Section = { name: '.shstrtab', type: SHT.STRTAB, data: Buffer.alloc(0) };
  all.push(table);
  const nameAt = all.map(s => (s.name ? names.add(s.name) : 0));
  table.data = names.bytes;
  let at = HEADER;
  const places = all.map(s => {
    const place = at;
    at = (at + s.data.length + 7) & ~7;
    return place;
  });
  const out = Buffer.alloc(at + all.length * HEADER);
  out.write('\x7fELF\x02\x01\x01', 'latin1');
  out.writeUInt16LE(1, 16);
  out.writeUInt16LE(247, 18);
  out.writeBigUInt64LE(BigInt(at), 40);
  out.writeUInt16LE(HEADER, 58);
  out.writeUInt16LE(all.length, 60);
  out.writeUInt16LE(all.length - 1, 62);
  all.forEach((s, i) => {
    s.data.copy(out, places[i]);
    const header = at + i * HEADER;
    words(nameAt[i], s.type, s.flags ?? 0, 0).copy(out, header);
    words(0, 0, places[i], 0, s.data.length, 0, s.link ?? 0, s.info ?? 0).copy(out, header + 16);
  });
  return out;
}

/** `[name, info, section, value, size]` each; the first symbol is the empty one. */
function symbols(list: readonly (readonly [number, number, number, number, number])[]): Buffer {
  const rows = list.map(([name, info, section, value, size]) =>
    words(name, info | (section << 16), value, 0, size, 0),
  );
  return Buffer.concat([Buffer.alloc(24), ...rows]);
}

function btf(types: Buffer, strings: Buffer): Section {
  const header = words(0x0001_eb9f, 24, 0, types.length, types.length, strings.length);
  return { name: '.BTF', type: SHT.PROGBITS, data: Buffer.concat([header, types, strings]) };
}

/** BTF.ext with one table, at `slot` of its header: 0 func_info, 2 CO-RE. */
function ext(slot: number, table: Buffer): Section {
  const fields = [0x0001_eb9f, 32, 0, 0, 0, 0, 0, 0];
  fields[2 + slot * 2 + 1] = table.length;
  return { name: '.BTF.ext', type: SHT.PROGBITS, data: Buffer.concat([words(...fields), table]) };
}

/** Strings, symbols and the program `xdp`: sections 1 to 3. */
const base = (names: Buffer, table: Buffer, code: Buffer = PROGRAM): Section[] => [
  { name: '.strtab', type: SHT.STRTAB, data: names },
  { name: '.symtab', type: SHT.SYMTAB, data: table, link: 1 },
  { name: 'xdp', type: SHT.PROGBITS, data: code, flags: CODE },
];

/** n DATASECs of one name, n variables in that section. */
function datasecs(n: number): Buffer {
  const names = new Strings();
  const strings = new Strings();
  const name = strings.add('.data');
  const types = repeated(n, name, typeInfo(KIND.DATASEC), 8);
  const table = symbols(times(n, i => [names.add(`v${i}`), OBJECT, 4, 0, 8] as const));
  const data: Section = { name: '.data', type: SHT.PROGBITS, data: Buffer.alloc(8), flags: DATA };
  return elf([...base(names.bytes, table), data, btf(types, strings.bytes)]);
}

/** n maps, all of one structure with n members. */
function members(n: number): Buffer {
  const names = new Strings();
  const strings = new Strings();
  const type = strings.add('type');
  const types = Buffer.concat([
    words(strings.add('int'), typeInfo(KIND.INT), 4, 0x0100_0020),
    words(0, typeInfo(KIND.ARRAY), 0, 1, 1, 1),
    words(0, typeInfo(KIND.PTR), 2),
    words(0, typeInfo(KIND.STRUCT, n), 8),
    repeated(n, type, 3, 0),
    words(strings.add('m'), typeInfo(KIND.VAR), 4, 1),
    words(strings.add('.maps'), typeInfo(KIND.DATASEC, n), 8),
    repeated(n, 5, 0, 8),
  ]);
  const table = symbols([[names.add('m'), OBJECT, 4, 0, 8]]);
  const maps: Section = { name: '.maps', type: SHT.PROGBITS, data: Buffer.alloc(8), flags: DATA };
  return elf([...base(names.bytes, table), maps, btf(types, strings.bytes)]);
}

/** n programs, each with a map of its own. */
function users(n: number): Buffer {
  const names = new Strings();
  const code = Buffer.concat(times(n, () => Buffer.concat([words(0x0118, 0, 0, 0), PROGRAM])));
  const maps = times(n, i => [names.add(`m${i}`), OBJECT, 4, i * 20, 20] as const);
  const programs = times(n, i => [names.add(`p${i}`), FUNC, 3, i * 32, 32] as const);
  return elf([
    ...base(names.bytes, symbols([...maps, ...programs]), code),
    {
      name: 'maps',
      type: SHT.PROGBITS,
      data: repeated(n, 2, 4, 4, 1, 0),
      flags: DATA,
    },
    {
      name: '.relxdp',
      type: SHT.REL,
      data: Buffer.concat(times(n, i => words(i * 32, 0, 1, i + 1))),
      info: 3,
    },
  ]);
}

/** n programs that call one function with n func_info records. */
function records(n: number): Buffer {
  const names = new Strings();
  const strings = new Strings();
  const code = repeated(n, 0x1085, 0xffff_ffff, 0x95, 0);
  const programs = times(n, i => [names.add(`p${i}`), FUNC, 3, i * 16, 16] as const);
  const table = symbols([[names.add('callee'), FUNC, 4, 0, 16], ...programs]);
  const infos = Buffer.concat([words(8, strings.add('.text'), n), repeated(n, 0, 1)]);
  return elf([
    ...base(names.bytes, table, code),
    { name: '.text', type: SHT.PROGBITS, data: PROGRAM, flags: CODE },
    { name: '.relxdp', type: SHT.REL, data: Buffer.concat(times(n, i => words(i * 16, 0, 10, 1))), info: 3 },
    btf(words(strings.add('int'), typeInfo(KIND.INT), 4, 0x0100_0020), strings.bytes),
    ext(0, infos),
  ]);
}

/** n outer and n inner maps of iproute2's form, all of one id. */
function inners(n: number): Buffer {
  const names = new Strings();
  const outer = times(n, () => words(12, 4, 4, 1, 0, 1, 0, 2, 0xffff_ffff));
  const inner = times(n, i => words(2, 4, 4, 1, 0, 2, 0, 0, i));
  const table = symbols(times(2 * n, i => [names.add(`m${i}`), OBJECT, 4, i * 36, 36] as const));
  const maps: Section = {
    name: 'maps',
    type: SHT.PROGBITS,
    data: Buffer.concat([...outer, ...inner]),
    flags: DATA,
  };
  return elf([...base(names.bytes, table), maps]);
}

/** n CO-RE records with a path of 2,000 steps through a structure that contains itself. */
function paths(n: number): Buffer {
  const strings = new Strings();
  const path = strings.add(times(2000, () => '0').join(':'));
  const table = Buffer.concat([words(16, strings.add('xdp'), n), repeated(n, 0, 1, path, 0)]);
  const types = words(0, typeInfo(KIND.STRUCT, 1), 8, 0, 1, 0);
  return elf([...base(Buffer.alloc(1), Buffer.alloc(24)), btf(types, strings.bytes), ext(2, table)]);
}

/** n symbols, each with 4 KB of name that all others share. */
function overlaps(n: number): Buffer {
  const block = Buffer.concat([Buffer.alloc(4094, 'a'), Buffer.from([0])]);
  const names = Buffer.concat([Buffer.from([0]), ...times(Math.ceil(n / 4000) + 1, () => block)]);
  return elf(base(names, symbols(times(n, i => [1 + i, OBJECT, 3, 0, 8] as const))));
}

/** A map whose value has n members of a nameless type that takes 16^5 members to write. */
function nested(n: number): Buffer {
  const names = new Strings();
  const strings = new Strings();
  const x = strings.add('x');
  const types: Buffer[] = [words(strings.add('int'), typeInfo(KIND.INT), 4, 0x0100_0020)];
  const add = (type: Buffer): number => types.push(type);
  let last = 1;
  for (let depth = 0; depth < 5; depth++)
    last = add(Buffer.concat([words(0, typeInfo(KIND.STRUCT, 16), 4), repeated(16, x, last, 0)]));
  const value = add(
    Buffer.concat([words(strings.add('S'), typeInfo(KIND.STRUCT, n), 4), repeated(n, x, last, 0)]),
  );
  const toValue = add(words(0, typeInfo(KIND.PTR), value));
  const one = add(words(0, typeInfo(KIND.PTR), add(words(0, typeInfo(KIND.ARRAY), 0, 1, 1, 1))));
  const map = add(
    words(0, typeInfo(KIND.STRUCT, 2), 16, strings.add('type'), one, 0, strings.add('value'), toValue, 64),
  );
  const variable = add(words(strings.add('m'), typeInfo(KIND.VAR), map, 1));
  add(words(strings.add('.maps'), typeInfo(KIND.DATASEC, 1), 16, variable, 0, 16));
  const table = symbols([[names.add('m'), OBJECT, 4, 0, 16]]);
  const maps: Section = { name: '.maps', type: SHT.PROGBITS, data: Buffer.alloc(16), flags: DATA };
  return elf([...base(names.bytes, table), maps, btf(Buffer.concat(types), strings.bytes)]);
}

export interface HostileElf {
  what: string;
  bytes: Buffer;
  /** Code of the refusal; without it the object loads. */
  code?: string;
}

/** At these lengths each took seconds to minutes, or memory without end, of a loader without bounds. */
export const hostileElfs = (): HostileElf[] => [
  { what: 'DATASECs of one name', bytes: datasecs(20_000) },
  { what: 'maps of one structure', bytes: members(20_000), code: 'ERR_ELF_MAP' },
  { what: 'programs with maps', bytes: users(8_000) },
  { what: 'records of one function', bytes: records(20_000) },
  { what: 'inner maps of one id', bytes: inners(5_000), code: 'ERR_ELF_MAP' },
  { what: 'long access paths', bytes: paths(50_000), code: 'ERR_ELF_CORE' },
  { what: 'names that overlap', bytes: overlaps(200_000), code: 'ERR_ELF_TRUNCATED' },
  { what: 'a nameless type in every member', bytes: nested(20_000) },
];
