/** lpm_trie: longest prefix match. Keys are "10.0.0.0/8", { prefixlen, data }, bytes, or objects by BTF. */
import type { MapSpec } from '../spec.js';
import { parsePrefix } from './cidr.js';
import { type Codec, keyCodec } from './codec.js';
import { MapError } from './errors.js';
import { KeyedMap } from './keyed.js';
import type { MapPlace } from './map.js';
import type { StorePlace } from './store.js';

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

/** Iterates longer prefixes before shorter ones, as the kernel goes: a snapshot of the moment of the first step. */
export class LpmTrieMap<K = LpmKey | string, V = unknown> extends KeyedMap<K, V> {
  constructor(spec: MapSpec, place: MapPlace | StorePlace) {
    super(spec, place, { key: lpmKeyCodec(spec) });
  }
}
