/** Transports by name: an application in another thread is told the name, and makes its view by it. */
import { EtherloomError } from '../errors.js';
import type { Transport } from './contract.js';

const known = new Map<string, Transport>();

/** Makes a transport known in this thread. The last of a name counts. */
export function registerTransport<O extends object>(transport: Transport<O>): void {
  known.set(transport.name, transport as unknown as Transport);
}

/** @throws EtherloomError ERR_TRANSPORT_UNKNOWN */
export function transportNamed(name: string): Transport {
  const found = known.get(name);
  if (!found)
    throw new EtherloomError('ERR_TRANSPORT_UNKNOWN', `no transport "${name}"`, {
      expected: [...known.keys()].join(', ') || 'one that registerTransport() made known in this thread',
    });
  return found;
}
