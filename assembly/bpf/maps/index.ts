// Exports of the maps: map_* for any type, T_* for each type, ring buffers and iteration.
// What ends in _sys or _all is for the host, the rest is called by programs.
export {
  map_delete_elem, map_get_next_key, map_init, map_lookup_and_delete_elem, map_lookup_elem, map_lookup_percpu_elem,
  map_lookup_sys, map_peek_elem, map_pop_elem, map_push_elem, map_update_all, map_update_elem,
} from "./generic";
export { for_each_map_elem } from "./for_each";
export { map_reclaim } from "./reclaim";
export * from "./array";
export * from "./array_of_maps";
export * from "./bloom_filter";
export * from "./cpumap";
export * from "./devmap";
export * from "./devmap_hash";
export {
  hash_delete_elem, hash_get_next_key, hash_lookup_and_delete_elem, hash_lookup_elem, hash_update_elem,
} from "./hash";
export * from "./hash_of_maps";
export {
  lpm_trie_delete_elem, lpm_trie_get_next_key, lpm_trie_lookup_elem, lpm_trie_update_elem,
} from "./lpm_trie";
export {
  lru_hash_delete_elem, lru_hash_get_next_key, lru_hash_lookup_and_delete_elem, lru_hash_lookup_elem,
  lru_hash_update_elem,
} from "./lru_hash";
export {
  lru_percpu_hash_delete_elem, lru_percpu_hash_get_next_key, lru_percpu_hash_lookup_and_delete_elem,
  lru_percpu_hash_lookup_elem, lru_percpu_hash_lookup_percpu_elem, lru_percpu_hash_update_elem,
} from "./lru_percpu_hash";
export {
  percpu_array_delete_elem, percpu_array_get_next_key, percpu_array_lookup_elem, percpu_array_lookup_percpu_elem,
  percpu_array_update_elem,
} from "./percpu_array";
export {
  percpu_hash_delete_elem, percpu_hash_get_next_key, percpu_hash_lookup_and_delete_elem, percpu_hash_lookup_elem,
  percpu_hash_lookup_percpu_elem, percpu_hash_update_elem,
} from "./percpu_hash";
export {
  perf_event_array_delete_elem, perf_event_array_lookup_elem, perf_event_array_output, perf_event_array_update_elem,
} from "./perf_event_array";
export { pkt_queue_purge } from "./pkt_queue";
export * from "./prog_array";
export {
  queue_delete_elem, queue_lookup_elem, queue_peek_elem, queue_pop_elem, queue_push_elem, queue_update_elem,
} from "./queue";
export * from "./ringbuf";
export * from "./stack";
export * from "./xskmap";
