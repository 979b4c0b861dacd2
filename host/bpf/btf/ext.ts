/**
 * BTF.ext parser: function, line and CO-RE relocation records of an object, by code section.
 * Called by the object loader, which moves the records along when it links.
 */
import { ByteReader } from '../bytes.js';
import type { ParsedBtf } from './parse.js';

/** Offsets are bytes from the start of the code section. */
export interface ExtFunc {
  offset: number;
  typeId: number;
}

export interface ExtLine {
  offset: number;
  file: string;
  line: number;
  column: number;
  text: string;
}

export interface ExtCore {
  offset: number;
  typeId: number;
  /** `0:1:2`: indices of the access path, or a value number for enums. */
  access: string;
  /** enum bpf_core_relo_kind. */
  kind: number;
  /** Offset of the record in the file, for errors. */
  at: number;
}

/** Keys are names of code sections. */
export interface BtfExt {
  funcs: ReadonlyMap<string, ExtFunc[]>;
  lines: ReadonlyMap<string, ExtLine[]>;
  core: ReadonlyMap<string, ExtCore[]>;
}

/** @throws EtherloomError ERR_BTF_EXT_HEADER, ERR_BTF_EXT_TRUNCATED, ERR_BTF_EXT_RECORD, ERR_BTF_STRING */
export function parseBtfExt(bytes: Uint8Array, btf: ParsedBtf, file: string, base = 0): BtfExt {
  const all = new ByteReader(bytes, file, 'ERR_BTF_EXT_TRUNCATED', base);
  const magic = all.u16(0, 'BTF.ext magic');
  if (magic !== 0xeb9f || all.u8(2, 'BTF.ext version') !== 1)
    throw all.fail(
      'ERR_BTF_EXT_HEADER',
      `BTF.ext magic ${magic.toString(16)}`,
      0,
      'eb9f, version 1, little-endian',
    );
  const header = all.u32(4, 'BTF.ext header length');
  if (header < 24) throw all.fail('ERR_BTF_EXT_HEADER', `header of ${header} bytes`, 4, 'at least 24');

  const table = <T extends { offset: number }>(
    at: number,
    least: number,
    what: string,
    read: (r: ByteReader, at: number) => T,
  ) => {
    // Headers of 24 bytes end before the CO-RE table.
    if (at + 8 > header) return new Map<string, T[]>();
    const size = all.u32(at + 4, `${what} length`);
    if (size === 0) return new Map<string, T[]>();
    const part = all.part(header + all.u32(at, `${what} offset`), size, `${what} table`);
    return records(part, least, what, btf, read);
  };
  return {
    funcs: table<ExtFunc>(8, 8, 'func_info', (r, at) => ({
      offset: r.u32(at, 'func_info'),
      typeId: r.u32(at + 4, 'func_info'),
    })),
    lines: table<ExtLine>(16, 16, 'line_info', (r, at) => {
      const position = r.u32(at + 12, 'line_info');
      return {
        offset: r.u32(at, 'line_info'),
        file: btf.string(r.u32(at + 4, 'line_info')),
        line: position >>> 10,
        column: position & 0x3ff,
        text: btf.string(r.u32(at + 8, 'line_info')),
      };
    }),
    core: table<ExtCore>(24, 16, 'core_relo', (r, at) => ({
      offset: r.u32(at, 'core_relo'),
      typeId: r.u32(at + 4, 'core_relo'),
      access: btf.string(r.u32(at + 8, 'core_relo')),
      kind: r.u32(at + 12, 'core_relo'),
      at: r.base + at,
    })),
  };
}

function records<T extends { offset: number }>(
  part: ByteReader,
  least: number,
  what: string,
  btf: ParsedBtf,
  read: (r: ByteReader, at: number) => T,
): Map<string, T[]> {
  const bySection = new Map<string, T[]>();
  const recordBytes = part.u32(0, `${what} record size`);
  // Newer compilers may append fields: larger records are fine.
  if (recordBytes < least || recordBytes % 4 !== 0)
    throw part.fail('ERR_BTF_EXT_RECORD', `${what} records of ${recordBytes} bytes`, 0, `at least ${least}`);
  for (let at = 4; at < part.length; ) {
    const section = btf.string(part.u32(at, `${what} section`));
    const count = part.u32(at + 4, `${what} count`);
    at += 8;
    part.need(at, count * recordBytes, `${what} records`);
    const list = bySection.get(section) ?? [];
    bySection.set(section, list);
    for (let i = 0; i < count; i++, at += recordBytes) list.push(read(part, at));
  }
  for (const list of bySection.values()) list.sort((a, b) => a.offset - b.offset);
  return bySection;
}
