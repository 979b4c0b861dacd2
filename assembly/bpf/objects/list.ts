// Doubly linked lists: struct bpf_list_head and bpf_list_node (kernel/bpf/helpers.c). The caller holds the lock.
import { graph, begin, claim, end, linkBetween, look, ownerOf, setOwner, unlink } from "./chain";
import { clearOwner, dropObject } from "./drop";
import { node } from "./record";

const EINVAL: i32 = 22;

/** Puts the node's object in; one that is in some list or tree is dropped instead: -EINVAL. */
function push(list: usize, n: usize, front: bool): i32 {
  look(list, false);
  if (!claim(n)) {
    dropObject(node(n).object);
    return -EINVAL;
  }
  begin(list);
  if (front) linkBetween(list, n, 0, graph(list).first);
  else linkBetween(list, n, graph(list).last, 0);
  setOwner(n, list);
  end(list);
  return 0;
}

function pop(list: usize, front: bool): usize {
  look(list, false);
  const n: usize = front ? graph(list).first : graph(list).last;
  if (!n || ownerOf(n) != list) return 0;
  begin(list);
  unlink(list, n);
  clearOwner(node(n));
  end(list);
  return n;
}

export function bpf_list_push_front_impl(list: usize, n: usize, meta: usize, off: u64): i32 { return push(list, n, true); }
export function bpf_list_push_back_impl(list: usize, n: usize, meta: usize, off: u64): i32 { return push(list, n, false); }
export function bpf_list_pop_front(list: usize): usize { return pop(list, true); }
export function bpf_list_pop_back(list: usize): usize { return pop(list, false); }

export function bpf_list_front(list: usize): usize {
  look(list, false);
  return graph(list).first;
}

export function bpf_list_back(list: usize): usize {
  look(list, false);
  return graph(list).last;
}
