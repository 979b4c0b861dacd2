/** Maps whose values are programs or maps: prog_array, array_of_maps, hash_of_maps. */
import type { Arena } from '../../mem/arena.js';
import { type Placed, type ProgramRef, programAt } from '../residence.js';
import type { MapSpec } from '../spec.js';
import { sameShape } from './check.js';
import { type Codec, indexCodec } from './codec.js';
import { MapError } from './errors.js';
import { KeyedMap } from './keyed.js';
import { BpfMap, type MapPlace, mapAt } from './map.js';
import { ProgramEntriesMap } from './program_entries.js';

const word = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
const putWord = (n: number, into: Uint8Array): void =>
  new DataView(into.buffer, into.byteOffset).setUint32(0, n, true);

/** Table slots of tail calls in the arena, loaded programs outside. */
const programCodec = (arena: Arena): Codec => ({
  size: 4,
  encode: (value, into) => putWord((value as Placed).tail, into),
  decode: bytes => programAt(arena, word(bytes)),
});

/** prog_array: what bpf_tail_call jumps to. */
export class ProgArrayMap extends ProgramEntriesMap<Placed> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { key: indexCodec, value: programCodec(place.arena) });
  }

  /**
   * The first program, entry or user, decides the kind of all: a tail call hands the caller's context on.
   * @throws MapError EINVAL for what is no loaded program, or one of another kind
   */
  override set(key: number | Uint8Array, value: ProgramRef | Uint8Array, flags?: number): this {
    this.assertWritable();
    const program = this.programs.admit(value);
    return this.setEntry(key, program.program!, flags, program);
  }
}

/** Inner maps by address; a template decides which may come in. */
function mapCodec(spec: MapSpec, place: MapPlace): Codec {
  return {
    size: 4,
    encode(value, into) {
      if (!(value instanceof BpfMap) || value.arena !== place.arena || value.destroyed)
        throw new MapError('EINVAL', `map "${spec.name}": no map of this arena`, { expected: 'a BpfMap' });
      if (!sameShape(spec.inner!, value.spec))
        throw new MapError('EINVAL', `map "${spec.name}": "${value.name}" differs from the inner template`, {
          expected: `${spec.inner!.type}, key ${spec.inner!.keySize}, value ${spec.inner!.valueSize}, ${spec.inner!.maxEntries} entries, flags ${spec.inner!.flags}`,
        });
      putWord(value.addr, into);
    },
    decode: bytes => mapAt(place.arena, word(bytes)),
  };
}

/** Inner maps are not destroyed while an entry points to them. */
abstract class InnerMaps<K> extends KeyedMap<K, BpfMap> {
  override set(key: K | Uint8Array, value: BpfMap, flags?: number): this {
    const old = this.get(key);
    super.set(key, value, flags);
    value.hold(1);
    old?.hold(-1);
    return this;
  }

  override delete(key: K | Uint8Array): boolean {
    const old = this.get(key);
    const was = super.delete(key);
    if (was) old?.hold(-1);
    return was;
  }

  protected override onDestroy(): void {
    for (const inner of this.values()) inner.hold(-1);
  }
}

export class ArrayOfMaps extends InnerMaps<number> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { key: indexCodec, value: mapCodec(spec, place) });
  }
}

export class HashOfMaps<K = unknown> extends InnerMaps<K> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: mapCodec(spec, place) });
  }
}
