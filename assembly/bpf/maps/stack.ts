// BPF_MAP_TYPE_STACK: queue's ring, read at the end where it is filled. A full stack under BPF_EXIST drops its
// oldest value, as the kernel's does.
import { readValue } from "./queue";

export function stack_pop_elem(map: usize, value: usize): i64 {
  return readValue(map, value, true, true);
}

export function stack_peek_elem(map: usize, value: usize): i64 {
  return readValue(map, value, false, true);
}

export {
  queue_delete_elem as stack_delete_elem, queue_lookup_elem as stack_lookup_elem, queue_push_elem as stack_push_elem,
  queue_update_elem as stack_update_elem,
} from "./queue";
