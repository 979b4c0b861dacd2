/**
 * BTF types and map definitions as C: for `etherloom maps` and for errors.
 */
import type { CollectionSpec, MapSpec } from '../spec.js';
import type { Btf, BtfType } from './btf.js';
import { nameOf, typeOf } from './types.js';

const MAX_DEPTH = 16;
/** Members of a nameless type that are written out inside a declaration. */
const MAX_INLINE = 16;
/** Longest text, in types and members, of one type and of a whole collection; hostile BTF could ask for any length. */
const MAX_STEPS = 10_000;
const MAX_COLLECTION_STEPS = 100_000;

/** Types and members that may still be written; behind them stands `…`. */
interface TextBudget {
  left: number;
}
const ofOneType = (): TextBudget => ({ left: MAX_STEPS });

/** `struct flow_key`, `__u32`, `char[16]`, `int (*)(void *)`: the type's name as a declaration writes it. */
export const typeName = (btf: Btf, id: number, budget = ofOneType()): string =>
  new Declarator(btf, budget).declare(id, '', 0).trimEnd();

/** `__u32 a[4]`: a declaration of `name`. */
export const declaration = (btf: Btf, id: number, name: string, budget = ofOneType()): string =>
  new Declarator(btf, budget).declare(id, name, 0);

/** C reads declarations from the name outwards; so are they built. */
class Declarator {
  constructor(
    private readonly btf: Btf,
    private readonly budget: TextBudget,
  ) {}

  declare(id: number, name: string, depth: number): string {
    const btf = this.btf;
    if (depth > MAX_DEPTH || --this.budget.left < 0) return `… ${name}`;
    const type = typeOf(btf, id);
    const next = depth + 1;
    switch (type.kind) {
      case 'void':
        return `void ${name}`;
      case 'ptr': {
        const target = typeOf(btf, type.type).kind;
        return this.declare(
          type.type,
          target === 'array' || target === 'func_proto' ? `(*${name})` : `*${name}`,
          next,
        );
      }
      case 'array':
        return this.declare(type.type, `${name}[${type.count || ''}]`, next);
      case 'func_proto': {
        const params = type.params.map(p =>
          p.type === 0 && p.name === '' ? '...' : this.declare(p.type, p.name, next).trimEnd(),
        );
        return this.declare(type.ret, `${name}(${params.join(', ') || 'void'})`, next);
      }
      case 'const':
      case 'volatile':
      case 'restrict': {
        // A qualified pointer has its word after the star.
        if (typeOf(btf, type.type).kind === 'ptr')
          return this.declare(type.type, `${type.kind} ${name}`, next);
        return `${type.kind === 'restrict' ? '' : `${type.kind} `}${this.declare(type.type, name, next)}`;
      }
      case 'type_tag':
        return this.declare(type.type, name, next);
      case 'struct':
      case 'union':
      case 'enum':
      case 'fwd':
        return `${keyword(type)} ${nameOf(type) || this.members(type, next)} ${name}`;
      case 'func':
      case 'var':
        return this.declare(type.type, name || type.name, next);
      default:
        return `${nameOf(type)} ${name}`;
    }
  }

  /** A type without a name is its members. */
  private members(type: BtfType, depth: number): string {
    if (type.kind === 'enum')
      return `{ ${type.values
        .slice(0, MAX_INLINE)
        .map(v => v.name)
        .join(', ')}${type.values.length > MAX_INLINE ? ', …' : ''} }`;
    if ((type.kind !== 'struct' && type.kind !== 'union') || type.members.length > MAX_INLINE) return '{ … }';
    const members = type.members.map(m => {
      const field = m.bitSize ? ` : ${m.bitSize}` : '';
      return `${this.declare(m.type, m.name, depth).trimEnd()}${field}; `;
    });
    return `{ ${members.join('')}}`;
  }
}

const keyword = (type: BtfType): string =>
  type.kind === 'fwd' ? (type.union ? 'union' : 'struct') : type.kind;

