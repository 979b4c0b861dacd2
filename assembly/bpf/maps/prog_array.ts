// BPF_MAP_TYPE_PROG_ARRAY: the word of an entry is the table slot of a program's `tail` export, 0 for none.
// The engines read the entries themselves for tail calls; programs cannot look them up, as in the kernel.
import { entryAt } from "./slots";

export function prog_array_lookup_elem(map: usize, key: usize): usize {
  return 0;
}

/** Host: address of an entry that holds a program, 0 otherwise. */
export function prog_array_lookup_sys(map: usize, key: usize): usize {
  const at = entryAt(map, key);
  return at && load<u32>(at) ? at : 0;
}

export { fd_array_update as prog_array_update_elem, fd_array_delete as prog_array_delete_elem } from "./slots";
export { array_get_next_key as prog_array_get_next_key } from "./array";
