/**
 * The JSON form of a program, both ways: what `etherloom verify|test-run|run SPEC.json` reads.
 *   {"type":"xdp","insns":"hex, 8 bytes each","maps":{"3":{"type":"hash","key":8,"value":48,"max":1,"flags":0}}}
 * An LDDW with src 1 or 2 names a key of `maps` in its imm. Members that are not known are ignored; optional ones are
 * name, license, section, flags, funcs, lines, kfuncs, and in maps name, extra, inner, contents, frozen, values, pinning.
 */
import { EtherloomError } from '../errors.js';
import { setOwn } from './bytes.js';
import { decodeInsns, encodeInsns, type Insn, OP_LDDW, Pseudo } from './insn.js';
import { mapTypeName, mapTypeNames, mapTypeNumber } from './map_types.js';
import type { FuncInfo, LineInfo, MapSpec, MapTypeName, ProgramSpec, ProgramType } from './spec.js';

const PROGRAM_TYPES: Readonly<Record<string, ProgramType>> = {
  xdp: 'xdp',
  tc: 'tc',
  socket_filter: 'socket_filter',
  unspec: 'unspec',
  // The kernel's names and numbers (enum bpf_prog_type) for the same three.
  sched_cls: 'tc',
  sched_act: 'tc',
  classifier: 'tc',
  action: 'tc',
  socket: 'socket_filter',
  1: 'socket_filter',
  3: 'tc',
  4: 'tc',
  6: 'xdp',
};
const U32_MAX = 0xffff_ffff;
const I32_MAX = 0x7fff_ffff;

export interface MapJson {
  type: MapTypeName | number;
  key: number;
  value: number;
  max: number;
  flags?: number;
  name?: string;
  extra?: number;
  inner?: MapJson;
  /** Hex. */
  contents?: string;
  frozen?: boolean;
  values?: { key: number; name: string }[];
  pinning?: 'none' | 'by_name';
}

export interface SpecJson {
  type: string;
  /** Hex, 8 bytes an instruction slot; white space is free. */
  insns: string;
  maps?: Record<string, MapJson>;
  name?: string;
  license?: string;
  section?: string;
  flags?: ProgramSpec['flags'];
  funcs?: FuncInfo[];
  lines?: LineInfo[];
  kfuncs?: Record<string, string>;
}

/**
 * Text of a SPEC.json → ProgramSpec.
 * @throws EtherloomError ERR_SPEC_JSON (no JSON), ERR_SPEC_VALUE (a member is missing or wrong; the message names its
 *   path), ERR_SPEC_HEX, ERR_SPEC_MAP (an instruction names a map that is not there)
 */
export function parseSpecJson(text: string | Uint8Array, file: string): ProgramSpec {
  const source = typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch (cause) {
    const position = /position (\d+)/.exec((cause as Error).message);
    throw new EtherloomError('ERR_SPEC_JSON', `no JSON: ${(cause as Error).message}`, {
      file,
      offset: position ? Number(position[1]) : source.length,
      expected: '{"type": …, "insns": "hex", "maps": {…}}',
      cause,
    });
  }
  return specFromJson(value, file);
}

/** As parseSpecJson, from a value that is already parsed. */
export function specFromJson(value: unknown, file: string): ProgramSpec {
  return new Reader(file).program(value);
}

/** Plain data in a fixed order of members; the same spec always gives the same JSON. BTF is not part of it. */
export function specToJson(spec: ProgramSpec): SpecJson {
  const maps: Record<string, MapJson> = {};
  for (const key of Object.keys(spec.maps)
    .map(Number)
    .sort((a, b) => a - b))
    maps[key] = mapToJson(spec.maps[key]);
  return {
    type: spec.type,
    insns: Buffer.from(encodeInsns(spec.insns))
      .toString('hex')
      .replaceAll(/.{16}(?=.)/g, '$& '),
    maps,
    name: spec.name,
    license: spec.license,
    ...(spec.section === undefined ? {} : { section: spec.section }),
    ...(spec.flags ? { flags: { ...spec.flags } } : {}),
    ...(spec.funcs
      ? { funcs: spec.funcs.map(({ insn, name, linkage }) => ({ insn, name, typeId: 0, linkage })) }
      : {}),
    ...(spec.lines
      ? {
          lines: spec.lines.map(({ insn, file, line, column, text }) => ({ insn, file, line, column, text })),
        }
      : {}),
    ...(spec.kfuncs ? { kfuncs: { ...spec.kfuncs } } : {}),
  };
}

