// Receive-side scaling: which queue of a port a packet belongs to. Called where packets enter (links, replay set-up, the
// host's end). Promises that all packets of a flow, in both directions, reach the same queue.
import { Port } from "../layout.gen";
import { rss_hash, rss_queue } from "./rss";

/** Queue of `port` for the frame at `data`: the port's indirection table by the hash of the flow. */
export function steer(port: Port, data: usize, len: u32): u32 {
  if (port.queueCount < 2) return 0;
  return rss_queue(port.rssAt as usize, rss_hash(data, len));
}

/** Host entry of `steer`. */
export function port_steer(port: usize, data: usize, len: u32): u32 {
  return steer(changetype<Port>(port), data, len);
}
