// All entries of a devmap or devmap_hash by position, for XDP_REDIRECT with BPF_F_BROADCAST.
// Called by the loop's forward step. An entry is {ifindex, egress slot}; ifindex 0 is an empty position.
import { MapType } from "../../layout.gen";
import { head } from "./map";

/** Positions to look at. */
export function redirectEntries(map: usize): u32 {
  const h = head(map);
  return h.type == MapType.DEVMAP_HASH ? h.maxEntries + h.lanes : h.maxEntries;
}

/** Address of the entry at position `i`. */
export function redirectEntry(map: usize, i: u32): usize {
  const h = head(map);
  return h.dataAt + i * h.stride + (h.type == MapType.DEVMAP_HASH ? h.aux3 : 0);
}
