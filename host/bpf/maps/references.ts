/** Maps whose values are programs or maps: prog_array, array_of_maps, hash_of_maps. */
import { ProgramEntries, residenceAt, residenceOf } from '../residence.js';
import type { MapSpec, ProgramType } from '../spec.js';
import { ArrayMap } from './array.js';
import { sameShape } from './check.js';
import type { Codec } from './codec.js';
import { MapError } from './errors.js';
import { HashTableMap } from './hash.js';
import { BpfMap, type MapPlace, mapAt } from './map.js';

/** A loaded program, or its table slot for tail calls. */
export type TailTarget =
  | { readonly tail: number; readonly tailSlot?: undefined }
  | { readonly tailSlot: number };

const word = (bytes: Uint8Array): number => new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
const putWord = (n: number, into: Uint8Array): void =>
  new DataView(into.buffer, into.byteOffset).setUint32(0, n, true);

const slotCodec: Codec = {
  size: 4,
  encode(value, into) {
    const slot = typeof value === 'number' ? value : (value as TailTarget | undefined)?.tailSlot;
    if (!Number.isInteger(slot) || slot! <= 0 || slot! > 0xffffffff)
      throw new MapError('EINVAL', 'no program', {
        expected: '{ tailSlot } of a loaded program, or the slot',
      });
    putWord(slot!, into);
  },
  decode: word,
};

/** prog_array: what bpf_tail_call jumps to. get() returns the table slot. */
export class ProgArrayMap extends ArrayMap<number | TailTarget> {
  readonly #programs = new ProgramEntries(this);
  #owner: ProgramType | undefined;

  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { value: slotCodec });
  }

  /**
   * Takes what Engine.load or HostPrograms.load returned. The first program decides the type of all: a tail call
   * hands the caller's context on. @throws MapError EINVAL naming both types
   */
  override set(key: number | Uint8Array, value: TailTarget | Uint8Array | number, flags?: number): this {
    const slot = typeof value === 'number' ? value : (value as TailTarget | undefined)?.tailSlot;
    const program = residenceOf(value) ?? residenceAt(this.arena, slot);
    if (program && (program.arena !== this.arena || !program.loaded))
      throw this.error('EINVAL', `${program.name} is not loaded in this arena`);
    if (program && program.type !== (this.#owner ?? program.type))
      throw this.error(
        'EINVAL',
        `${program.name} is of type ${program.type}`,
        `programs of type ${this.#owner}`,
      );
    super.set(key, program ? { tailSlot: program.tail } : value, flags);
    this.#owner ??= program?.type;
    this.#programs.put(this.arena.u32[this.storage.keyBuf >>> 2], program);
    return this;
  }

  override delete(key: number | Uint8Array): boolean {
    const was = super.delete(key);
    this.#programs.put(this.arena.u32[this.storage.keyBuf >>> 2], undefined);
    return was;
  }

  protected override onDestroy(): void {
    this.#programs.clear();
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
