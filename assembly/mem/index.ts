export {
  csum_partial,
  csum_add,
  csum_sub,
  csum_fold,
  csum_replace2,
  csum_replace4,
  csum_replace_by_diff,
  csum_pseudo4,
  csum_pseudo6,
} from "./checksum";
export { frame_alloc, frame_free } from "./frames";
export {
  ring_discard, ring_entry, ring_peek, ring_push, ring_release, ring_reserve, ring_submit, ring_wake,
} from "./ring_host";
export {
  el_intervals_add, el_intervals_next_hole, el_intervals_overlap, el_intervals_recent, el_intervals_trim,
} from "./interval_set";
