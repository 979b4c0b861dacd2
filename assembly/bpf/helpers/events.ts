// bpf_perf_event_output for both contexts (net/core/filter.c). The ring is maps/perf_event_array.ts'.
import { SkBuff, XdpContext } from "../../layout.gen";
import { perf_event_array_output } from "../maps/perf_event_array";
import { EFAULT, EINVAL } from "./errno";

const CTXLEN_SHIFT: u64 = 32;
const FLAGS: u64 = 0xfffff_ffffffff;

function output(map: usize, flags: u64, data: usize, size: u64, packet: usize, len: u32): i32 {
  if (flags & ~FLAGS) return -EINVAL;
  const copy = flags >> CTXLEN_SHIFT;
  if (copy > <u64>len) return -EFAULT;
  return <i32>perf_event_array_output(map, flags, data, size, packet, <u32>copy);
}

export function xdp_event_output(ctx: usize, map: usize, flags: u64, data: usize, size: u64): i32 {
  const xdp = changetype<XdpContext>(ctx);
  return output(map, flags, data, size, xdp.data, xdp.dataEnd - xdp.data);
}

export function skb_event_output(ctx: usize, map: usize, flags: u64, data: usize, size: u64): i32 {
  const skb = changetype<SkBuff>(ctx);
  return output(map, flags, data, size, skb.data, skb.len);
}
