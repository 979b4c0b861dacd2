/**
 * Which lane gets the packets of a flow. Who opens a connection asks before the first packet is sent: a flow whose packets
 * come in at its own lane is handed from lane to lane by nobody.
 *
 *   addresses, ports ─▶ a frame as the peer would send it ─▶ RSS of the port ─▶ queue ─▶ lane
 */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { parseIp } from '../wire/address.js';
import type { Nic } from './nic.js';
import type { Port } from './port.js';

/** A flow of TCP or UDP. RSS is symmetric: which side is ours makes no difference. */
export interface FlowTuple {
  local: string;
  localPort: number;
  remote: string;
  remotePort: number;
}

/** What is asked of the engine: an Engine is one. */
export interface FlowHost {
  readonly arena: Arena;
  readonly core: Core;
  readonly ports: readonly Port[];
  readonly nics: readonly Nic[];
}

const ETH = 14;
const TCP = 6;
const TCP_BYTES = 20;
/** RFC 6056 §3.2, as Linux has them: ip_local_port_range. */
const FIRST_PORT = 32_768;
const PORTS = 28_232;

/** The frame that RSS looks at: link, IP and TCP header with nothing in them but who talks to whom. */
function frameOf({ local, localPort, remote, remotePort }: FlowTuple): Uint8Array {
  const [to, from] = [parseIp(local), parseIp(remote)];
  if (to.length !== from.length)
    throw new EtherloomError('ERR_ADDRESS', `${local} and ${remote}`, {
      expected: 'addresses of one family',
    });
  const v4 = to.length === 4;
  const l4 = ETH + (v4 ? 20 : 40);
  const frame = new Uint8Array(l4 + TCP_BYTES);
  const dv = new DataView(frame.buffer);
  dv.setUint16(12, v4 ? 0x0800 : 0x86dd);
  if (v4) {
    frame[ETH] = 0x45;
    dv.setUint16(ETH + 2, 20 + TCP_BYTES);
    frame[ETH + 8] = 64;
    frame[ETH + 9] = TCP;
  } else {
    frame[ETH] = 0x60;
    dv.setUint16(ETH + 4, TCP_BYTES);
    frame[ETH + 6] = TCP;
    frame[ETH + 7] = 64;
  }
  frame.set(from, l4 - 2 * from.length);
  frame.set(to, l4 - to.length);
  dv.setUint16(l4, remotePort);
  dv.setUint16(l4 + 2, localPort);
  frame[l4 + 12] = 0x50;
  return frame;
}

/**
 * The lane whose queue gets what the peer sends; undefined when only somebody else knows: a kernel that spreads packets
 * over queues by a hash of its own. @throws EtherloomError ERR_ADDRESS
 */
export function laneOfFlow(host: FlowHost, port: Port, flow: FlowTuple): number | undefined {
  const frame = frameOf(flow);
  if (port.queueCount === 1) return port.queue(0).lane;
  if (!host.nics[host.ports.indexOf(port)].rss) return undefined;
  const { arena, core } = host;
  const at = arena.scratch.alloc(frame.length, 16);
  try {
    arena.u8.set(frame, at);
    return port.queue(core.exports.port_steer(port.at, at, frame.length)).lane;
  } finally {
    arena.scratch.free(at);
  }
}

/**
 * A source port for a connection that lane `lane` is to own: one whose answers come in there, if the NIC lets that be
 * known, else any that is free. Looks on from `from`, a number of the caller's (RFC 6056 §3.3). undefined: none is left.
 * @throws EtherloomError ERR_ADDRESS
 */
export function portForLane(
  host: FlowHost,
  port: Port,
  flow: Omit<FlowTuple, 'localPort'>,
  lane: number,
  from: number,
  isFree: (localPort: number) => boolean,
): number | undefined {
  let other: number | undefined;
  for (let i = 0; i < PORTS; i++) {
    const localPort = FIRST_PORT + ((from + i) % PORTS);
    if (!isFree(localPort)) continue;
    const to = laneOfFlow(host, port, { ...flow, localPort });
    if (to === lane || to === undefined) return localPort;
    other ??= localPort;
    // All packets of this peer may come to one queue.
    if (port.queueCount === 1) break;
  }
  return other;
}
