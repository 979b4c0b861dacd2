/** The peers of bench:hops by name, in the order of the tables. */
import { type Chain, DirectChain, missingSocat, SocatChain } from './chain.js';
import type { Topology } from './topology.js';

export interface Peer {
  /** Why it cannot run here; undefined when it can. */
  missing(): string | undefined;
  /** Makes its part of the network. */
  make(topology: Topology): Chain;
}

export const PEERS: Record<string, Peer> = {
  direct: { missing: () => undefined, make: topology => new DirectChain(topology) },
  socat: { missing: missingSocat, make: topology => new SocatChain(topology.path()) },
};
