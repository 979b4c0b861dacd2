// bpf_redirect_map: notes what a devmap, cpumap or xskmap has under a key (net/core/filter.c,
// __bpf_xdp_redirect_map); the loop acts on it when the program returns XDP_REDIRECT.
import { self } from "../../core/lane";
import { BPF_F_EXCLUDE_INGRESS, RedirectKind, clearRedirect, setRedirect } from "../../core/redirect";
import { LaneState, MapHeader, MapType, XdpAction } from "../../layout.gen";
import { devmap_hash_lookup_elem } from "../maps/devmap_hash";

const BPF_F_BROADCAST: u64 = 1 << 3;
/** Lower bits of the flags: the verdict when the map has no such entry. */
const ACTION_MASK: u64 = 3;

/** Entry {word, second} under the low half of `key`, 0 when empty (maps/slots.ts). */
function entryOf(map: usize, type: u32, key: u32): usize {
  if (type == MapType.DEVMAP_HASH) {
    const at = changetype<usize>(self()) + offsetof<LaneState>("redirectKey");
    store<u32>(at, key);
    return devmap_hash_lookup_elem(map, at);
  }
  const head = changetype<MapHeader>(map);
  if (key >= head.maxEntries) return 0;
  const at: usize = head.dataAt + (key << 3);
  return load<u32>(at) ? at : 0;
}

export function redirect_map(map: usize, key: u64, flags: u64): i32 {
  const type = changetype<MapHeader>(map).type;
  const dev = type == MapType.DEVMAP || type == MapType.DEVMAP_HASH;
  if (flags & ~(ACTION_MASK | (dev ? BPF_F_BROADCAST | BPF_F_EXCLUDE_INGRESS : 0))) return XdpAction.ABORTED;
  if (flags & BPF_F_BROADCAST) {
    setRedirect(RedirectKind.BROADCAST, 0, 0, <u32>map, flags);
    return XdpAction.REDIRECT;
  }
  const at = entryOf(map, type, <u32>key);
  if (!at) {
    clearRedirect();
    return <i32>(flags & ACTION_MASK);
  }
  const word = load<u32>(at);
  const second = load<u32>(at, 4);
  if (dev) setRedirect(RedirectKind.PORT, word, second, <u32>map, 0);
  else if (type == MapType.CPUMAP) setRedirect(RedirectKind.LANE, <u32>key, second, <u32>map, 0);
  else setRedirect(RedirectKind.SOCKET, second, 0, <u32>map, 0);
  return XdpAction.REDIRECT;
}
