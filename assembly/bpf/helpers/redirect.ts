// The redirect helpers: they only note the target (core/redirect.ts); the loop acts when the program's
// verdict is XDP_REDIRECT or TC_ACT_REDIRECT (net/core/filter.c).
import { self } from "../../core/lane";
import { RedirectKind, setRedirect } from "../../core/redirect";
import { LaneState, XdpAction } from "../../layout.gen";

export const TC_ACT_SHOT: i32 = 2;
export const TC_ACT_REDIRECT: i32 = 7;

export const BPF_F_INGRESS: u64 = 1;
/** Marks of the tc helpers in core/redirect.ts `flags`, with the kernel's values. */
export const BPF_F_NEIGH: u64 = 1 << 16;
export const BPF_F_PEER: u64 = 1 << 17;
export const BPF_F_NEXTHOP: u64 = 1 << 18;

export function xdp_redirect(ifindex: u32, flags: u64): i32 {
  if (flags) return XdpAction.ABORTED;
  setRedirect(RedirectKind.PORT, ifindex, 0, 0, 0);
  return XdpAction.REDIRECT;
}

export function skb_redirect(ifindex: u32, flags: u64): i32 {
  if (flags & ~BPF_F_INGRESS) return TC_ACT_SHOT;
  setRedirect(RedirectKind.PORT, ifindex, 0, 0, flags);
  return TC_ACT_REDIRECT;
}

export function redirect_peer(ifindex: u32, flags: u64): i32 {
  if (flags) return TC_ACT_SHOT;
  setRedirect(RedirectKind.PORT, ifindex, 0, 0, BPF_F_PEER);
  return TC_ACT_REDIRECT;
}

/** sizeof(struct bpf_redir_neigh): u32 family, 16 bytes of next hop. */
const REDIR_NEIGH_BYTES: u32 = 20;

export function redirect_neigh(ifindex: u32, params: usize, size: u32, flags: u64): i32 {
  if ((size && size < REDIR_NEIGH_BYTES) || flags) return TC_ACT_SHOT;
  if (size) memory.copy(changetype<usize>(self()) + offsetof<LaneState>("nextHop0"), params, REDIR_NEIGH_BYTES);
  setRedirect(RedirectKind.PORT, ifindex, 0, 0, BPF_F_NEIGH | (size ? BPF_F_NEXTHOP : 0));
  return TC_ACT_REDIRECT;
}
