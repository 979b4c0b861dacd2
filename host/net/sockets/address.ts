/** Addresses as `net` shows them. */
import type { Endpoint } from '../../transports/contract.js';

export interface SocketAddress {
  address: string;
  family: 'IPv4' | 'IPv6';
  port: number;
}

/** Of what has none. */
export const NO_ADDRESS: Partial<SocketAddress> = {};

export const familyOf = (address: string): SocketAddress['family'] =>
  address.includes(':') ? 'IPv6' : 'IPv4';

export const shownEndpoint = ({ address, port }: Endpoint): SocketAddress => ({
  ...{ address, family: familyOf(address), port },
});