/** Full definition of a struct, union, enum or typedef, one member a line, with byte offsets as comments. */
export function definition(btf: Btf, id: number, budget = ofOneType()): string {
  const type = typeOf(btf, id);
  switch (type.kind) {
    case 'struct':
    case 'union':
      return `${type.kind}${type.name ? ` ${type.name}` : ''} {\n${body(btf, type, 1, 0, budget)}}; /* ${type.size} bytes */\n`;
    case 'enum': {
      const values = type.values.map(v => `\t${v.name} = ${v.value},\n`).join('');
      return `enum${type.name ? ` ${type.name}` : ''} {\n${values}}; /* ${type.size} bytes */\n`;
    }
    case 'typedef':
      return `typedef ${declaration(btf, type.type, type.name, budget)};\n`;
    default:
      return `${typeName(btf, id, budget)};\n`;
  }
}

function body(
  btf: Btf,
  type: Extract<BtfType, { kind: 'struct' | 'union' }>,
  indent: number,
  base: number,
  budget: TextBudget,
): string {
  const tabs = '\t'.repeat(indent);
  let text = '';
  for (const member of type.members) {
    if (--budget.left < 0) return `${text}${tabs}…\n`;
    const inner = typeOf(btf, member.type);
    const at = base + member.bitOffset;
    const opened = (inner.kind === 'struct' || inner.kind === 'union') && inner.name === '';
    if (opened && indent < MAX_DEPTH) {
      text += `${tabs}${inner.kind} {\n${body(btf, inner, indent + 1, at, budget)}${tabs}}${member.name ? ` ${member.name}` : ''};\n`;
      continue;
    }
    const field = member.bitSize ? ` : ${member.bitSize}` : '';
    const place = at % 8 ? `${Math.floor(at / 8)}.${at % 8}` : `${at / 8}`;
    text += `${tabs}${declaration(btf, member.type, member.name, budget).trimEnd()}${field}; /* ${place} */\n`;
  }
  return text;
}

/** One map as the BTF definition that would make it. */
export function formatMap(spec: MapSpec, budget = ofOneType()): string {
  const lines = [`__uint(type, BPF_MAP_TYPE_${spec.type.toUpperCase()});`];
  const side = (what: 'key' | 'value', id: number | undefined, size: number): void => {
    if (spec.btf && id) lines.push(`__type(${what}, ${typeName(spec.btf.types, id, budget)});`);
    else if (size) lines.push(`__uint(${what}_size, ${size});`);
  };
  side('key', spec.btf?.keyId, spec.keySize);
  const data = spec.btf && typeOf(spec.btf.types, spec.btf.valueId).kind === 'datasec';
  side('value', data ? undefined : spec.btf?.valueId, spec.valueSize);
  lines.push(`__uint(max_entries, ${spec.maxEntries});`);
  if (spec.flags) lines.push(`__uint(map_flags, ${spec.flags});`);
  if (spec.extra) lines.push(`__ulong(map_extra, ${spec.extra});`);
  if (spec.pinning === 'by_name') lines.push('__uint(pinning, LIBBPF_PIN_BY_NAME);');
  if (spec.inner) lines.push(`__array(values, ${formatMap(spec.inner, budget).replaceAll('\n', '\n\t')});`);
  const values = spec.values?.map(v => `[${v.key}] = &${v.name}`).join(', ');
  const head = `struct {\n${lines.map(l => `\t${l}\n`).join('')}}`;
  return values ? `${head} /* .values = { ${values} } */` : head;
}

/** What `etherloom maps OBJ` shows of one map. Plain data, fit for --json. */
export interface MapSummary {
  name: string;
  type: string;
  keySize: number;
  valueSize: number;
  maxEntries: number;
  flags: number;
  /** C names of key and value where BTF has them. */
  key?: string;
  value?: string;
  frozen: boolean;
  /** Variables of a data section: name, C type, offset, size. */
  variables?: { name: string; type: string; offset: number; size: number }[];
  inner?: MapSummary;
  values?: { key: number; name: string }[];
  /** Programs that refer to it. */
  usedBy: string[];
}

