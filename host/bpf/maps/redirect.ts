/** Redirect targets: devmap, devmap_hash (ports), cpumap (lanes), xskmap (application sockets). */
import type { Arena } from '../../mem/arena.js';
import { type ProgramRef, programAt, type Residence, residenceOf } from '../residence.js';
import type { MapSpec } from '../spec.js';
import { type Codec, indexCodec } from './codec.js';
import { MapError } from './errors.js';
import { KeyedMap } from './keyed.js';
import type { MapPlace } from './map.js';
import { ProgramEntriesMap } from './program_entries.js';

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

/** Entries with a target, and a program if they want one. */
abstract class TargetMap<V extends DevmapValue | CpumapValue> extends ProgramEntriesMap<number | V> {
  constructor(spec: MapSpec, place: MapPlace, first: 'ifindex' | 'qsize') {
    super(spec, place, { key: indexCodec, value: pairCodec(spec, place.arena, first) });
  }

  /** @throws MapError EINVAL for a program that is not loaded, or not of the section that the map wants */
  override set(key: number | Uint8Array, value: number | V | Uint8Array, flags?: number): this {
    this.assertWritable();
    return this.setEntry(key, value, flags, this.#programIn(value));
  }

  /** The program that a value names; undefined without one. @throws MapError EINVAL for one that may not be an entry */
  #programIn(value: unknown): Residence | undefined {
    const given = (value as DevmapValue | CpumapValue | null)?.program;
    if (value instanceof Uint8Array || given === undefined) return undefined;
    return this.programs.admit(given);
  }
}

/** set() takes an ifindex or { ifindex, program }; ifindex 0 empties the entry. */
export class DevMap extends TargetMap<DevmapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, 'ifindex');
  }
}

/** As DevMap, under any u32. */
export class DevHashMap extends TargetMap<DevmapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, 'ifindex');
  }
}

/** Key = lane; set() takes a queue size or { qsize, program }; size 0 empties the entry. */
export class CpuMap extends TargetMap<CpumapValue> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, 'qsize');
  }
}

/** Key = receive queue, value = number of the application socket. */
export class XskMap extends KeyedMap<number, number> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { key: indexCodec, value: socketCodec });
  }
}
