/**
 * Many elements of a kernel's map by one system call: BPF_MAP_LOOKUP_BATCH, _UPDATE_BATCH and _DELETE_BATCH (Linux 5.6,
 * percpu_array 5.13). Called by map_store.ts, which goes element by element where the kernel has no such call (ENOTSUPP).
 */
import { bpf, Cmd, errnoName, MAP_BATCH } from './attr.js';
import type { KernelMap } from './map.js';

/** Asked for at once, bytes: some elements at least, and all those of a bucket. */
const CHUNK_BYTES = 1 << 20;
const CHUNK_LEAST = 16;
/** Where the walk stands: a bucket, or the last key. */
const TOKEN_BYTES = 8;
const COUNT = MAP_BATCH.count[0];

/** How far a call came, and -errno of what stopped it: 0 when nothing did. */
export interface BatchResult {
  done: number;
  rc: number;
}

/** Every key with its value, as of now; -errno when they cannot be read. */
export function lookupBatch(map: KernelMap): [Uint8Array, Uint8Array][] | number {
  const { keySize, maxEntries } = map.spec;
  const { valueBytes } = map;
  const all: [Uint8Array, Uint8Array][] = [];
  let chunk = Math.min(maxEntries, Math.max(Math.floor(CHUNK_BYTES / (keySize + valueBytes)), CHUNK_LEAST));
  let from: Uint8Array | undefined;
  for (;;) {
    const keys = new Uint8Array(chunk * keySize);
    const values = new Uint8Array(chunk * valueBytes);
    const next = new Uint8Array(Math.max(keySize, TOKEN_BYTES));
    const { rc, attr } = bpf(Cmd.MAP_LOOKUP_BATCH, MAP_BATCH, {
      fd: map.fd,
      from,
      next,
      keys,
      values,
      count: chunk,
    });
    const error = rc < 0 ? errnoName(-rc) : undefined;
    if (error === 'ENOSPC') {
      chunk *= 2;
      continue;
    }
    if (error !== undefined && error !== 'ENOENT') return rc;
    const count = attr.getUint32(COUNT, true);
    for (let i = 0; i < count; i++)
      all.push([
        keys.slice(i * keySize, (i + 1) * keySize),
        values.slice(i * valueBytes, (i + 1) * valueBytes),
      ]);
    // ENOENT: that was the last of them.
    if (error !== undefined) return all;
    from = next;
  }
}

/** Puts `values` under `keys`, both side by side, as UpdateFlag.ANY: these calls take no other. */
export function updateBatch(map: KernelMap, keys: Uint8Array, values: Uint8Array): BatchResult {
  const count = keys.length / map.spec.keySize;
  const { rc, attr } = bpf(Cmd.MAP_UPDATE_BATCH, MAP_BATCH, { fd: map.fd, keys, values, count });
  return { done: progress(rc, attr, count), rc };
}

/** Removes keys up to the first that is not there. */
export function deleteBatch(map: KernelMap, keys: Uint8Array): BatchResult {
  const count = keys.length / map.spec.keySize;
  const { rc, attr } = bpf(Cmd.MAP_DELETE_BATCH, MAP_BATCH, { fd: map.fd, keys, count });
  return { done: progress(rc, attr, count), rc };
}

/** A call that fails before it begins leaves the count as it was given. */
function progress(rc: number, attr: DataView, count: number): number {
  if (rc >= 0) return count;
  const done = attr.getUint32(COUNT, true);
  return done < count ? done : 0;
}
