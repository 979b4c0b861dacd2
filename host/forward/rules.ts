/** What the kernel gives to a chain of its interfaces: the listeners at the front, the source ports at the rear. */
import type { RedirectRule } from '../nic/af_xdp/index.js';
import type { ForwardConfig } from './config.js';

/** Calls of clients. ICMP is left to the kernel, which answers pings. */
export function frontRules(config: ForwardConfig): RedirectRule[] {
  return config.services.flatMap(s =>
    s.protocols.flatMap(protocol => config.address.map(address => ({ protocol, address, port: s.ports[0] }))),
  );
}

/** Answers of backends. */
export function rearRules(config: ForwardConfig): RedirectRule[] {
  const protocols = [...new Set(config.services.flatMap(s => s.protocols))];
  const port = [config.firstPort, config.firstPort + config.flows - 1] as const;
  return protocols.flatMap(protocol => config.source.map(address => ({ protocol, address, port })));
}
