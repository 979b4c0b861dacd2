/**
 * Members that are the engine's in a map value or in an object that programs make: locks, timers, kptrs, heads and nodes of
 * lists and trees, reference counts; found in BTF as the kernel finds them (btf_parse_fields, btf_find_field of btf.c), by
 * name, size and alignment of their structures, and `contains:TYPE:FIELD` tags.
 */
import { EtherloomError } from '../../errors.js';
import { FieldKind } from '../../layout/layout.gen.js';
import type { Btf, BtfType } from '../btf/btf.js';
import { resolveId, typeOf } from '../btf/types.js';

export { FieldKind } from '../../layout/layout.gen.js';

type Kind = (typeof FieldKind)[keyof typeof FieldKind];

export interface Field {
  kind: Kind;
  /** `bpf_rb_root`, `kptr` … */
  name: string;
  off: number;
  bytes: number;
  /** Heads, kptrs: id of the structure that they hold. */
  holds?: number;
  /** Heads: where in it the node is. */
  nodeOff?: number;
}

export interface FieldRecord {
  /** In order of their offset. */
  fields: readonly Field[];
  /** Offset of the bpf_spin_lock, −1 without. */
  lockOff: number;
  /** Offset of the bpf_refcount, −1 without. */
  refcountOff: number;
}

interface Special {
  kind: Kind;
  bytes: number;
  align: number;
  /** A value or object has one at most. */
  single?: boolean;
  /** Of the structure of nodes that a head is a head of. */
  node?: string;
}

const SPECIAL: ReadonlyMap<string, Special> = new Map<string, Special>([
  ['bpf_spin_lock', { kind: FieldKind.SPIN_LOCK, bytes: 4, align: 4, single: true }],
  ['bpf_timer', { kind: FieldKind.TIMER, bytes: 16, align: 8, single: true }],
  ['bpf_list_head', { kind: FieldKind.LIST_HEAD, bytes: 16, align: 8, node: 'bpf_list_node' }],
  ['bpf_list_node', { kind: FieldKind.LIST_NODE, bytes: 24, align: 8 }],
  ['bpf_rb_root', { kind: FieldKind.RB_ROOT, bytes: 16, align: 8, node: 'bpf_rb_node' }],
  ['bpf_rb_node', { kind: FieldKind.RB_NODE, bytes: 32, align: 8 }],
  ['bpf_refcount', { kind: FieldKind.REFCOUNT, bytes: 4, align: 4, single: true }],
]);

/** BTF_FIELDS_MAX. */
const MAX_FIELDS = 11;
const MAX_DEPTH = 32;
/** Members looked at: BTF may come from anybody. */
const MAX_VISITS = 200_000;

const NODES: ReadonlySet<number> = new Set([FieldKind.LIST_NODE, FieldKind.RB_NODE]);
const HEADS: ReadonlySet<number> = new Set([FieldKind.LIST_HEAD, FieldKind.RB_ROOT]);
export const isHead = (f: Field): boolean => HEADS.has(f.kind);
export const isNode = (f: Field): boolean => NODES.has(f.kind);

const bad = (where: string, what: string, expected: string): EtherloomError =>
  new EtherloomError('ERR_BTF_FIELD', `${where}: ${what}`, { expected });

/** Declaration tags by the type and component that they stand at. Components of variables are −1. */
const tagsOf = (btf: Btf): ReadonlyMap<string, readonly string[]> => {
  let tags = tagTables.get(btf);
  if (!tags) {
    tags = new Map();
    for (const t of btf.types)
      if (t.kind === 'decl_tag') {
        const key = `${t.type}/${t.component | 0}`;
        tags.set(key, [...(tags.get(key) ?? []), t.name]);
      }
    tagTables.set(btf, tags);
  }
  return tags;
};
const tagTables = new WeakMap<Btf, Map<string, string[]>>();

class Finder {
  readonly fields: Field[] = [];
  #visits = 0;

  constructor(
    readonly btf: Btf,
    /** Names of the members that count. */
    readonly allowed: (name: string) => boolean,
    readonly where: string,
  ) {}

  /** Members of a structure, or variables of a section. */
  members(id: number, at: number, depth: number): void {
    const type = typeOf(this.btf, id);
    if (type.kind === 'datasec')
      for (const entry of type.vars) {
        const variable = typeOf(this.btf, entry.type);
        if (variable.kind === 'var')
          this.member(variable.type, at + entry.offset, `${entry.type}/-1`, variable.name, depth);
      }
    else if (type.kind === 'struct')
      type.members.forEach((m, i) => {
        if (m.bitSize === 0 && m.bitOffset % 8 === 0)
          this.member(m.type, at + m.bitOffset / 8, `${id}/${i}`, m.name, depth);
      });
  }

