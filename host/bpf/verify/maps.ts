/**
 * What the verifier knows of a map: sizes, who may write, constants, and the members of its value that the
 * program may touch only through helpers (found by name in its BTF, as the kernel finds them).
 */
import type { Btf } from '../btf/btf.js';
import { resolveId, sizeOf } from '../btf/types.js';
import { type FieldRecord, valueRecord } from '../objects/fields.js';
import type { MapSpec, MapTypeName } from '../spec.js';

/** A member that loads and stores may not touch. */
export interface SpecialField {
  name: string;
  off: number;
  size: number;
}

export interface MapInfo {
  /** Key of spec.maps; −1 for the template of inner maps. */
  readonly key: number;
  readonly name: string;
  readonly type: MapTypeName;
  readonly keySize: number;
  readonly valueSize: number;
  /** Elements that the map has for sure: inner maps with BPF_F_INNER_MAP may be smaller than their template. */
  readonly sureEntries: number;
  /** BPF_F_RDONLY_PROG: the program may not write. */
  readonly readOnly: boolean;
  /** BPF_F_WRONLY_PROG: the program may not read. */
  readonly writeOnly: boolean;
  /** Contents that never change: a frozen read-only array of one element. */
  readonly constants: Uint8Array | undefined;
  /** LDDW may take the address of a value. */
  readonly direct: boolean;
  readonly special: readonly SpecialField[];
  /** Offset of the spin lock in the value, −1 without. */
  readonly lockOff: number;
  /** Offset of the timer in the value, −1 without. */
  readonly timerOff: number;
  /** What of the value is the engine's, when it may hold objects. */
  readonly record: FieldRecord | undefined;
  readonly btf: Btf | undefined;
  readonly inner: MapInfo | undefined;
}

const F_RDONLY_PROG = 128;
const F_WRONLY_PROG = 256;
const F_INNER_MAP = 0x1000;
const SPECIAL: ReadonlySet<string> = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
]);
/** Values that hold a port's or socket's number: read-only to programs whatever the flags say. */
const ALWAYS_READ_ONLY: ReadonlySet<MapTypeName> = new Set(['devmap', 'devmap_hash', 'xskmap']);
const MAX_DEPTH = 8;
const MAX_FIELDS = 32;
/** Members looked at: BTF may come from anybody. */
const MAX_VISITS = 20_000;

/** Special members of type `id`, with offsets from the start of the outermost value. */
export function specialFields(btf: Btf, id: number): SpecialField[] {
  const found: SpecialField[] = [];
  let visits = 0;
  const walk = (typeId: number, off: number, depth: number): void => {
    if (depth > MAX_DEPTH || found.length >= MAX_FIELDS || ++visits > MAX_VISITS) return;
    const at = resolveId(btf, typeId);
    const type = btf.types[at];
    if (type.kind === 'struct' && SPECIAL.has(type.name)) {
      found.push({ name: type.name, off, size: type.size });
    } else if (type.kind === 'struct') {
      for (const m of type.members) if (m.bitSize === 0) walk(m.type, off + m.bitOffset / 8, depth + 1);
    } else if (type.kind === 'array' && type.count > 0) {
      const element = sizeOf(btf, type.type);
      for (let i = 0; i < Math.min(type.count, MAX_FIELDS); i++)
        walk(type.type, off + i * element, depth + 1);
    }
  };
  walk(id, 0, 0);
  return found;
}

export function mapInfo(spec: MapSpec, key: number): MapInfo {
  const special = spec.btf?.valueId ? specialFields(spec.btf.types, spec.btf.valueId) : [];
  const record = spec.btf?.valueId ? valueRecord(spec.btf.types, spec.btf.valueId) : undefined;
  // Of sections, and of kptrs, only the record knows.
  for (const { name, off, bytes } of record?.fields ?? [])
    if (!special.some(f => f.off === off)) special.push({ name, off, size: bytes });
  const readOnly = (spec.flags & F_RDONLY_PROG) !== 0 || ALWAYS_READ_ONLY.has(spec.type);
  const direct = spec.type === 'array' && spec.maxEntries === 1;
  return {
    key,
    name: spec.name,
    type: spec.type,
    keySize: spec.keySize,
    valueSize: spec.valueSize,
    sureEntries: key < 0 && spec.flags & F_INNER_MAP ? 0 : spec.maxEntries,
    readOnly,
    writeOnly: (spec.flags & F_WRONLY_PROG) !== 0,
    constants: direct && readOnly && spec.frozen ? contentsOf(spec) : undefined,
    direct,
    special,
    lockOff: special.find(f => f.name === 'bpf_spin_lock')?.off ?? -1,
    timerOff: special.find(f => f.name === 'bpf_timer')?.off ?? -1,
    record,
    btf: spec.btf?.types,
    inner: spec.inner && mapInfo(spec.inner, -1),
  };
}

/** A value's bytes: what the spec gives, zeroes behind. */
function contentsOf(spec: MapSpec): Uint8Array {
  const bytes = new Uint8Array(spec.valueSize);
  if (spec.contents) bytes.set(spec.contents.subarray(0, spec.valueSize));
  return bytes;
}
