/** Transports by name: an application in another thread is told the name, and makes its view by it. */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { Transport } from './contract.js';
import type { DatagramTransport, DatagramView } from './datagrams.js';
import type { MessageTransport } from './messages.js';

/** Sees sockets of a transport of datagrams from the present thread: DatagramTransport.view. */
type MakeView = (arena: Arena, shared: unknown) => DatagramView;

const known = new Map<string, Transport>();
const knownViews = new Map<string, MakeView>();
const knownMessages = new Map<string, MessageTransport>();

/** Makes a transport known in this thread. The last of a name counts. */
export function registerTransport<O extends object>(transport: Transport<O>): void {
  known.set(transport.name, transport as unknown as Transport);
}

/** The same for one of datagrams. Those of `datagramTransport` need none. */
export function registerDatagrams(transport: DatagramTransport): void {
  knownViews.set(transport.name, (arena, shared) => transport.view(arena, shared));
}

/** Makes views known by a name: what `viewedBy` of transports says. */
export function registerViews(name: string, view: MakeView): void {
  knownViews.set(name, view);
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
export const viewsNamed = (name: string): MakeView => named(name, knownViews, 'registerDatagrams');

/** @throws EtherloomError ERR_TRANSPORT_UNKNOWN */
export const messagesNamed = (name: string): MessageTransport =>
  named(name, knownMessages, 'registerMessages');
