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
