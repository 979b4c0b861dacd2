/** Traps found: what works, but not as one would think. In words, with the way out. */
import type { XdpMode } from '../../bpf/kernel/link.js';
import { ETH_OVERHEAD, FRAME_HEADROOM, FRAME_SIZE } from '../../layout/layout.gen.js';
import type { Device } from './device.js';
import type { Seen } from './program.js';

/** Largest MTU: a packet with its link header and a tag fits behind the headroom of a frame. */
export const MAX_MTU = FRAME_SIZE - FRAME_HEADROOM - ETH_OVERHEAD;
/**
 * From which share on partial checksums are the sender's and not chance, which makes one packet of 65,536 look so. Of a
 * few packets one is enough: a first try has no more.
 */
const PARTIAL = { few: 4, ofFew: 64, ofMany: 4096 } as const;

/** What is known of a NIC that is open. */
export interface Circumstances {
  device: Device;
  /** Takes every packet. */
  own: boolean;
  mode: XdpMode | undefined;
  /** Queues that the engine has, and lanes that hand over what they transmit. */
  queues: number;
  handingOver: number;
  /** Since it was attached. */
  seen: Seen;
  /** Whether the card passes every group's packets on; undefined: nobody asked it to. */
  allMulticast: boolean | undefined;
}

export function traps(c: Circumstances): string[] {
  const { device, seen } = c;
  const { peer } = device;
  const found: string[] = [];
  const remedy = (who: string) => `ethtool -K ${who} tx off, or complete them in a program`;
  const { partial } = seen;
  if (partial * (partial < PARTIAL.few ? PARTIAL.ofFew : PARTIAL.ofMany) > seen.taken + seen.noSocket)
    found.push(
      `${partial} packet${partial === 1 ? '' : 's'} came with partial checksums${c.own ? ', of those looked at' : ''}: ` +
        'whoever they are sent on to drops them. ' +
        remedy(peer?.name ?? 'PEER'),
    );
  else if (peer?.checksums === false)
    found.push(
      `veth peer ${peer.name} leaves checksums to hardware that there is none of: ${remedy(peer.name!)}`,
    );
  if (peer && c.mode === 'generic')
    found.push(
      `generic mode on veth: segments of the peer larger than a frame are dropped; ethtool -K ${peer.name ?? 'PEER'} tso off gso off`,
    );
  if (device.mtu > MAX_MTU)
    found.push(`the MTU is ${device.mtu} now: packets that need more than ${MAX_MTU} are dropped`);
  if (c.handingOver)
    found.push(
      `the interface sends on ${device.txQueues} of its queues: ${c.handingOver} lanes hand over what they transmit`,
    );
  const { queues } = device;
  if (queues > c.queues)
    found.push(`${queues} queues, ${c.queues} taken: packets of the others stay with the kernel`);
  if (seen.noSocket > 0) found.push(`${seen.noSocket} packets came by a queue without socket`);
  if (c.allMulticast === false)
    found.push(
      `groups are left to the card’s filter, neighbour discovery among them: ip link set ${device.name} allmulticast on`,
    );
  return found;
}
