/**
 * Records that a transport keeps of its streams, read and written where they lie in the arena: arrays of structures whose
 * fields are known by the object's BTF, as plain data that another thread can be told.
 */
import type { Btf } from '../bpf/btf/btf.js';
import { layout, resolve } from '../bpf/btf/types.js';
import { enumTable } from '../bpf/btf/walk.js';
import type { BpfMap } from '../bpf/maps/index.js';
import type { KeyedMap } from '../bpf/maps/keyed.js';
import type { MapSpec } from '../bpf/spec.js';
import { EtherloomError } from '../errors.js';
import { StreamFlag, StreamLayout } from '../layout/layout.gen.js';
import type { Arena } from '../mem/arena.js';
import { beginWrite, endWrite, readCell, unmoved } from './records_cell.js';

export const AF_INET = 2;
export const AF_INET6 = 10;

/** Where a field lies in its structure, bytes. */
interface Field {
  at: number;
  size: number;
}

/** An array map whose values are structures. */
export interface Records {
  at: number;
  stride: number;
  count: number;
  /** By name; those of inner structures as `opt.flags`. */
  fields: Record<string, Field>;
  /** Word of the arena that says whether they have moved (records_cell.ts); none: they do not. */
  cell?: number;
}

/** Which life of a stream's number this is; never 0. */
export const lifeOf = (arena: Arena, id: number): number =>
  (Atomics.load(arena.u32, (arena.header.streamsAt + id * StreamLayout.size + StreamLayout.generation) >> 2) +
    1) >>>
    0 || 1;

/** Lane of stream `id`; -1 when it is not open. */
export function laneOf(arena: Arena, id: number): number {
  const at = (arena.header.streamsAt + id * StreamLayout.size) >> 2;
  const open = Atomics.load(arena.u32, at + (StreamLayout.flags >> 2)) & StreamFlag.OPEN;
  return open ? arena.u32[at + (StreamLayout.lane >> 2)] : -1;
}

function fieldsOf(btf: Btf, id: number): Record<string, Field> {
  const out: Record<string, Field> = {};
  const collect = (inner: number, base: number, prefix: string): void => {
    for (const m of layout(btf, inner)) {
      const at = base + m.bitOffset / 8;
      const { kind } = resolve(btf, m.type);
      if (kind === 'struct') collect(m.type, at, `${prefix}${m.name}.`);
      else out[prefix + m.name] = { at, size: m.size };
    }
  };
  collect(id, 0, '');
  return out;
}

/** @throws EtherloomError ERR_TRANSPORT_OBJECT for a map without type information */
export function recordsOf(map: BpfMap): Records {
  const { btf } = map.spec;
  if (!btf?.valueId || map.dataAt === undefined)
    throw new EtherloomError('ERR_TRANSPORT_OBJECT', `map "${map.name}" (${map.type})`, {
      expected: 'an array whose values have BTF',
    });
  return {
    at: map.dataAt,
    stride: map.stride!,
    count: map.maxEntries,
    fields: fieldsOf(btf.types, btf.valueId),
  };
}

/** One array of structures, field by field. */
export class RecordTable {
  #records: Records;
  #version = 0;

  constructor(
    readonly arena: Arena,
    records: Records,
  ) {
    this.#records = records;
  }

  /** Where they are. An upgrade of their transport may have moved them. */
  get records(): Records {
    const { cell } = this.#records;
    if (cell !== undefined && !unmoved(this.arena, cell, this.#version)) this.#look(cell);
    return this.#records;
  }

  #look(cell: number): void {
    const { version, text } = readCell(this.arena, cell);
    if (text !== undefined) this.#records = { ...(JSON.parse(text) as Records), cell };
    this.#version = version;
  }

  /** Does what writes; what moves them meanwhile waits for it, and it for that. */
  #write(work: () => void): void {
    for (;;) {
      const { cell } = this.records;
      if (cell === undefined) return work();
      if (!beginWrite(this.arena, cell, this.#version)) continue;
      try {
        return work();
      } finally {
        endWrite(this.arena, cell);
      }
    }
  }

  /** Address of a field. @throws EtherloomError ERR_TRANSPORT_OBJECT for one that the object does not have */
  at(index: number, field: string): number {
    const { at, stride, fields } = this.records;
    const f = fields[field];
    if (!f)
      throw new EtherloomError('ERR_TRANSPORT_OBJECT', `no field ${field}`, {
        expected: Object.keys(fields).join(', '),
      });
    return at + index * stride + f.at;
  }

  get(index: number, field: string): number {
    const at = this.at(index, field);
    const { dv } = this.arena;
    switch (this.records.fields[field].size) {
      case 1:
        return dv.getUint8(at);
      case 2:
        return dv.getUint16(at, true);
      case 8:
        return Number(dv.getBigUint64(at, true));
      default:
        return dv.getUint32(at, true);
    }
  }

  set(index: number, field: string, value: number): void {
    this.#write(() => this.#set(index, field, value));
  }

  #set(index: number, field: string, value: number): void {
    const at = this.at(index, field);
    const { dv } = this.arena;
    switch (this.records.fields[field].size) {
      case 1:
        dv.setUint8(at, value);
        break;
      case 2:
        dv.setUint16(at, value, true);
        break;
      case 8:
        dv.setBigUint64(at, BigInt(value), true);
        break;
      default:
        dv.setUint32(at, value, true);
    }
  }

  /** A word that several threads write. */
  word(index: number, field: string): number {
    return Atomics.load(this.arena.u32, this.at(index, field) >> 2);
  }

  add(index: number, field: string, by: number): void {
    this.#write(() => Atomics.add(this.arena.u32, this.at(index, field) >> 2, by));
  }

  /** Fields of an inner structure, by their names in it. */
  inner(index: number, prefix: string): Record<string, number> {
    const out: Record<string, number> = {};
    for (const name of Object.keys(this.records.fields))
      if (name.startsWith(prefix)) out[name.slice(prefix.length)] = this.get(index, name);
    return out;
  }
}

/** Names that the keys of a map of counters have. */
export function counterNames({ btf }: MapSpec): ReadonlySet<string> {
  const keys = btf?.keyId ? resolve(btf.types, btf.keyId) : undefined;
  return new Set(keys?.kind === 'enum' ? enumTable(keys).byName.keys() : []);
}

/** What programs counted on all lanes, by the names of the enum that is the map's key; 0 is left out. */
export function namedCounters(map: KeyedMap<number, bigint[]>): Record<string, number> {
  const { types, keyId } = map.spec.btf!;
  const names = resolve(types, keyId);
  if (names.kind !== 'enum')
    throw new EtherloomError('ERR_TRANSPORT_OBJECT', `${map.name} without names`, {
      expected: 'keys of an enum',
    });
  const out: Record<string, number> = {};
  for (const [value, name] of enumTable(names).byValue) {
    if (Number(value) >= map.maxEntries) continue;
    const n = map.get(Number(value))!.reduce((sum, v) => sum + Number(v), 0);
    if (n) out[name] = n;
  }
  return out;
}
