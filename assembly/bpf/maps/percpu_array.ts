// BPF_MAP_TYPE_PERCPU_ARRAY: one array per lane, lane after lane, so that lanes share no cache line.
//   dataAt ─▶ │ lane 0: value 0 │ value 1 │ … │ lane 1: … │      copies = lanes + 1 (the host instance)
import { lane } from "../../core/lane";
import { BPF_EXIST, BPF_NOEXIST, Errno, copyBytes, fail, head } from "./map";

// @ts-ignore: decorator
@inline export function laneValue(map: usize, i: u32, ofLane: u32): usize {
  const h = head(map);
  return h.dataAt + i * h.stride + ofLane * h.laneStride;
}

export function percpu_array_lookup_elem(map: usize, key: usize): usize {
  const i = load<u32>(key);
  return i < head(map).maxEntries ? laneValue(map, i, lane) : 0;
}

/** bpf_map_lookup_percpu_elem: the value of another lane. */
export function percpu_array_lookup_percpu_elem(map: usize, key: usize, ofLane: u32): usize {
  const i = load<u32>(key);
  return i < head(map).maxEntries && ofLane < head(map).lanes ? laneValue(map, i, ofLane) : 0;
}

function refusal(map: usize, key: usize, flags: u64): i64 {
  if (flags > BPF_EXIST) return fail(Errno.EINVAL);
  if (load<u32>(key) >= head(map).maxEntries) return fail(Errno.E2BIG);
  if (flags == BPF_NOEXIST) return fail(Errno.EEXIST);
  return 0;
}

/** Writes this lane's value. */
export function percpu_array_update_elem(map: usize, key: usize, value: usize, flags: u64): i64 {
  const no = refusal(map, key, flags);
  if (no) return no;
  copyBytes(laneValue(map, load<u32>(key), lane), value, head(map).valueSize);
  return 0;
}

/** Writes every lane's value from `values`, copies of roundUp8(valueSize) bytes side by side. */
export function percpu_array_update_all(map: usize, key: usize, values: usize, flags: u64): i64 {
  const no = refusal(map, key, flags);
  if (no) return no;
  const h = head(map);
  for (let l: u32 = 0; l < h.lanes; l++)
    copyBytes(laneValue(map, load<u32>(key), l), values + l * h.stride, h.valueSize);
  return 0;
}

export function percpu_array_delete_elem(map: usize, key: usize): i64 {
  return fail(Errno.EINVAL);
}

export { array_get_next_key as percpu_array_get_next_key } from "./array";
