// Kfuncs on the packet of an XDP program (net/core/filter.c).
import { XdpContext } from "../../layout.gen";
import { EINVAL } from "../helpers/errno";

/** A packet lies in one piece here: whatever it has of `len` bytes is directly readable already. */
export function bpf_xdp_pull_data(ctx: usize, len: u32): i32 {
  const xdp = changetype<XdpContext>(ctx);
  return len > xdp.dataEnd - xdp.data ? -EINVAL : 0;
}
