// map_* helpers for a map whose type is known only at run time.
// The JIT calls the typed export when it knows the map; the interpreter, inner maps and the host come here.
import { MapType } from "../../layout.gen";
import { Errno, fail, head } from "./map";
import { initTable } from "./hash_table";
import { array_get_next_key, array_lookup_elem, array_update_elem } from "./array";
import { array_of_maps_lookup_elem } from "./array_of_maps";
import {
  bloom_filter_delete_elem, bloom_filter_peek_elem, bloom_filter_pop_elem, bloom_filter_push_elem,
} from "./bloom_filter";
import { cpumap_update_elem } from "./cpumap";
import { devmap_delete_elem, devmap_lookup_elem, devmap_update_elem } from "./devmap";
import { devmap_hash_delete_elem, devmap_hash_update_elem } from "./devmap_hash";
import {
  hash_delete_elem, hash_get_next_key, hash_lookup_and_delete_elem, hash_lookup_elem, hash_update_elem,
} from "./hash";
import { hash_of_maps_lookup_elem } from "./hash_of_maps";
import {
  lpm_trie_delete_elem, lpm_trie_get_next_key, lpm_trie_init, lpm_trie_lookup_elem, lpm_trie_update_elem,
} from "./lpm_trie";
import { lru_hash_lookup_elem, lru_hash_update_elem } from "./lru_hash";
import {
  lru_percpu_hash_lookup_elem, lru_percpu_hash_lookup_percpu_elem, lru_percpu_hash_update_all,
  lru_percpu_hash_update_elem,
} from "./lru_percpu_hash";
import {
  percpu_array_lookup_elem, percpu_array_lookup_percpu_elem, percpu_array_update_all, percpu_array_update_elem,
} from "./percpu_array";
import {
  percpu_hash_lookup_all, percpu_hash_lookup_and_delete_elem, percpu_hash_lookup_elem,
  percpu_hash_lookup_percpu_elem, percpu_hash_update_all, percpu_hash_update_elem,
} from "./percpu_hash";
import { prog_array_lookup_sys } from "./prog_array";
import { queue_peek_elem, queue_pop_elem, queue_push_elem } from "./queue";
import { fd_array_delete, fd_array_update } from "./slots";
import { stack_peek_elem, stack_pop_elem } from "./stack";
import { xskmap_update_elem } from "./xskmap";
import { initTimers } from "../timers/restore";

/** Lays out the storage of a new map whose header is filled. Called once by the host. */
export function map_init(map: usize): void {
  initTimers(map);
  switch (head(map).type) {
    case MapType.HASH:
    case MapType.PERCPU_HASH:
    case MapType.LRU_HASH:
    case MapType.LRU_PERCPU_HASH:
    case MapType.HASH_OF_MAPS:
    case MapType.DEVMAP_HASH: return initTable(map, head(map).maxEntries + head(map).lanes);
    case MapType.LPM_TRIE: return lpm_trie_init(map);
    default:
  }
}

export function map_lookup_elem(map: usize, key: usize): usize {
  switch (head(map).type) {
    case MapType.ARRAY: return array_lookup_elem(map, key);
    case MapType.HASH:
    case MapType.DEVMAP_HASH: return hash_lookup_elem(map, key);
    case MapType.PERCPU_ARRAY: return percpu_array_lookup_elem(map, key);
    case MapType.PERCPU_HASH: return percpu_hash_lookup_elem(map, key);
    case MapType.LRU_HASH: return lru_hash_lookup_elem(map, key);
    case MapType.LRU_PERCPU_HASH: return lru_percpu_hash_lookup_elem(map, key);
    case MapType.LPM_TRIE: return lpm_trie_lookup_elem(map, key);
    case MapType.ARRAY_OF_MAPS: return array_of_maps_lookup_elem(map, key);
    case MapType.HASH_OF_MAPS: return hash_of_maps_lookup_elem(map, key);
    case MapType.DEVMAP:
    case MapType.CPUMAP:
    case MapType.XSKMAP: return devmap_lookup_elem(map, key);
    default: return 0;
  }
}

/**
 * Lookup by the host: the stored value itself (an inner map's address, a program's slot), lane 0's copy of a
 * per-CPU value; for LRU maps it does not count as use, as the kernel's syscall does not.
 */
export function map_lookup_sys(map: usize, key: usize): usize {
  switch (head(map).type) {
    case MapType.LRU_HASH:
    case MapType.HASH_OF_MAPS: return hash_lookup_elem(map, key);
    case MapType.PERCPU_ARRAY: return percpu_array_lookup_percpu_elem(map, key, 0);
    case MapType.PERCPU_HASH:
    case MapType.LRU_PERCPU_HASH: return percpu_hash_lookup_all(map, key);
    case MapType.PROG_ARRAY:
    case MapType.ARRAY_OF_MAPS: return prog_array_lookup_sys(map, key);
    default: return map_lookup_elem(map, key);
  }
}

export function map_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  switch (head(map).type) {
    case MapType.ARRAY: return array_update_elem(map, key, value, flags);
    case MapType.HASH:
    case MapType.HASH_OF_MAPS: return hash_update_elem(map, key, value, flags);
    case MapType.PERCPU_ARRAY: return percpu_array_update_elem(map, key, value, flags);
    case MapType.PERCPU_HASH: return percpu_hash_update_elem(map, key, value, flags);
    case MapType.LRU_HASH: return lru_hash_update_elem(map, key, value, flags);
    case MapType.LRU_PERCPU_HASH: return lru_percpu_hash_update_elem(map, key, value, flags);
    case MapType.LPM_TRIE: return lpm_trie_update_elem(map, key, value, flags);
    case MapType.PROG_ARRAY:
    case MapType.ARRAY_OF_MAPS: return fd_array_update(map, key, value, flags);
    case MapType.DEVMAP: return devmap_update_elem(map, key, value, flags);
    case MapType.DEVMAP_HASH: return devmap_hash_update_elem(map, key, value, flags);
    case MapType.CPUMAP: return cpumap_update_elem(map, key, value, flags);
    case MapType.XSKMAP: return xskmap_update_elem(map, key, value, flags);
    case MapType.RINGBUF:
    case MapType.PERF_EVENT_ARRAY: return fail(Errno.EOPNOTSUPP);
    default: return fail(Errno.EINVAL);
  }
}

