/** Redirect targets: devmap, devmap_hash (ports), cpumap (lanes), xskmap (application sockets). */
import type { MapSpec } from '../spec.js';
import { ArrayMap } from './array.js';
import { type Codec, indexCodec } from './codec.js';
import { MapError } from './errors.js';
import { HashTableMap } from './hash.js';
import type { MapPlace } from './map.js';

/** A program run at the target: its table slot, or what knows it. */
export type TargetProgram = number | { readonly runSlot: number } | { readonly slot: number };

/** Port to send to, and the program run on the way out. */
export interface DevmapValue {
  ifindex: number;
  program?: TargetProgram | undefined;
}

/** Packets that may wait for the lane, and the program run there. */
export interface CpumapValue {
  qsize: number;
  program?: TargetProgram | undefined;
}

function slotOf(program: TargetProgram | undefined): number {
  if (program === undefined) return 0;
  const slot = typeof program === 'number' ? program : 'runSlot' in program ? program.runSlot : program.slot;
  if (!Number.isInteger(slot) || slot < 0)
    throw new MapError('EINVAL', 'no program', { expected: 'a table slot or { runSlot }' });
  return slot;
}

/** {u32, table slot}: a plain number stands for the first word alone. */
function pairCodec(spec: MapSpec, first: 'ifindex' | 'qsize'): Codec {
  return {
    size: 8,
    encode(value, into) {
      if (value instanceof Uint8Array) {
        if (value.length !== 4 && value.length !== 8)
          throw new MapError('EINVAL', `${value.length} bytes`, { expected: '4 or 8' });
        into.set(value);
        return;
      }
      const given =
        typeof value === 'number' ? { [first]: value } : (value as Record<string, unknown> | null);
      const n = given?.[first];
      if (typeof n !== 'number' || !Number.isInteger(n) || n < 0)
        throw new MapError('EINVAL', `map "${spec.name}": no ${first}`, {
          expected: `a number or { ${first}, program }`,
        });
      const slot = slotOf(given?.program as TargetProgram | undefined);
      if (slot && spec.valueSize < 8)
        throw new MapError('EINVAL', `map "${spec.name}": values of 4 bytes take no program`, {
          expected: 'a value size of 8',
        });
      const dv = new DataView(into.buffer, into.byteOffset);
      dv.setUint32(0, n, true);
      dv.setUint32(4, slot, true);
    },
    decode(bytes) {
      const dv = new DataView(bytes.buffer, bytes.byteOffset);
      const slot = dv.getUint32(4, true);
      return slot ? { [first]: dv.getUint32(0, true), program: slot } : { [first]: dv.getUint32(0, true) };
    },
  };
}

/** Number of a socket: word 0 only says that there is one. */
const socketCodec: Codec = {
  size: 4,
  encode: (value, into) => indexCodec.encode(value, into),
  decode: bytes => new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true),
};

abstract class EntryMap<V> extends ArrayMap<V> {
  /** Entries that name a target. */
  override get size(): number {
    return [...this.rawEntries()].length;
  }
  override clear(): void {
    for (let i = 0; i < this.maxEntries; i++) this.delete(i);
  }
  protected override copyOut(at: number): Uint8Array {
    return this.arena.u8.slice(at, at + 8);
  }
}

/** set() takes an ifindex or { ifindex, program }; ifindex 0 empties the entry. */
export class DevMap extends EntryMap<number | DevmapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: pairCodec(spec, 'ifindex') });
  }
}

/** Key = lane; set() takes a queue size or { qsize, program }; size 0 empties the entry. */
export class CpuMap extends EntryMap<number | CpumapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: pairCodec(spec, 'qsize') });
  }
}

/** Key = receive queue, value = number of the application socket. */
export class XskMap extends EntryMap<number> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: socketCodec });
  }
}

export class DevHashMap extends HashTableMap<number, number | DevmapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { key: indexCodec, value: pairCodec(spec, 'ifindex') });
  }
  override take(_key: number | Uint8Array): DevmapValue | undefined {
    throw this.error('EOPNOTSUPP', 'no lookup-and-delete');
  }
  protected override copyOut(at: number): Uint8Array {
    return this.arena.u8.slice(at, at + 8);
  }
}
