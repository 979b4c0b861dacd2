// What the host calls: its tick, and the packets that it has a port send of itself.
import { OwnAddress, ResponderFlag } from "../layout.gen";
import { flush, portUp } from "../nic/tx";
import { responderOf } from "./own";
import { announce, NA_ROUTER, probe } from "./solicit";

export { neighbours_forget, neighbours_tick } from "./neighbours";

/** Sends a probe for an own address of port `ifindex`. False when no frame or no room was to be had. */
export function responder_probe(ifindex: u32, own: u32): bool {
  const port = portUp(ifindex);
  if (changetype<usize>(port) == 0) return false;
  const sent = probe(port, changetype<OwnAddress>(own as usize));
  flush();
  return sent;
}

/** Announces an own address. */
export function responder_announce(ifindex: u32, own: u32): bool {
  const port = portUp(ifindex);
  if (changetype<usize>(port) == 0) return false;
  const r = responderOf(port);
  if (changetype<usize>(r) == 0) return false;
  const sent = announce(r, port, changetype<OwnAddress>(own as usize), r.flags & ResponderFlag.ROUTER ? NA_ROUTER : 0);
  flush();
  return sent;
}
