/** lpm_trie: longest prefix match. Keys are "10.0.0.0/8", { prefixlen, data }, bytes, or objects by BTF. */
import type { MapSpec } from '../spec.js';
import { parsePrefix } from './cidr.js';
import { type Codec, keyCodec } from './codec.js';
import { check, Errno, MapError } from './errors.js';
import { KeyedMap } from './keyed.js';
import type { MapPlace } from './map.js';

/** Key of a trie: how many bits count, and the bits in network order. */
export interface LpmKey {
  prefixlen: number;
  data: Uint8Array;
}

function lpmKeyCodec(spec: MapSpec): Codec {
  const size = spec.keySize - 4;
  const typed = spec.btf ? keyCodec(spec) : undefined;
  const put = ({ prefixlen, data }: LpmKey, into: Uint8Array): void => {
    if (data.length !== size)
      throw new MapError('EINVAL', `${data.length} bytes of data`, { expected: `${size} bytes` });
    new DataView(into.buffer, into.byteOffset).setUint32(0, prefixlen, true);
    into.set(data, 4);
  };
  return {
    size: spec.keySize,
    encode(value, into) {
      if (value instanceof Uint8Array) {
        if (value.length !== spec.keySize)
          throw new MapError('EINVAL', `${value.length} bytes`, { expected: `${spec.keySize} bytes` });
        into.set(value);
      } else if (typeof value === 'string') put(parsePrefix(value, size), into);
      else if ((value as LpmKey)?.data instanceof Uint8Array) put(value as LpmKey, into);
      else if (typed) typed.encode(value, into);
      else
        throw new MapError('EINVAL', `a ${typeof value} as key`, {
          expected: '"ADDRESS/LENGTH", { prefixlen, data } or bytes',
        });
    },
    decode(from) {
      if (typed) return typed.decode(from);
      return {
        prefixlen: new DataView(from.buffer, from.byteOffset).getUint32(0, true),
        data: from.slice(4),
      };
    },
  };
}

export class LpmTrieMap<K = LpmKey | string, V = unknown> extends KeyedMap<K, V> {
  constructor(spec: MapSpec, place: MapPlace) {
    super(spec, place, { key: lpmKeyCodec(spec) });
  }

  /** Longer prefixes before shorter ones, as the kernel goes. A snapshot of the moment of the first step. */
  override *rawKeys(): IterableIterator<Uint8Array> {
    this.assertReadable();
    const { keyBuf, nextBuf } = this.storage;
    const { u8 } = this.arena;
    const keys: Uint8Array[] = [];
    for (let first = true; ; first = false) {
      const result = this.core.exports.map_get_next_key(this.addr, first ? 0 : keyBuf, nextBuf);
      if (result === BigInt(-Errno.ENOENT) || keys.length > this.maxEntries) break;
      check(result, () => this.label('iterate'));
      u8.copyWithin(keyBuf, nextBuf, nextBuf + this.keySize);
      keys.push(u8.slice(nextBuf, nextBuf + this.keySize));
    }
    yield* keys;
  }
}
