/**
 * Where the elements of a keyed map are: bytes in, bytes out. The classes of maps turn bytes into keys and values;
 * below them lies the arena (arena_store.ts) or the real kernel (kernel/map_store.ts).
 *
 *   HashMap, ArrayMap, LpmTrieMap … ── encode ──▶ store.key, store.value ── lookup, update, delete, keys ──▶ elements
 */
export interface MapStore {
  /** The key of the next call: written by the caller. */
  readonly key: Uint8Array;
  /** The value of the next update: for per-CPU maps every copy, each rounded up to 8 bytes. */
  readonly value: Uint8Array;
  /** Values that a key has: 1, or one per lane or CPU. */
  readonly copies: number;
  /** Elements held now. */
  readonly size: number;
  /** A copy of the value under `key`, all copies of it for per-CPU maps; undefined when there is none. */
  lookup(): Uint8Array | undefined;
  has(): boolean;
  /** Puts `value` under `key`. @param flags UpdateFlag @throws MapError */
  update(flags: number): void;
  /** False when the key was not there. @throws MapError for types whose elements stay */
  delete(): boolean;
  /** Lookup and delete in one step. @throws MapError for types that have no such thing */
  take(): Uint8Array | undefined;
  /** Keys in the order of get_next_key. */
  keys(): IterableIterator<Uint8Array>;
  /** Arrays: every value zero. */
  zero(): void;
  /** Of stores whose calls are dear. */
  readonly batch?: BatchStore;
}

/** Many elements at once: keys, and values, side by side. */
export interface BatchStore {
  /** Every key with its value, as of the first step. */
  entries(): IterableIterator<[Uint8Array, Uint8Array]>;
  /** Puts values under keys as UpdateFlag.ANY. Returns how many, and why not the next. */
  update(keys: Uint8Array, values: Uint8Array): { done: number; error?: Error | undefined };
  /** Returns how many keys were there. @throws MapError for types whose elements stay */
  delete(keys: Uint8Array): number;
}

/** A map whose elements lie outside of the arena. */
export interface StorePlace {
  readonly store: MapStore & {
    /** BPF_MAP_FREEZE, below us. */
    freeze(): void;
    close(): void;
  };
}
