/** array. Every index from 0 to maxEntries - 1 is always there. */
import type { MapSpec } from '../spec.js';
import { type Codec, codecFor, indexCodec } from './codec.js';
import { KeyedMap } from './keyed.js';
import type { MapPlace } from './map.js';
import type { StorePlace } from './store.js';
import { loadBytes, storeBytes } from './words.js';

/** Keys 0 … count - 1 as bytes. */
export function* indexKeys(count: number): IterableIterator<Uint8Array> {
  for (let i = 0; i < count; i++) {
    const key = new Uint8Array(4);
    new DataView(key.buffer).setUint32(0, i, true);
    yield key;
  }
}

/** One global variable of a program, live in the arena. */
export interface GlobalVariable<T = unknown> {
  readonly name: string;
  /** Where it lives. */
  readonly addr: number;
  get(): T;
  /** @throws MapError EPERM when the section is read-only or frozen */
  set(value: T | Uint8Array): void;
}

export class ArrayMap<V = unknown> extends KeyedMap<number, V> {
  constructor(spec: MapSpec, place: MapPlace | StorePlace, codecs: { value?: Codec } = {}) {
    super(spec, place, { key: indexCodec, ...codecs });
  }

  override get size(): number {
    return this.maxEntries;
  }

  /** Sets every value to zero: elements of an array cannot be removed. */
  override clear(): void {
    this.assertWritable();
    this.store.zero();
  }

  /**
   * A global variable of the program: the map is one of .data, .rodata, .bss and their like.
   * @throws MapError ENOENT when the section has no such variable
   */
  global<T = unknown>(name: string): GlobalVariable<T> {
    const found = this.#variables().find(v => v.name === name);
    if (!found)
      throw this.error(
        'ENOENT',
        `no variable ${name}`,
        this.globals.join(', ') || 'a map with BTF of a data section',
      );
    const at = this.header.dataAt + found.offset;
    const codec = codecFor(this.spec.btf!.types, found.type, found.size);
    return {
      name,
      addr: at,
      get: () => {
        this.assertReadable();
        return codec.decode(loadBytes(this.arena, at, found.size)) as T;
      },
      set: value => {
        this.assertWritable();
        const bytes = new Uint8Array(found.size);
        codec.encode(value, bytes);
        storeBytes(this.arena, at, bytes);
      },
    };
  }

  /** Names of the variables in it. */
  get globals(): string[] {
    return this.#variables().map(v => v.name);
  }

  #variables(): { name: string; type: number; offset: number; size: number }[] {
    const { types, valueId } = this.spec.btf ?? { types: undefined, valueId: 0 };
    const section = types?.types[valueId];
    if (section?.kind !== 'datasec') return [];
    return section.vars.flatMap(({ type, offset, size }) => {
      const v = types!.types[type];
      return v?.kind === 'var' && offset + size <= this.valueSize
        ? [{ name: v.name, type: v.type, offset, size }]
        : [];
    });
  }

  override rawKeys(): IterableIterator<Uint8Array> {
    return indexKeys(this.maxEntries);
  }
}
