// BPF_MAP_TYPE_HASH_OF_MAPS: a hash whose value is the address of the inner map's header.
import { elemValue, find } from "./hash_table";

export function hash_of_maps_lookup_elem(map: usize, key: usize): usize {
  const e = find(map, key);
  return e ? <usize>load<u32>(elemValue(map, e)) : 0;
}

export {
  hash_delete_elem as hash_of_maps_delete_elem, hash_get_next_key as hash_of_maps_get_next_key,
  hash_lookup_elem as hash_of_maps_lookup_sys, hash_update_elem as hash_of_maps_update_elem,
} from "./hash";
