/** The peers of bench:hops by name, in the order of the tables. */

import { kernelAvailable } from '../../../host/bpf/kernel/available.js';
import {
  type Chain,
  DirectChain,
  ForwarderChain,
  missingEthtool,
  missingSocat,
  SocatChain,
} from './chain.js';
import type { Topology } from './topology.js';

export interface Peer {
  /** Why it cannot run here; undefined when it can. */
  missing(): string | undefined;
  /** Makes its part of the network. */
  make(topology: Topology): Chain;
}

function missingKernel(): string | undefined {
  const kernel = kernelAvailable();
  return kernel.ok ? undefined : kernel.reason;
}

const forwarder = (name: 'etherloom' | 'kernel'): Peer => ({
  missing: () => missingKernel() ?? missingEthtool(),
  make: topology => new ForwarderChain(name, topology.path()),
});

export const PEERS: Record<string, Peer> = {
  direct: { missing: () => undefined, make: topology => new DirectChain(topology) },
  socat: { missing: missingSocat, make: topology => new SocatChain(topology.path()) },
  etherloom: forwarder('etherloom'),
  kernel: forwarder('kernel'),
};