/** Text of a SPEC.json, ending in a newline. */
export const printSpecJson = (spec: ProgramSpec): string => `${JSON.stringify(specToJson(spec), null, 2)}\n`;

function mapToJson(spec: MapSpec): MapJson {
  return {
    type: spec.type,
    key: spec.keySize,
    value: spec.valueSize,
    max: spec.maxEntries,
    flags: spec.flags,
    name: spec.name,
    ...(spec.extra === undefined ? {} : { extra: spec.extra }),
    ...(spec.inner ? { inner: mapToJson(spec.inner) } : {}),
    ...(spec.contents ? { contents: Buffer.from(spec.contents).toString('hex') } : {}),
    ...(spec.frozen === undefined ? {} : { frozen: spec.frozen }),
    ...(spec.values ? { values: spec.values.map(({ key, name }) => ({ key, name })) } : {}),
    ...(spec.pinning ? { pinning: spec.pinning } : {}),
  };
}

type JsonObject = Record<string, unknown>;

/** Checks as it reads; `path` is where it stands, as in `maps.3.key`. */
class Reader {
  constructor(private readonly file: string) {}

  program(value: unknown): ProgramSpec {
    const root = this.object(value, '');
    const spec: ProgramSpec = {
      name: this.optional(root, 'name', '', 'string') ?? 'program',
      type: this.programType(this.member(root, 'type')),
      license: this.optional(root, 'license', '', 'string') ?? 'GPL',
      insns: this.insns(this.member(root, 'insns')),
      maps: {},
    };
    const maps = this.member(root, 'maps');
    if (maps !== undefined)
      for (const [key, map] of Object.entries(this.object(maps, 'maps'))) {
        if (!/^(0|[1-9]\d{0,9})$/.test(key) || Number(key) > I32_MAX)
          throw this.fail(`maps.${key}`, 'a key that is no number', `0–${I32_MAX}, as in the imm of an LDDW`);
        spec.maps[Number(key)] = this.map(map, `maps.${key}`, `map_${key}`, true);
      }
    this.references(spec);
    const section = this.optional(root, 'section', '', 'string');
    if (section !== undefined) spec.section = section;
    const flags = this.flags(this.member(root, 'flags'));
    if (flags) spec.flags = flags;
    const funcs = this.list(this.member(root, 'funcs'), 'funcs', (item, path) =>
      this.func(item, path, spec.insns),
    );
    if (funcs) spec.funcs = funcs;
    const lines = this.list(this.member(root, 'lines'), 'lines', (item, path) =>
      this.line(item, path, spec.insns),
    );
    if (lines) spec.lines = lines;
    const kfuncs = this.member(root, 'kfuncs');
    if (kfuncs !== undefined) {
      spec.kfuncs = {};
      for (const [id, name] of Object.entries(this.object(kfuncs, 'kfuncs'))) {
        if (!/^\d{1,10}$/.test(id) || typeof name !== 'string')
          throw this.fail(`kfuncs.${id}`, this.show(name), '"number": "name"');
        setOwn(spec.kfuncs as Record<string, string>, id, name);
      }
    }
    return spec;
  }

  // ── parts ─────────────────────────────────────────────────────────────────

  private programType(value: unknown): ProgramType {
    const name = typeof value === 'number' ? String(value) : value;
    if (typeof name === 'string' && Object.hasOwn(PROGRAM_TYPES, name)) return PROGRAM_TYPES[name];
    throw this.fail('type', this.show(value), 'xdp, tc, socket_filter or unspec');
  }