/** Every map of a collection in order of definition. */
export function summarizeMaps(collection: CollectionSpec): MapSummary[] {
  const budget = { left: MAX_COLLECTION_STEPS };
  const users = new Map<MapSpec, string[]>();
  for (const { name, maps } of Object.values(collection.programs))
    for (const spec of new Set(Object.values(maps))) {
      const names = users.get(spec);
      if (names) names.push(name);
      else users.set(spec, [name]);
    }
  return Object.values(collection.maps).map(spec => summarize(spec, users.get(spec) ?? [], budget));
}

function summarize(spec: MapSpec, usedBy: string[], budget: TextBudget): MapSummary {
  const summary: MapSummary = {
    name: spec.name,
    type: spec.type,
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    maxEntries: spec.maxEntries,
    flags: spec.flags,
    frozen: spec.frozen ?? false,
    usedBy,
  };
  if (spec.btf) {
    const { types, keyId, valueId } = spec.btf;
    if (keyId) summary.key = typeName(types, keyId, budget);
    const value = typeOf(types, valueId);
    if (value.kind === 'datasec')
      summary.variables = value.vars.map(entry => {
        const variable = typeOf(types, entry.type);
        return {
          name: nameOf(variable),
          type: typeName(types, variable.kind === 'var' ? variable.type : entry.type, budget),
          offset: entry.offset,
          size: entry.size,
        };
      });
    else if (valueId) summary.value = typeName(types, valueId, budget);
  }
  if (spec.inner) summary.inner = summarize(spec.inner, [], budget);
  if (spec.values) summary.values = spec.values;
  return summary;
}

/** Definitions of every map of a collection, and of the structures that their keys and values name. */
export function formatMaps(collection: CollectionSpec): string {
  const budget = { left: MAX_COLLECTION_STEPS };
  const structures = new Map<string, string>();
  const note = (btf: Btf, id: number, depth: number): void => {
    if (depth > MAX_DEPTH) return;
    const type = typeOf(btf, id);
    if ('type' in type && type.kind !== 'func') note(btf, type.type, depth + 1);
    const named =
      type.kind === 'struct' || type.kind === 'union' || type.kind === 'enum' || type.kind === 'typedef';
    if (!named || type.name === '') return;
    const key = `${type.kind} ${type.name}`;
    if (structures.has(key)) return;
    structures.set(key, '');
    if (type.kind === 'struct' || type.kind === 'union')
      for (const m of type.members) note(btf, m.type, depth + 1);
    const text = definition(btf, id, budget);
    structures.delete(key);
    structures.set(key, text);
  };
  const maps = Object.values(collection.maps).map(spec => {
    for (const id of spec.btf ? [spec.btf.keyId, spec.btf.valueId] : [])
      if (spec.btf && id && typeOf(spec.btf.types, id).kind !== 'datasec') note(spec.btf.types, id, 0);
    const value = spec.btf && typeOf(spec.btf.types, spec.btf.valueId);
    if (spec.btf && value?.kind === 'datasec') {
      const variables = value.vars.map(
        v => `\t${declaration(spec.btf!.types, v.type, '', budget).trim()}; /* ${v.offset} */\n`,
      );
      return `${dataHeading(spec)}\nstruct {\n${variables.join('')}}\n`;
    }
    if (spec.contents) return `${dataHeading(spec)}\n`;
    return `${formatMap(spec, budget)} ${spec.name} SEC(".maps");\n`;
  });
  return [...structures.values(), ...maps].join('\n');
}

const dataHeading = (spec: MapSpec): string =>
  `/* ${spec.name}: ${spec.valueSize} bytes${spec.frozen ? ', read-only' : ''} */`;
