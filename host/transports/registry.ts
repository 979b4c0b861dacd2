/** Transports by name: an application in another thread is told the name, and makes its view by it. */
import { EtherloomError } from '../errors.js';
import type { Transport } from './contract.js';
import type { DatagramTransport } from './datagrams.js';
import type { MessageTransport } from './messages.js';

const known = new Map<string, Transport>();
const knownDatagrams = new Map<string, DatagramTransport>();
const knownMessages = new Map<string, MessageTransport>();

/** Makes a transport known in this thread. The last of a name counts. */
export function registerTransport<O extends object>(transport: Transport<O>): void {
  known.set(transport.name, transport as unknown as Transport);
}

/** The same for one of datagrams. */
export function registerDatagrams(transport: DatagramTransport): void {
  knownDatagrams.set(transport.name, transport);
}

/** The same for one of messages. */
export function registerMessages(transport: MessageTransport): void {
  knownMessages.set(transport.name, transport);
}

function named<T>(name: string, among: ReadonlyMap<string, T>, how: string): T {
  const found = among.get(name);
  if (found !== undefined) return found;
  throw new EtherloomError('ERR_TRANSPORT_UNKNOWN', `no transport "${name}"`, {
    expected: [...among.keys()].join(', ') || `one that ${how}() made known in this thread`,
  });
}

/** @throws EtherloomError ERR_TRANSPORT_UNKNOWN */
export const transportNamed = (name: string): Transport => named(name, known, 'registerTransport');

/** @throws EtherloomError ERR_TRANSPORT_UNKNOWN */
export const datagramsNamed = (name: string): DatagramTransport =>
  named(name, knownDatagrams, 'registerDatagrams');

/** @throws EtherloomError ERR_TRANSPORT_UNKNOWN */
export const messagesNamed = (name: string): MessageTransport =>
  named(name, knownMessages, 'registerMessages');