  private insns(value: unknown): Insn[] {
    const bytes = this.hex(value, 'insns');
    if (bytes.length === 0 || bytes.length % 8 !== 0)
      throw this.fail('insns', `${bytes.length} bytes`, 'a multiple of 8 bytes, at least 8', 'ERR_SPEC_HEX');
    return decodeInsns(bytes, this.file);
  }

  private map(value: unknown, path: string, fallback: string, mayNest: boolean): MapSpec {
    const json = this.object(value, path);
    const given = this.member(json, 'type');
    const type = typeof given === 'number' ? mapTypeName(given) : this.mapType(given);
    if (!type)
      throw this.fail(
        `${path}.type`,
        this.show(given),
        `a number of enum bpf_map_type, or ${mapTypeNames.join(', ')}`,
      );
    const spec: MapSpec = {
      name: this.optional(json, 'name', path, 'string') ?? fallback,
      type,
      keySize: this.number(json, 'key', path),
      valueSize: this.number(json, 'value', path),
      maxEntries: this.number(json, 'max', path),
      flags: this.number(json, 'flags', path, 0),
    };
    const extra = this.member(json, 'extra');
    if (extra !== undefined) spec.extra = this.number(json, 'extra', path);
    const inner = this.member(json, 'inner');
    if (inner !== undefined) {
      if (!mayNest) throw this.fail(`${path}.inner`, 'a map inside an inner map', 'one level of inner maps');
      spec.inner = this.map(inner, `${path}.inner`, `${spec.name}.inner`, false);
    }
    const contents = this.member(json, 'contents');
    if (contents !== undefined) {
      spec.contents = this.hex(contents, `${path}.contents`);
      if (spec.contents.length > spec.valueSize)
        throw this.fail(
          `${path}.contents`,
          `${spec.contents.length} bytes`,
          `at most value = ${spec.valueSize}`,
        );
    }
    const frozen = this.optional(json, 'frozen', path, 'boolean');
    if (frozen !== undefined) spec.frozen = frozen;
    const values = this.list(this.member(json, 'values'), `${path}.values`, (item, at) => {
      const entry = this.object(item, at);
      const name = this.optional(entry, 'name', at, 'string');
      if (name === undefined) throw this.fail(`${at}.name`, 'nothing', 'the name of a program or map');
      return { key: this.number(entry, 'key', at), name };
    });
    if (values) spec.values = values;
    const pinning = this.member(json, 'pinning');
    if (pinning !== undefined) {
      if (pinning !== 'none' && pinning !== 'by_name')
        throw this.fail(`${path}.pinning`, this.show(pinning), '"none" or "by_name"');
      spec.pinning = pinning;
    }
    return spec;
  }

  /** `hash`, or the kernel's `BPF_MAP_TYPE_HASH`. */
  private mapType(value: unknown): MapTypeName | undefined {
    if (typeof value !== 'string') return undefined;
    const name = value.toLowerCase().replace(/^bpf_map_type_/, '');
    return mapTypeNumber(name) === undefined ? undefined : (name as MapTypeName);
  }

  /** Every LDDW of a map names one that is there. */
  private references(spec: ProgramSpec): void {
    for (let at = 0; at < spec.insns.length; at++) {
      const { op, src, imm } = spec.insns[at];
      if (op !== OP_LDDW) continue;
      if ((src === Pseudo.MAP_FD || src === Pseudo.MAP_VALUE) && !Object.hasOwn(spec.maps, imm)) {
        const keys = Object.keys(spec.maps);
        throw this.fail(
          `insns[${at}]`,
          `an LDDW of map ${imm}`,
          keys.length ? `a key of maps: ${keys.slice(0, 16).join(', ')}` : 'a member "maps" that has it',
          'ERR_SPEC_MAP',
        );
      }
      at++;
    }
  }

