// Objects and references to them (kernel/bpf/helpers.c). What `meta` is to the kernel, the JIT gives: the ObjectType.
import { dropObject } from "./drop";
import { newObject, typeOf } from "./heap";

export function bpf_obj_new_impl(typeId: u64, type: usize): usize { return newObject(type); }

export function bpf_obj_drop_impl(object: usize, meta: usize): void { dropObject(object); }

/** One more reference. NULL: it is about to be freed, which only a non-owning reference can meet. */
export function bpf_refcount_acquire_impl(object: usize, meta: usize): usize {
  const at = object + typeOf(object).refcountAt - 1;
  while (true) {
    const n = atomic.load<u32>(at);
    if (n == 0) return 0;
    if (atomic.cmpxchg<u32>(at, n, n + 1) == n) return object;
  }
}

/** Puts an object (or NULL) where another (or NULL) was, which becomes the caller's. */
export function kptr_xchg(at: usize, object: usize): usize { return <usize>atomic.xchg<u64>(at, <u64>object); }
