/**
 * What the kernel gives to a chain of its interfaces: the listeners at the front, the source ports at the rear, and with
 * them the ICMP errors about them and their later fragments. All else, pings too, is left to the kernel.
 */
import { EtherloomError } from '../errors.js';
import { MAX_RULES, type RedirectRule } from '../nic/af_xdp/index.js';
import { type ForwardConfig, PROTOCOLS, type Protocol, sameFamily } from './config.js';

export interface ChainRules {
  front: RedirectRule[];
  rear: RedirectRule[];
}

/**
 * Rules of both interfaces. With `shared` they are one, which takes both lists.
 * @throws EtherloomError ERR_FORWARD_CONFIG when there are more than an interface takes
 */
export function chainRules(config: ForwardConfig, shared: boolean): ChainRules {
  const front = config.address.flatMap(address => listening(config, address));
  const rear = config.source.flatMap(address => answering(config, address));
  const most = shared ? front.length + rear.length : Math.max(front.length, rear.length);
  if (most > MAX_RULES)
    throw new EtherloomError('ERR_FORWARD_CONFIG', `${most} rules for what an interface takes`, {
      path: 'services',
      expected: `at most ${MAX_RULES}: ports side by side are one rule; or own=yes, which takes everything`,
    });
  return { front, rear };
}

/** Services that this address of ours has a backend for: the others are not ours to take. */
const servicesOf = (config: ForwardConfig, address: string): ForwardConfig['services'] =>
  config.services.filter(s => s.backends.some(b => sameFamily(b.address, address)));

/** Calls of clients. */
function listening(config: ForwardConfig, address: string): RedirectRule[] {
  return PROTOCOLS.flatMap(protocol => {
    const ports = servicesOf(config, address)
      .filter(s => s.protocols.includes(protocol))
      .map(s => s.ports[0]);
    return ranges(ports).map(port => ({ protocol, address, port }));
  });
}

/** Answers of backends. */
function answering(config: ForwardConfig, address: string): RedirectRule[] {
  const port = [config.firstPort, config.firstPort + config.flows - 1] as const;
  const protocols = new Set<Protocol>(servicesOf(config, address).flatMap(s => s.protocols));
  return [...protocols].map(protocol => ({ protocol, address, port }));
}

/** Ports side by side as one range. */
function ranges(ports: readonly number[]): (number | [number, number])[] {
  const found: [number, number][] = [];
  for (const port of [...new Set(ports)].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && last[1] === port - 1) last[1] = port;
    else found.push([port, port]);
  }
  return found.map(([low, high]) => (low === high ? low : [low, high]));
}
