/** Responders: ports that answer ARP, neighbour discovery and echo by themselves. */
export type { AddressOptions } from './address.js';
export type { LearnedNeighbour, NeighbourOptions } from './neighbours.js';
export {
  type AddressStatus,
  type Conflict,
  Responder,
  type ResponderCounters,
  type ResponderOptions,
} from './responder.js';
