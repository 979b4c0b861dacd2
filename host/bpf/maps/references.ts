/** Maps whose values are programs or maps: prog_array, array_of_maps, hash_of_maps. */
import type { Arena } from '../../mem/arena.js';
import { type Placed, type ProgramRef, programAt } from '../residence.js';
import type { MapSpec } from '../spec.js';
import { ArrayMap } from './array.js';
import { sameShape } from './check.js';
import type { Codec } from './codec.js';
import { MapError } from './errors.js';
import { HashTableMap } from './hash.js';
import { BpfMap, type MapPlace, mapAt } from './map.js';
import type { MapPrograms } from './programs.js';

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
export class ProgArrayMap extends ArrayMap<Placed> {
  declare readonly programs: MapPrograms;

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: programCodec(place.arena) });
  }

  /**
   * The first program, entry or user, decides the kind of all: a tail call hands the caller's context on.
   * @throws MapError EINVAL for what is no loaded program, or one of another kind
   */
  override set(key: number | Uint8Array, value: ProgramRef | Uint8Array, flags?: number): this {
    this.assertWritable();
    const program = this.programs.admit(value);
    super.set(key, program.program!, flags);
    this.programs.put(this.keyWord, program);
    return this;
  }

  override delete(key: number | Uint8Array): boolean {
    const was = super.delete(key);
    this.programs.put(this.keyWord, undefined);
    return was;
  }

  /** Programs held. */
  override get size(): number {
    return [...this.rawEntries()].length;
  }

  override clear(): void {
    for (let i = 0; i < this.maxEntries; i++) this.delete(i);
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

/** Keeps inner maps from being destroyed while an entry points to them. */
function rehold(old: BpfMap | undefined, now: BpfMap | undefined): void {
  now?.hold(1);
  old?.hold(-1);
}

export class ArrayOfMaps extends ArrayMap<BpfMap> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: mapCodec(spec, place) });
  }

  override get size(): number {
    return [...this.rawEntries()].length;
  }

  override set(key: number | Uint8Array, value: BpfMap, flags?: number): this {
    const old = this.get(key);
    super.set(key, value, flags);
    rehold(old, value);
    return this;
  }

  override delete(key: number | Uint8Array): boolean {
    const old = this.get(key);
    const was = super.delete(key);
    if (was) rehold(old, undefined);
    return was;
  }

  override clear(): void {
    for (let i = 0; i < this.maxEntries; i++) this.delete(i);
  }

  protected override onDestroy(): void {
    for (const inner of this.values()) inner.hold(-1);
  }
}

export class HashOfMaps<K = unknown> extends HashTableMap<K, BpfMap> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: mapCodec(spec, place) });
  }

  override set(key: K | Uint8Array, value: BpfMap, flags?: number): this {
    const old = this.get(key);
    super.set(key, value, flags);
    rehold(old, value);
    return this;
  }

  override delete(key: K | Uint8Array): boolean {
    const old = this.get(key);
    const was = super.delete(key);
    if (was) rehold(old, undefined);
    return was;
  }

  override take(_key: K | Uint8Array): BpfMap | undefined {
    throw this.error('EOPNOTSUPP', 'no lookup-and-delete');
  }

  protected override onDestroy(): void {
    for (const inner of this.values()) inner.hold(-1);
  }
}
