import { isIP, isIPv6 } from 'node:net';
import { EtherloomError } from '../../../host/errors.js';
import { forwardConfig, parseBackend } from '../../../host/forward/config.js';
import { hopConfig, hopObject, innerMac, planHops } from '../../../host/forward/hop.js';
import type { FuzzTarget } from '../../support/fuzz.js';

const FULL = {
  address: ['10.0.0.2', 'fd00::2'],
  source: ['10.1.0.2', 'fd01::2'],
  services: [
    {
      ports: [7996, 7997],
      backends: ['10.1.0.1:8000@02:00:00:00:00:01', '[fd01::1]:8000'],
      protocols: ['tcp'],
    },
    { ports: [80, 81], backends: [{ address: '10.1.0.3', port: 80 }] },
  ],
  flows: 16,
  firstPort: 20000,
  ages: { tcpOpen: 7440, udpOpen: 1.5 },
};

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EtherloomError('ERR_CONFIG_READ', 'no JSON', { cause });
  }
}

/** A backend with an address prints to what reads back as the same. */
function backend(text: string): void {
  const found = parseBackend(text);
  if (!found || !isIP(found.address)) return;
  const host = isIPv6(found.address) ? `[${found.address}]` : found.address;
  const again = parseBackend(`${host}:${found.port}${found.mac === undefined ? '' : `@${found.mac}`}`);
  if (JSON.stringify(again) !== JSON.stringify(found)) throw new Error(`${text} does not read back`);
}

/** Configurations of a forwarder: what is taken can be made into hops and their maps. */
export const target: FuzzTarget = {
  name: 'forward_config',
  maxBytes: 2048,
  maxMs: 10_000,
  seeds: () =>
    [
      JSON.stringify(FULL),
      '{"address":"10.0.0.2","services":[{"ports":[80],"backends":["10.1.0.1:80"]}]}',
      '10.0.0.1:80@02:00:00:00:00:01',
      '[fd00::1]:8000',
    ].map(t => Buffer.from(t)),
  run: input => {
    const text = Buffer.from(input).toString('latin1');
    if (!text.startsWith('{')) return backend(text);
    const config = forwardConfig(parse(text), 'fuzz.json');
    const hops = config.services[0].ports.map((_, i) => [innerMac(i, 0), innerMac(i, 1)] as const);
    const [hop] = planHops(config, { hops, backend: b => b.mac ?? '02:00:00:00:00:02' });
    hopObject(hop, hopConfig(hop));
  },
  dictionary: [
    '"address":',
    '"services":',
    '"backends":',
    '"ports":[',
    '"protocols":["udp"]',
    '"ages":{',
    '"flows":',
    '@02:00:00:00:00:01',
    '::',
    '65536',
    '1e99',
    '-1',
    'null',
  ],
};
