// Kfuncs and helpers on objects, and what the host calls of them.
export {
  bpf_list_back, bpf_list_front, bpf_list_pop_back, bpf_list_pop_front, bpf_list_push_back_impl, bpf_list_push_front_impl,
} from "./list";
export { bpf_obj_drop_impl, bpf_obj_new_impl, bpf_refcount_acquire_impl, kptr_xchg } from "./own";
export * from "./search";
export { map_free_objects, map_mark_objects, objects_live, objects_sweep, objects_unmark } from "./sweep";
