/** Redirect targets: devmap, devmap_hash (ports), cpumap (lanes), xskmap (application sockets). */
import type { Arena } from '../../mem/arena.js';
import { type ProgramRef, programAt, type Residence, residenceOf } from '../residence.js';
import type { MapSpec } from '../spec.js';
import { ArrayMap } from './array.js';
import { type Codec, indexCodec } from './codec.js';
import { MapError } from './errors.js';
import { HashTableMap } from './hash.js';
import type { BpfMap, MapPlace } from './map.js';
import type { MapPrograms } from './programs.js';

/** Port to send to, and the program run on the way out: of section xdp/devmap. */
export interface DevmapValue {
  ifindex: number;
  program?: ProgramRef | undefined;
}

/** Packets that may wait for the lane, and the program run there: of section xdp/cpumap. */
export interface CpumapValue {
  qsize: number;
  program?: ProgramRef | undefined;
}

/** The program that a value names; undefined without one. @throws MapError EINVAL for one that may not be an entry */
function programIn(map: BpfMap & { readonly programs: MapPrograms }, value: unknown): Residence | undefined {
  const given = (value as DevmapValue | CpumapValue | null)?.program;
  if (value instanceof Uint8Array || given === undefined) return undefined;
  return map.programs.admit(given);
}

/** {u32, table slot}: a plain number stands for the first word alone. The program was admitted before. */
function pairCodec(spec: MapSpec, arena: Arena, first: 'ifindex' | 'qsize'): Codec {
  return {
    size: 8,
    encode(value, into) {
      if (value instanceof Uint8Array) {
        // The second word would be a table slot, which nobody may make up.
        if ((value.length !== 4 && value.length !== 8) || value.subarray(4).some(b => b !== 0))
          throw new MapError('EINVAL', `map "${spec.name}": ${value.length} bytes`, {
            expected: `4 bytes of ${first}, or 8 of which the last four are 0`,
          });
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
      const slot = residenceOf(given?.program)?.run ?? 0;
      if (slot && spec.valueSize < 8)
        throw new MapError('EINVAL', `map "${spec.name}": values of 4 bytes take no program`, {
          expected: 'a value size of 8',
        });
      if (slot && n === 0)
        throw new MapError('EINVAL', `map "${spec.name}": a program without a target`, {
          expected: `${first} of at least 1`,
        });
      const dv = new DataView(into.buffer, into.byteOffset);
      dv.setUint32(0, n, true);
      dv.setUint32(4, slot, true);
    },
    decode(bytes) {
      const dv = new DataView(bytes.buffer, bytes.byteOffset);
      const program = programAt(arena, dv.getUint32(4, true));
      return program ? { [first]: dv.getUint32(0, true), program } : { [first]: dv.getUint32(0, true) };
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
}

/** Array entries with a program. */
abstract class TargetMap<V extends DevmapValue | CpumapValue> extends EntryMap<number | V> {
  declare readonly programs: MapPrograms;

  /** @throws MapError EINVAL for a program that is not loaded, or not of the section that the map wants */
  override set(key: number | Uint8Array, value: number | V | Uint8Array, flags?: number): this {
    this.assertWritable();
    const program = programIn(this, value);
    super.set(key, value, flags);
    this.programs.put(this.keyWord, program);
    return this;
  }

  override delete(key: number | Uint8Array): boolean {
    const was = super.delete(key);
    this.programs.put(this.keyWord, undefined);
    return was;
  }
}

/** set() takes an ifindex or { ifindex, program }; ifindex 0 empties the entry. */
export class DevMap extends TargetMap<DevmapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: pairCodec(spec, place.arena, 'ifindex') });
  }
}

/** Key = lane; set() takes a queue size or { qsize, program }; size 0 empties the entry. */
export class CpuMap extends TargetMap<CpumapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: pairCodec(spec, place.arena, 'qsize') });
  }
}

/** Key = receive queue, value = number of the application socket. */
export class XskMap extends EntryMap<number> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: socketCodec });
  }
}

export class DevHashMap extends HashTableMap<number, number | DevmapValue> {
  declare readonly programs: MapPrograms;

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { key: indexCodec, value: pairCodec(spec, place.arena, 'ifindex') });
  }

  override set(key: number | Uint8Array, value: number | DevmapValue | Uint8Array, flags?: number): this {
    this.assertWritable();
    const program = programIn(this, value);
    super.set(key, value, flags);
    this.programs.put(this.keyWord, program);
    return this;
  }

  override delete(key: number | Uint8Array): boolean {
    const was = super.delete(key);
    this.programs.put(this.keyWord, undefined);
    return was;
  }

  override take(_key: number | Uint8Array): DevmapValue | undefined {
    throw this.error('EOPNOTSUPP', 'no lookup-and-delete');
  }
}