  private flags(value: unknown): ProgramSpec['flags'] {
    if (value === undefined) return undefined;
    const json = this.object(value, 'flags');
    const flags: NonNullable<ProgramSpec['flags']> = {};
    for (const name of ['frags', 'sleepable', 'autoload'] as const) {
      const flag = this.optional(json, name, 'flags', 'boolean');
      if (flag !== undefined) flags[name] = flag;
    }
    return flags;
  }

  private func(value: unknown, path: string, insns: readonly Insn[]): FuncInfo {
    const json = this.object(value, path);
    const linkage = this.member(json, 'linkage') ?? 'static';
    if (linkage !== 'static' && linkage !== 'global' && linkage !== 'extern')
      throw this.fail(`${path}.linkage`, this.show(linkage), '"static", "global" or "extern"');
    return {
      insn: this.slot(json, path, insns),
      name: this.optional(json, 'name', path, 'string') ?? '',
      // Type ids mean nothing without BTF.
      typeId: 0,
      linkage,
    };
  }

  private line(value: unknown, path: string, insns: readonly Insn[]): LineInfo {
    const json = this.object(value, path);
    return {
      insn: this.slot(json, path, insns),
      file: this.optional(json, 'file', path, 'string') ?? '',
      line: this.number(json, 'line', path, 0),
      column: this.number(json, 'column', path, 0),
      text: this.optional(json, 'text', path, 'string') ?? '',
    };
  }

  private slot(json: JsonObject, path: string, insns: readonly Insn[]): number {
    const slot = this.number(json, 'insn', path);
    if (slot >= insns.length) throw this.fail(`${path}.insn`, String(slot), `a number below ${insns.length}`);
    return slot;
  }

  // ── values ────────────────────────────────────────────────────────────────

  private object(value: unknown, path: string): JsonObject {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw this.fail(path, this.show(value), 'an object');
    return value as JsonObject;
  }

  private member(json: JsonObject, name: string): unknown {
    return Object.hasOwn(json, name) ? json[name] : undefined;
  }

  private optional<T extends 'string' | 'boolean'>(
    json: JsonObject,
    name: string,
    path: string,
    type: T,
  ): (T extends 'string' ? string : boolean) | undefined {
    const value = this.member(json, name);
    if (value === undefined) return undefined;
    if (typeof value !== type)
      throw this.fail(path ? `${path}.${name}` : name, this.show(value), `a ${type}`);
    return value as T extends 'string' ? string : boolean;
  }

  private number(json: JsonObject, name: string, path: string, fallback?: number): number {
    const value = this.member(json, name) ?? fallback;
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > U32_MAX)
      throw this.fail(`${path}.${name}`, this.show(value), `a whole number, 0–${U32_MAX}`);
    return value;
  }

  private list<T>(value: unknown, path: string, read: (item: unknown, path: string) => T): T[] | undefined {
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) throw this.fail(path, this.show(value), 'a list');
    return value.map((item, i) => read(item, `${path}[${i}]`));
  }

  private hex(value: unknown, path: string): Uint8Array {
    if (typeof value !== 'string') throw this.fail(path, this.show(value), 'a string of hex digits');
    const digits = value.replaceAll(/\s+/g, '');
    const bad = /[^0-9a-fA-F]/.exec(digits);
    if (bad)
      throw this.fail(
        path,
        `"${bad[0]}" after ${bad.index} digits`,
        'hex digits and white space',
        'ERR_SPEC_HEX',
      );
    if (digits.length % 2) throw this.fail(path, `${digits.length} digits`, 'two a byte', 'ERR_SPEC_HEX');
    return Uint8Array.from(Buffer.from(digits, 'hex'));
  }

  private show(value: unknown): string {
    if (value === undefined) return 'nothing';
    const text = JSON.stringify(value) ?? String(value);
    return text.length > 60 ? `${text.slice(0, 57)}…` : text;
  }

  private fail(path: string, found: string, expected: string, code = 'ERR_SPEC_VALUE'): EtherloomError {
    return new EtherloomError(code, `${path || 'the document'}: ${found}`, { file: this.file, expected });
  }
}
