// Exports of the maps: map_* for any type, T_* for each type.
export {
  for_each_map_elem, map_delete_elem, map_get_next_key, map_init, map_lookup_all, map_lookup_and_delete_elem,
  map_lookup_elem, map_lookup_percpu_elem,
  map_update_all, map_update_elem,
} from "./generic";
export * from "./array";
export {
  percpu_array_delete_elem, percpu_array_get_next_key, percpu_array_lookup_elem, percpu_array_lookup_percpu_elem,
  percpu_array_update_elem,
} from "./percpu_array";
export {
  hash_delete_elem, hash_get_next_key, hash_lookup_and_delete_elem, hash_lookup_elem, hash_update_elem,
} from "./hash";
export {
  percpu_hash_delete_elem, percpu_hash_get_next_key, percpu_hash_lookup_all, percpu_hash_lookup_elem,
  percpu_hash_lookup_percpu_elem, percpu_hash_update_elem,
} from "./percpu_hash";