  member(typeId: number, off: number, place: string, name: string, depth: number): void {
    if (depth > MAX_DEPTH || ++this.#visits > MAX_VISITS)
      throw bad(this.where, 'is nested too deeply, or has too many members', 'less');
    let id = typeId;
    let count = 1;
    let type = typeOf(this.btf, id);
    for (let i = 0; type.kind === 'array' && i < MAX_DEPTH; i++) {
      count *= type.count;
      id = type.type;
      type = typeOf(this.btf, id);
    }
    if (count === 0) return;
    if (type.kind === 'ptr') return this.pointer(type.type, off, count, name);
    if (type.kind !== 'struct') return;
    const special = this.allowed(type.name) ? SPECIAL.get(type.name) : undefined;
    if (!special) {
      const before = this.fields.length;
      this.members(id, off, depth + 1);
      const found = this.fields.slice(before);
      if (found.length)
        for (let i = 1; i < count; i++) for (const f of found) this.add({ ...f, off: f.off + i * type.size });
      return;
    }
    const { kind, bytes, align, node } = special;
    if (special.single && (count > 1 || this.fields.some(f => f.kind === kind)))
      throw bad(this.where, `has a second ${type.name}, ${name}`, 'one at most');
    if (type.size !== bytes || off % align !== 0) return;
    const head = node === undefined ? {} : this.contained(place, name, node);
    for (let i = 0; i < count; i++) this.add({ kind, name: type.name, off: off + i * bytes, bytes, ...head });
  }

  /** `struct T __kptr *p`: a pointer that bpf_kptr_xchg puts in and takes out. */
  pointer(to: number, off: number, count: number, name: string): void {
    const tag = typeOf(this.btf, to);
    if (tag.kind !== 'type_tag' || tag.name !== 'kptr' || !this.allowed('kptr') || off % 8 !== 0) return;
    const holds = resolveId(this.btf, tag.type);
    if (typeOf(this.btf, holds).kind !== 'struct')
      throw bad(this.where, `the kptr ${name} points to no structure`, 'a structure of this object');
    for (let i = 0; i < count; i++)
      this.add({ kind: FieldKind.KPTR, name: 'kptr', off: off + 8 * i, bytes: 8, holds });
  }

  /** kernel: btf_find_graph_root, btf_parse_graph_root. */
  contained(place: string, name: string, nodeType: string): { holds: number; nodeOff: number } {
    const tags = (tagsOf(this.btf).get(place) ?? []).filter(t => t.startsWith('contains:'));
    const expected = `__contains(type, field), a struct ${nodeType} in a structure of this object`;
    if (tags.length !== 1)
      throw bad(this.where, `${name} has ${tags.length} tags that say what it contains`, expected);
    const [, typeName, ...rest] = tags[0].split(':');
    const field = rest.join(':');
    const holds = this.btf.types.findIndex(t => t.kind === 'struct' && t.name === typeName);
    const type = this.btf.types[holds] as Extract<BtfType, { kind: 'struct' | 'union' }> | undefined;
    const found = field ? (type?.members.filter(m => m.name === field) ?? []) : [];
    const member = found[0];
    const node = member && typeOf(this.btf, member.type);
    const nodeOff = member ? member.bitOffset / 8 : -1;
    if (found.length !== 1 || node?.kind !== 'struct' || node.name !== nodeType || nodeOff % 8 !== 0)
      throw bad(this.where, `${name} contains "${tags[0].slice(9)}", which is not there`, expected);
    return { holds, nodeOff };
  }

  add(field: Field): void {
    if (this.fields.length >= MAX_FIELDS)
      throw bad(this.where, `has more than ${MAX_FIELDS} members that are the engine's`, 'less');
    this.fields.push(field);
  }

  /** @throws EtherloomError ERR_BTF_FIELD for members that overlap or lack what they need */
  record(): FieldRecord | undefined {
    const fields = this.fields.sort((a, b) => a.off - b.off);
    if (fields.length === 0) return undefined;
    fields.forEach((f, i) => {
      const before = fields[i - 1];
      if (before && f.off < before.off + before.bytes)
        throw bad(
          this.where,
          `${f.name} at ${f.off} lies in ${before.name} at ${before.off}`,
          'members apart',
        );
    });
    const offOf = (kind: number): number => fields.find(f => f.kind === kind)?.off ?? -1;
    const lockOff = offOf(FieldKind.SPIN_LOCK);
    const refcountOff = offOf(FieldKind.REFCOUNT);
    if (lockOff < 0 && fields.some(isHead))
      throw bad(this.where, `has a ${fields.find(isHead)!.name} and no bpf_spin_lock`, 'a lock beside it');
    const has = (kind: number): boolean => fields.some(f => f.kind === kind);
    if (refcountOff < 0 && has(FieldKind.LIST_NODE) && has(FieldKind.RB_NODE))
      throw bad(this.where, 'has nodes of lists and of trees and no bpf_refcount', 'a bpf_refcount');
    return { fields, lockOff, refcountOff };
  }
}

const users = new WeakMap<Btf, boolean>();

/** Whether anything in a file is about objects at all: most files have nothing to find. */
export function usesObjects(btf: Btf): boolean {
  let uses = users.get(btf);
  if (uses === undefined) {
    uses = btf.types.some(
      t =>
        (t.kind === 'struct' &&
          t.name !== 'bpf_spin_lock' &&
          t.name !== 'bpf_timer' &&
          SPECIAL.has(t.name)) ||
        (t.kind === 'type_tag' && t.name === 'kptr'),
    );
    users.set(btf, uses);
  }
  return uses;
}

const describeType = (btf: Btf, id: number): string => {
  const type = typeOf(btf, id);
  return type.kind === 'struct'
    ? `struct ${type.name || id}`
    : type.kind === 'datasec'
      ? type.name
      : `type ${id}`;
};

/**
 * Of a map's value: a structure, or a section of variables.
 * @throws EtherloomError ERR_BTF_FIELD
 */
export function valueRecord(btf: Btf, valueId: number): FieldRecord | undefined {
  if (!usesObjects(btf)) return undefined;
  const id = resolveId(btf, valueId);
  const allowed = (name: string): boolean => name !== 'bpf_list_node' && name !== 'bpf_rb_node';
  const finder = new Finder(btf, allowed, describeType(btf, id));
  finder.members(id, 0, 0);
  const record = finder.record();
  if (record) checkOwnership(btf, record, describeType(btf, id));
  return record;
}

/** Structures with a member that is the engine's: objects that are more than bytes. */
export type StructRecords = ReadonlyMap<number, FieldRecord>;
const structTables = new WeakMap<Btf, StructRecords>();

/**
 * Of every structure that could be an object (kernel: btf_parse_struct_metas).
 * @throws EtherloomError ERR_BTF_FIELD for one that cannot be
 */
export function structRecords(btf: Btf): StructRecords {
  const known = structTables.get(btf);
  if (known) return known;
  if (!btf.types.some(t => t.kind === 'struct' && t.name === 'bpf_spin_lock') && !usesObjects(btf))
    return new Map();
  const records = new Map<number, FieldRecord>();
  structTables.set(btf, records);
  try {
    btf.types.forEach((type, id) => {
      if (type.kind !== 'struct' || !type.members.some(m => isDirect(btf, m.type))) return;
      const finder = new Finder(btf, name => name !== 'bpf_timer', describeType(btf, id));
      finder.members(id, 0, 0);
      const record = finder.record();
      if (record) records.set(id, record);
    });
    for (const [id, record] of records) checkOwnership(btf, record, describeType(btf, id));
  } catch (error) {
    structTables.delete(btf);
    throw error;
  }
  return records;
}

/** A member that makes its structure one of those: not a lock alone in an array, or deeper inside. */
function isDirect(btf: Btf, id: number): boolean {
  const type = btf.types[id];
  if (type?.kind === 'struct') return type.name !== 'bpf_timer' && SPECIAL.has(type.name);
  const tag = type?.kind === 'ptr' ? btf.types[type.type] : undefined;
  return tag?.kind === 'type_tag' && tag.name === 'kptr';
}

/** What is in a list or tree may head lists or trees itself, but not of what heads others (kernel: btf_check_and_fixup_fields). */
function checkOwnership(btf: Btf, record: FieldRecord, where: string): void {
  const records = structRecords(btf);
  for (const f of record.fields) {
    if (!isHead(f)) continue;
    const held = records.get(f.holds!);
    if (!held) throw bad(where, `${f.name} at ${f.off} contains a structure without nodes`, 'nodes');
    if (record.fields.some(isNode) && held.fields.some(isHead))
      throw bad(
        where,
        `is in a list or tree, and heads one of ${describeType(btf, f.holds!)}, which heads others`,
        'at most two heads above each other',
      );
  }
}
