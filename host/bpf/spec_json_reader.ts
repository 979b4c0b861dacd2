/**
 * Reads the JSON form of a program (spec_json.ts) into a ProgramSpec. Strict with what it does not know, since a
 * misspelt member would silently be its default; liberal with what has one sensible meaning: names and numbers of
 * types, sizes that a type dictates, white space between digits.
 */
import { type JsonObject, JsonReader } from '../json.js';
import { setOwn } from './bytes.js';
import { decodeInsns, type Insn, OP_LDDW, Pseudo } from './insn.js';
import { mapTypeName, mapTypeNames, mapTypeNumber } from './map_types.js';
import { MapFlag } from './maps/flags.js';
import { programTypeNamed, programTypeNames } from './program_types.js';
import type { FuncInfo, LineInfo, MapSpec, MapTypeName, ProgramSpec, ProgramType } from './spec.js';

const CODES = { value: 'ERR_SPEC_VALUE', member: 'ERR_SPEC_MEMBER', hex: 'ERR_SPEC_HEX' };

const I32_MAX = 0x7fff_ffff;

const MEMBERS = {
  program: [
    'type',
    'insns',
    'maps',
    'name',
    'license',
    'section',
    'flags',
    'funcs',
    'lines',
    'kfuncs',
    'structOps',
  ],
  structOps: ['name', 'member'],
  map: [
    'type',
    'key',
    'value',
    'max',
    'flags',
    'name',
    'extra',
    'inner',
    'contents',
    'frozen',
    'values',
    'pinning',
  ],
  entry: ['key', 'name'],
  flags: ['frags', 'sleepable', 'autoload'],
  func: ['insn', 'name', 'typeId', 'linkage'],
  line: ['insn', 'file', 'line', 'column', 'text'],
} as const;

/** What bpf(2), libbpf and clang's objects call our members. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  max_entries: 'max',
  maxEntries: 'max',
  key_size: 'key',
  keySize: 'key',
  value_size: 'value',
  valueSize: 'value',
  map_flags: 'flags',
  map_type: 'type',
  map_extra: 'extra',
  prog_type: 'type',
  instructions: 'insns',
  licence: 'license',
};

/** Sizes that a type dictates, bytes. */
const KEY_SIZE: Partial<Record<MapTypeName, number>> = {
  array: 4,
  percpu_array: 4,
  prog_array: 4,
  perf_event_array: 4,
  array_of_maps: 4,
  devmap: 4,
  devmap_hash: 4,
  cpumap: 4,
  xskmap: 4,
  struct_ops: 4,
  queue: 0,
  stack: 0,
  bloom_filter: 0,
  ringbuf: 0,
  pkt_queue: 0,
};
const VALUE_SIZE: Partial<Record<MapTypeName, number>> = {
  prog_array: 4,
  perf_event_array: 4,
  array_of_maps: 4,
  hash_of_maps: 4,
  devmap: 4,
  devmap_hash: 4,
  cpumap: 4,
  xskmap: 4,
  ringbuf: 0,
  pkt_queue: 0,
};
/** Where one entry would be none: bytes of the smallest ring, an entry per lane. */
const MAX_ENTRIES: Partial<Record<MapTypeName, number>> = { ringbuf: 4096, perf_event_array: 0 };

export class SpecReader extends JsonReader {
  constructor(file: string) {
    super(file, CODES);
  }

  program(value: unknown): ProgramSpec {
    const root = this.object(value, '', MEMBERS.program, ELSEWHERE);
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
    this.names(spec);
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
    const ops = this.member(root, 'structOps');
    if (ops !== undefined) {
      const json = this.object(ops, 'structOps', MEMBERS.structOps);
      const word = (key: 'name' | 'member'): string => {
        const text = this.optional(json, key, 'structOps', 'string');
        if (text === undefined) throw this.fail(`structOps.${key}`, 'nothing', 'a name');
        return text;
      };
      spec.structOps = { name: word('name'), member: word('member') };
    }
    return spec;
  }

  // ── parts ─────────────────────────────────────────────────────────────────

  private programType(value: unknown): ProgramType {
    const known = typeof value === 'string' || typeof value === 'number';
    const type = known ? programTypeNamed(value) : undefined;
    if (type) return type;
    throw this.fail('type', this.show(value), programTypeNames.join(', '));
  }

  private insns(value: unknown): Insn[] {
    const bytes = this.hex(value, 'insns');
    if (bytes.length === 0 || bytes.length % 8 !== 0)
      throw this.fail('insns', `${bytes.length} bytes`, 'a multiple of 8 bytes, at least 8', 'ERR_SPEC_HEX');
    return decodeInsns(bytes, this.file ?? 'insns');
  }

  private map(value: unknown, path: string, fallback: string, mayNest: boolean): MapSpec {
    const json = this.object(value, path, MEMBERS.map, ELSEWHERE);
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
      keySize: this.number(json, 'key', path, KEY_SIZE[type]),
      valueSize: this.number(json, 'value', path, VALUE_SIZE[type]),
      maxEntries: this.number(json, 'max', path, MAX_ENTRIES[type] ?? 1),
      flags: this.number(json, 'flags', path, type === 'lpm_trie' ? MapFlag.NO_PREALLOC : 0),
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
      const entry = this.object(item, at, MEMBERS.entry);
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

  /** Maps are told apart by name from here on. */
  private names(spec: ProgramSpec): void {
    const seen = new Map<string, string>();
    for (const [key, { name }] of Object.entries(spec.maps)) {
      const other = seen.get(name);
      if (other !== undefined)
        throw this.fail(`maps.${key}.name`, `"${name}", as of map ${other}`, 'a name of its own');
      seen.set(name, key);
    }
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
    const json = this.object(value, 'flags', MEMBERS.flags);
    const flags: NonNullable<ProgramSpec['flags']> = {};
    for (const name of MEMBERS.flags) {
      const flag = this.optional(json, name, 'flags', 'boolean');
      if (flag !== undefined) flags[name] = flag;
    }
    return flags;
  }

  private func(value: unknown, path: string, insns: readonly Insn[]): FuncInfo {
    const json = this.object(value, path, MEMBERS.func);
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
    const json = this.object(value, path, MEMBERS.line);
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
}
