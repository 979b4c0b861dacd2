/**
 * The JSON form of a program, both ways: what `etherloom verify|test-run|run SPEC.json` reads.
 *   {"type":"xdp","insns":"hex, 8 bytes each","maps":{"3":{"type":"hash","key":8,"value":48,"max":1,"flags":0}}}
 * An LDDW with src 1 or 2 names a key of `maps` in its imm. Members that are not known are refused; optional ones are
 * name, license, section, flags, funcs, lines, kfuncs, structOps, and in maps all but the type where that decides the rest: sizes
 * of arrays, queues and redirect maps, max 1 (ringbuf 4096), flags 0 (lpm_trie 1). spec_json_reader.ts reads it.
 */
import { parseJson } from '../json.js';
import { encodeInsns } from './insn.js';
import type { FuncInfo, LineInfo, MapSpec, MapTypeName, ProgramSpec } from './spec.js';
import { SpecReader } from './spec_json_reader.js';

export interface MapJson {
  type: MapTypeName | number;
  key?: number;
  value?: number;
  max?: number;
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
  structOps?: { name: string; member: string };
}

/**
 * Text of a SPEC.json → ProgramSpec.
 * @throws EtherloomError ERR_SPEC_JSON (no JSON), ERR_SPEC_VALUE (a member is missing or wrong), ERR_SPEC_MEMBER (one
 *   that is not known; `path` and the message say where), ERR_SPEC_HEX, ERR_SPEC_MAP (an instruction names a map that is not there)
 */
export function parseSpecJson(text: string | Uint8Array, file: string): ProgramSpec {
  const source = typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
  const expected = '{"type": …, "insns": "hex", "maps": {…}}';
  return specFromJson(parseJson(source, { file, code: 'ERR_SPEC_JSON', expected }), file);
}

/** As parseSpecJson, from a value that is already parsed. */
export function specFromJson(value: unknown, file: string): ProgramSpec {
  return new SpecReader(file).program(value);
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
    ...(spec.structOps ? { structOps: { ...spec.structOps } } : {}),
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
