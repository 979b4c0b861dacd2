/**
 * A type of objects as the engine knows it, whichever file it came from: what it is called by, and what of it is the
 * engine's. Two files that share a map must mean the same by what is in it; `key` is equal when they do.
 */
import type { Btf } from '../btf/btf.js';
import { nameOf, typeOf } from '../btf/types.js';
import { type FieldRecord, structRecords, valueRecord } from './fields.js';

/** A member: FieldKind, offset, bytes. */
export interface FieldLayout {
  kind: number;
  off: number;
  bytes: number;
}

/** Plain data: posted to lanes with compiled programs. */
export interface ObjectLayout {
  /** Name, size and members of the type, and of all that it holds. */
  key: string;
  bytes: number;
  fields: readonly FieldLayout[];
  /** Offsets, −1 without. */
  lockOff: number;
  refcountOff: number;
}

const sizeOfStruct = (btf: Btf, id: number): number => {
  const type = typeOf(btf, id);
  return type.kind === 'struct' ? type.size : 0;
};

/** Every type that is reached from `record`, each once, by the number of its place. */
function describe(btf: Btf, record: FieldRecord | undefined): string {
  const records = structRecords(btf);
  const order: number[] = [];
  const place = (id: number): number => {
    if (!order.includes(id)) order.push(id);
    return order.indexOf(id);
  };
  const row = (of: FieldRecord | undefined): unknown =>
    of?.fields.map(f => [
      f.kind,
      f.off,
      ...(f.holds === undefined ? [] : [place(f.holds), f.nodeOff ?? -1]),
    ]) ?? [];
  const rows = [row(record)];
  for (let i = 0; i < order.length; i++) {
    const id = order[i];
    rows.push([nameOf(typeOf(btf, id)), sizeOfStruct(btf, id), row(records.get(id))]);
  }
  return JSON.stringify(rows);
}

const plain = (record: FieldRecord | undefined): FieldLayout[] =>
  record?.fields.map(({ kind, off, bytes }) => ({ kind, off, bytes })) ?? [];

/** Of structure `id`, which bpf_obj_new makes. */
export function objectLayout(btf: Btf, id: number): ObjectLayout {
  const record = structRecords(btf).get(id);
  const bytes = sizeOfStruct(btf, id);
  return {
    key: `${nameOf(typeOf(btf, id))} ${bytes} ${describe(btf, record)}`,
    bytes,
    fields: plain(record),
    lockOff: record?.lockOff ?? -1,
    refcountOff: record?.refcountOff ?? -1,
  };
}

/** What of a map's value is the engine's, when it holds objects: trees, lists, kptrs. */
export function valueLayout(spec: {
  btf?: { types: Btf; valueId: number } | undefined;
}): ObjectLayout | undefined {
  if (!spec.btf?.valueId) return undefined;
  const record = valueRecord(spec.btf.types, spec.btf.valueId);
  if (!record?.fields.some(f => f.holds !== undefined)) return undefined;
  const { lockOff, refcountOff } = record;
  return { key: describe(spec.btf.types, record), bytes: 0, fields: plain(record), lockOff, refcountOff };
}
