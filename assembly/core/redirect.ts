// Where the packet in hand goes if its program returns XDP_REDIRECT (the kernel's struct bpf_redirect_info).
// Written by the redirect helpers, read and cleared by the loop; lane-local like every global.

/** Flag of bpf_redirect_map: not to the port that the packet came from (include/uapi/linux/bpf.h). */
export const BPF_F_EXCLUDE_INGRESS: u64 = 1 << 4;

export const enum RedirectKind {
  NONE = 0,
  /** `target` is an ifindex. */
  PORT = 1,
  /** `target` is a lane (cpumap). */
  LANE = 2,
  /** `target` is a queue with an application socket (xskmap). */
  SOCKET = 3,
  /** every entry of the devmap at `mapAt`, but the ingress port when flags has BPF_F_EXCLUDE_INGRESS. */
  BROADCAST = 4,
  /** bucket `target` of the pkt_queue at `mapAt`, which has room. */
  PKT_QUEUE = 5,
  /** a bucket that was full. */
  PKT_QUEUE_FULL = 6,
}

export let kind: u32 = RedirectKind.NONE;
export let target: u32 = 0;
/** Table slot of the program that the map entry carries, 0 for none. */
export let egressSlot: u32 = 0;
/** Map that the redirect went through, 0 for bpf_redirect. */
export let mapAt: u32 = 0;
export let flags: u64 = 0;

export function setRedirect(k: u32, t: u32, slot: u32, map: u32, f: u64): void {
  kind = k;
  target = t;
  egressSlot = slot;
  mapAt = map;
  flags = f;
}

// @ts-ignore: decorator
@inline export function clearRedirect(): void {
  kind = RedirectKind.NONE;
}

/** For tests of the loop: a hand-made program imports this as its redirect helper. */
export function redirect_set(k: u32, t: u32, slot: u32, map: u32, f: u64): void {
  setRedirect(k, t, slot, map, f);
}
