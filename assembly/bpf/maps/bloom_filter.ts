// BPF_MAP_TYPE_BLOOM_FILTER: a set of values without keys; may say yes wrongly, never no.
//   dataAt ─▶ bits, a power of two of them (aux1 = mask)     aux0 = number of hashes     aux2 ─▶ coefficients
// Bit i of a value is h1 + i · h2 (Kirsch, Mitzenmacher 2006: two hashes serve as well as many). Both halves come
// from the same strongly universal hash under two sets of coefficients. Pushes are one atomic or each, no lock.
import { hashKey } from "./hash_key";
import { Errno, fail, head } from "./map";

// @ts-ignore: decorator
@inline function secondSeeds(map: usize): usize {
  return head(map).aux2 + ((((head(map).valueSize + 3) >> 2) + 2) << 3);
}

export function bloom_filter_push_elem(map: usize, value: usize, flags: u64): i64 {
  if (flags) return fail(Errno.EINVAL);
  const h = head(map);
  let bit = hashKey(h.aux2, value, h.valueSize);
  const step = hashKey(secondSeeds(map), value, h.valueSize) | 1;
  for (let i = h.aux0; i; i--, bit += step) {
    const b = bit & h.aux1;
    const at: usize = h.dataAt + ((b >> 5) << 2);
    const m: u32 = 1 << (b & 31);
    if (!(atomic.load<u32>(at) & m)) atomic.or<u32>(at, m);
  }
  return 0;
}

/** 0 when the value may be in the set, -ENOENT when it surely is not. */
export function bloom_filter_peek_elem(map: usize, value: usize): i64 {
  const h = head(map);
  let bit = hashKey(h.aux2, value, h.valueSize);
  const step = hashKey(secondSeeds(map), value, h.valueSize) | 1;
  for (let i = h.aux0; i; i--, bit += step) {
    const b = bit & h.aux1;
    if (!(atomic.load<u32>(h.dataAt + ((b >> 5) << 2)) & (<u32>1 << (b & 31)))) return fail(Errno.ENOENT);
  }
  return 0;
}

export function bloom_filter_pop_elem(map: usize, value: usize): i64 {
  return fail(Errno.EOPNOTSUPP);
}

export function bloom_filter_lookup_elem(map: usize, key: usize): usize {
  return 0;
}

export function bloom_filter_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  return fail(Errno.EINVAL);
}

export function bloom_filter_delete_elem(map: usize, key: usize): i64 {
  return fail(Errno.EOPNOTSUPP);
}
