// XDP_EGRESS: what becomes of a packet that leaves by a port of its own accord, made by XDP_GEN. Called by the visits of
// ready streams. Packets that an ingress program bounces (XDP_TX) or redirects do not pass here, as in eTran.
//
//   no program, TX, PASS ─▶ transmit ring of the port
//   REDIRECT ─▶ another port, lane, socket, or a bucket of a PKT_QUEUE          (forward.ts)
//   DROP, ABORTED, any other ─▶ pool, counted
import { DropReason, Hook, Port, XdpAction, XdpContext } from "../layout.gen";
import { countEgress } from "./counters";
import { dropFrame, forward } from "./forward";
import { runProgram, slotAt } from "./hooks";
import { packetAt } from "./lane";
import { clearRedirect } from "./redirect";
import { transmit } from "../nic/tx";

/** Takes the packet in `x`, of frame `frame`, out of `port`. The context names stream, transport and port. */
export function egress(port: Port, x: XdpContext, frame: u32): void {
  const slot = slotAt(port, Hook.XDP_EGRESS);
  if (slot != 0) {
    const verdict = runProgram(slot, changetype<usize>(x));
    countEgress(verdict);
    switch (verdict) {
      case XdpAction.TX:
      case XdpAction.PASS:
        break;
      case XdpAction.REDIRECT: {
        forward(port, 0, x, frame);
        clearRedirect();
        return;
      }
      case XdpAction.DROP: {
        dropFrame(frame, DropReason.XDP_EGRESS_DROP);
        return;
      }
      case XdpAction.ABORTED: {
        dropFrame(frame, DropReason.XDP_EGRESS_ABORTED);
        return;
      }
      default: {
        dropFrame(frame, DropReason.XDP_EGRESS_INVALID);
        return;
      }
    }
  }
  if (!transmit(port, x.data - <u32>packetAt, x.dataEnd - x.data)) dropFrame(frame, DropReason.TX_FULL);
}
