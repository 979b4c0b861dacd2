// BPF_MAP_TYPE_ARRAY_OF_MAPS: the word of an entry is the address of the inner map's header, 0 for none.
// A lookup gives the inner map itself, as in the kernel. Only the host sets entries.
import { entryAt } from "./slots";

export function array_of_maps_lookup_elem(map: usize, key: usize): usize {
  const at = entryAt(map, key);
  return at ? <usize>load<u32>(at) : 0;
}

/** Host: address of an entry that holds a map, 0 otherwise. */
export { prog_array_lookup_sys as array_of_maps_lookup_sys } from "./prog_array";
export { fd_array_update as array_of_maps_update_elem, fd_array_delete as array_of_maps_delete_elem } from "./slots";
export { array_get_next_key as array_of_maps_get_next_key } from "./array";
