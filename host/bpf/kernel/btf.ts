/**
 * BTF for the kernel: the binary form of a type graph, as bpf(BPF_BTF_LOAD) takes it.
 * Written from the parsed model rather than passed through, because clang's bytes need mending anyway (section
 * sizes are filled in by the linker) and hand-written programs with spin locks or callbacks have no bytes at all.
 */
import type { Btf, BtfType } from '../btf/btf.js';
import { usesObjects } from '../objects/fields.js';
import { BTF_LOAD, bpfOrThrow, Cmd } from './attr.js';

const MAGIC = 0xeb9f;
const HEADER_BYTES = 24;
/** BTF_KIND_*, where the model's name says which. */
const KIND = {
  int: 1,
  ptr: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  fwd: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  func: 12,
  func_proto: 13,
  var: 14,
  datasec: 15,
  float: 16,
  decl_tag: 17,
  type_tag: 18,
} as const;
const KIND_ENUM64 = 19;
const LINKAGE = { static: 0, global: 1, extern: 1 } as const;

/** String section under construction: offset by text. */
class Strings {
  private readonly at = new Map<string, number>([['', 0]]);
  private readonly parts: Uint8Array[] = [new Uint8Array(1)];
  length = 1;

  add(text: string): number {
    let at = this.at.get(text);
    if (at === undefined) {
      const bytes = new TextEncoder().encode(`${text}\0`);
      at = this.length;
      this.at.set(text, at);
      this.parts.push(bytes);
      this.length += bytes.length;
    }
    return at;
  }

  bytes(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** One type as words. */
function encodeType(type: BtfType, str: (text: string) => number, placed: ReadonlySet<BtfType>): number[] {
  const head = (kind: number, name: string, third: number, vlen = 0, flag = false) => [
    str(name),
    ((flag ? 0x8000_0000 : 0) | (kind << 24) | vlen) >>> 0,
    third >>> 0,
  ];
  switch (type.kind) {
    case 'void':
      return [];
    case 'int': {
      const encoding = (type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0);
      return [...head(KIND.int, type.name, type.size), (encoding << 24) | (type.bitOffset << 16) | type.bits];
    }
    case 'ptr':
      return head(KIND.ptr, '', type.type);
    case 'array':
      return [...head(KIND.array, '', 0), type.type, type.indexType, type.count];
    case 'struct':
    case 'union': {
      const bitfields = type.members.some(m => m.bitSize > 0);
      const members = type.members.flatMap(m => [
        str(m.name),
        m.type,
        bitfields ? ((m.bitSize << 24) | m.bitOffset) >>> 0 : m.bitOffset,
      ]);
      return [...head(KIND[type.kind], type.name, type.size, type.members.length, bitfields), ...members];
    }
    case 'enum': {
      const wide = type.size === 8;
      const values = type.values.flatMap(v => {
        const low = Number(BigInt.asUintN(32, v.value));
        return wide ? [str(v.name), low, Number(BigInt.asUintN(32, v.value >> 32n))] : [str(v.name), low];
      });
      const kind = wide ? KIND_ENUM64 : KIND.enum;
      return [...head(kind, type.name, type.size, type.values.length, type.signed), ...values];
    }
    case 'fwd':
      return head(KIND.fwd, type.name, 0, 0, type.union);
    case 'typedef':
    case 'volatile':
    case 'const':
    case 'restrict':
      return head(KIND[type.kind], type.kind === 'typedef' ? type.name : '', type.type);
    case 'type_tag':
      return head(KIND.type_tag, type.name, type.type);
    case 'decl_tag':
      return [...head(KIND.decl_tag, type.name, type.type), type.component >>> 0];
    case 'func':
      // Declared only (kfuncs): clang leaves out the names of its arguments, which the kernel wants.
      if (type.linkage === 'extern') return [...head(KIND.int, 'variable', 1), 8];
      return head(KIND.func, type.name, type.type, LINKAGE[type.linkage]);
    case 'func_proto':
      return [
        ...head(KIND.func_proto, '', type.ret, type.params.length),
        ...type.params.flatMap(p => [str(p.name), p.type]),
      ];
    // Variables and sections describe the object file, whose sizes and offsets the kernel would check against a
    // linked image. But for those that hold lists or trees nothing that we load refers to them: placeholders keep the
    // numbering, as libbpf's sanitizer does.
    case 'var':
      if (placed.has(type)) return [...head(KIND.var, type.name, type.type), LINKAGE[type.linkage]];
      return [...head(KIND.int, 'variable', 1), 8];
    case 'datasec':
      if (placed.has(type))
        return [
          ...head(KIND.datasec, type.name, type.size, type.vars.length),
          ...type.vars.flatMap(v => [v.type, v.offset, v.size]),
        ];
      return head(KIND.struct, '', 0);
    case 'float':
      return head(KIND.float, type.name, type.size);
  }
}

export interface EncodedBtf {
  bytes: Uint8Array;
  /** Offset in the string section of a text that was passed in `texts`. */
  offsetOf(text: string): number;
}

/** Sections that are values of maps with lists or trees, and their variables: the kernel looks for those there. */
function placedTypes(btf: Btf): ReadonlySet<BtfType> {
  const placed = new Set<BtfType>();
  if (!usesObjects(btf)) return placed;
  for (const type of btf.types) {
    const isData = type.kind === 'datasec' && /^\.(data|bss)/.test(type.name);
    if (!isData || !type.vars.every(v => v.size > 0) || type.size === 0) continue;
    placed.add(type);
    for (const v of type.vars) placed.add(btf.types[v.type]);
  }
  return placed;
}

/** Encodes a type graph; `texts` are further strings it must hold (file names and source lines of line_info). */
export function encodeBtf(btf: Btf, texts: Iterable<string> = []): EncodedBtf {
  const strings = new Strings();
  const placed = placedTypes(btf);
  const words = btf.types.slice(1).flatMap(type => encodeType(type, text => strings.add(text), placed));
  for (const text of texts) strings.add(text);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16LE(MAGIC, 0);
  header.writeUInt8(1, 2); // version
  header.writeUInt32LE(HEADER_BYTES, 4);
  header.writeUInt32LE(0, 8); // types start right after the header
  header.writeUInt32LE(words.length * 4, 12);
  header.writeUInt32LE(words.length * 4, 16);
  header.writeUInt32LE(strings.length, 20);
  const types = Buffer.from(Uint32Array.from(words).buffer);
  return {
    bytes: Buffer.concat([header, types, strings.bytes()]),
    offsetOf: text => strings.add(text),
  };
}

/**
 * Loads BTF; the caller closes the descriptor (maps and programs made with it hold their own reference).
 * @throws EtherloomError ERR_KERNEL_<ERRNO>
 */
export function loadBtf(btf: EncodedBtf): number {
  return bpfOrThrow('the type information (BTF)', Cmd.BTF_LOAD, BTF_LOAD, {
    btf: btf.bytes,
    size: btf.bytes.length,
  }).rc;
}
