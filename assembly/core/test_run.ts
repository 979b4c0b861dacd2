// BPF_PROG_TEST_RUN in user space: the timing loop around one program (net/bpf/test_run.c).
// As in the kernel, a repeat gets back its packet pointers but not its packet bytes.
import { SkBuff, XdpContext } from "../layout.gen";

/** Runs table slot `slot` `repeat` times over an XdpContext; returns r0 of the last run. */
export function test_run_xdp(slot: u32, ctx: usize, repeat: u32): u64 {
  const xdp = changetype<XdpContext>(ctx);
  const data = xdp.data;
  const dataEnd = xdp.dataEnd;
  const dataMeta = xdp.dataMeta;
  let r0: u64 = 0;
  for (let i: u32 = 0; i < repeat; i++) {
    xdp.data = data;
    xdp.dataEnd = dataEnd;
    xdp.dataMeta = dataMeta;
    r0 = call_indirect<u64>(slot, <u32>ctx);
  }
  return r0;
}

/** The same over an SkBuff. */
export function test_run_skb(slot: u32, ctx: usize, repeat: u32): u64 {
  const skb = changetype<SkBuff>(ctx);
  const len = skb.len;
  const data = skb.data;
  const dataEnd = skb.dataEnd;
  const dataMeta = skb.dataMeta;
  // The header marks, too: a program that moves them would have them walk off by a step a repeat.
  const macAt = skb.macAt;
  const netAt = skb.netAt;
  let r0: u64 = 0;
  for (let i: u32 = 0; i < repeat; i++) {
    skb.macAt = macAt;
    skb.netAt = netAt;
    skb.len = len;
    skb.data = data;
    skb.dataEnd = dataEnd;
    skb.dataMeta = dataMeta;
    r0 = call_indirect<u64>(slot, <u32>ctx);
  }
  return r0;
}