export function map_delete_elem(map: usize, key: usize): i64 {
  switch (head(map).type) {
    case MapType.HASH:
    case MapType.PERCPU_HASH:
    case MapType.LRU_HASH:
    case MapType.LRU_PERCPU_HASH:
    case MapType.HASH_OF_MAPS: return hash_delete_elem(map, key);
    case MapType.DEVMAP_HASH: return devmap_hash_delete_elem(map, key);
    case MapType.LPM_TRIE: return lpm_trie_delete_elem(map, key);
    case MapType.PROG_ARRAY:
    case MapType.ARRAY_OF_MAPS: return fd_array_delete(map, key);
    case MapType.DEVMAP:
    case MapType.CPUMAP:
    case MapType.XSKMAP: return devmap_delete_elem(map, key);
    case MapType.BLOOM_FILTER: return bloom_filter_delete_elem(map, key);
    case MapType.RINGBUF:
    case MapType.PERF_EVENT_ARRAY: return fail(Errno.EOPNOTSUPP);
    default: return fail(Errno.EINVAL);
  }
}

export function map_push_elem(map: usize, value: usize, flags: u64): i64 {
  switch (head(map).type) {
    case MapType.QUEUE:
    case MapType.STACK: return queue_push_elem(map, value, flags);
    case MapType.BLOOM_FILTER: return bloom_filter_push_elem(map, value, flags);
    default: return fail(Errno.EOPNOTSUPP);
  }
}

export function map_pop_elem(map: usize, value: usize): i64 {
  switch (head(map).type) {
    case MapType.QUEUE: return queue_pop_elem(map, value);
    case MapType.STACK: return stack_pop_elem(map, value);
    case MapType.BLOOM_FILTER: return bloom_filter_pop_elem(map, value);
    default: return fail(Errno.EOPNOTSUPP);
  }
}

export function map_peek_elem(map: usize, value: usize): i64 {
  switch (head(map).type) {
    case MapType.QUEUE: return queue_peek_elem(map, value);
    case MapType.STACK: return stack_peek_elem(map, value);
    case MapType.BLOOM_FILTER: return bloom_filter_peek_elem(map, value);
    default: return fail(Errno.EOPNOTSUPP);
  }
}

/** Host: writes every lane's copy. `values` holds them side by side, roundUp8(valueSize) bytes each. */
export function map_update_all(map: usize, key: usize, values: usize, flags: u64): i64 {
  switch (head(map).type) {
    case MapType.PERCPU_ARRAY: return percpu_array_update_all(map, key, values, flags);
    case MapType.PERCPU_HASH: return percpu_hash_update_all(map, key, values, flags);
    case MapType.LRU_PERCPU_HASH: return lru_percpu_hash_update_all(map, key, values, flags);
    default: return fail(Errno.EINVAL);
  }
}

/** BPF_MAP_LOOKUP_AND_DELETE_ELEM; per-CPU maps give every lane's copy. */
export function map_lookup_and_delete_elem(map: usize, key: usize, out: usize): i64 {
  switch (head(map).type) {
    case MapType.HASH:
    case MapType.LRU_HASH: return hash_lookup_and_delete_elem(map, key, out);
    case MapType.PERCPU_HASH:
    case MapType.LRU_PERCPU_HASH: return percpu_hash_lookup_and_delete_elem(map, key, out);
    default: return fail(Errno.EOPNOTSUPP);
  }
}

/** bpf_map_lookup_percpu_elem. */
export function map_lookup_percpu_elem(map: usize, key: usize, ofLane: u32): usize {
  switch (head(map).type) {
    case MapType.PERCPU_ARRAY: return percpu_array_lookup_percpu_elem(map, key, ofLane);
    case MapType.PERCPU_HASH: return percpu_hash_lookup_percpu_elem(map, key, ofLane);
    case MapType.LRU_PERCPU_HASH: return lru_percpu_hash_lookup_percpu_elem(map, key, ofLane);
    default: return 0;
  }
}

/** BPF_MAP_GET_NEXT_KEY; key 0 asks for the first. */
export function map_get_next_key(map: usize, key: usize, next: usize): i64 {
  switch (head(map).type) {
    case MapType.ARRAY:
    case MapType.PERCPU_ARRAY:
    case MapType.PROG_ARRAY:
    case MapType.PERF_EVENT_ARRAY:
    case MapType.ARRAY_OF_MAPS:
    case MapType.DEVMAP:
    case MapType.CPUMAP:
    case MapType.XSKMAP: return array_get_next_key(map, key, next);
    case MapType.HASH:
    case MapType.PERCPU_HASH:
    case MapType.LRU_HASH:
    case MapType.LRU_PERCPU_HASH:
    case MapType.HASH_OF_MAPS:
    case MapType.DEVMAP_HASH: return hash_get_next_key(map, key, next);
    case MapType.LPM_TRIE: return lpm_trie_get_next_key(map, key, next);
    case MapType.RINGBUF:
    case MapType.BLOOM_FILTER: return fail(Errno.EOPNOTSUPP);
    default: return fail(Errno.EINVAL);
  }
}
