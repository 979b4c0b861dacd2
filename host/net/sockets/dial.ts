/** Before a connect: the address of a name, and what the stack's refusals are called. */
import { lookup as dnsLookup } from 'node:dns';
import { isIP } from 'node:net';
import { EtherloomError } from '../../errors.js';
import type { SocketError } from '../../transports/errno.js';
import type { ConnectTarget } from './arguments.js';
import { addressError, systemError } from './errors.js';

/** Told of an answer: `lookup`'s event. */
export type LookupHeard = (error: Error | null, address?: string, family?: number) => void;

/** Looks a target's name up. `found` is called with its address, or with the error that keeps it from having one. */
export function lookUp(
  { host, family, hints, lookup = dnsLookup as never }: ConnectTarget,
  heard: LookupHeard,
  found: (error: Error | undefined, address: string) => void,
): void {
  const asked = { family, ...(hints === undefined ? {} : { hints }), all: false };
  lookup(host, asked, (error, answer, kind) => {
    const first = Array.isArray(answer) ? answer[0] : { address: answer, family: kind };
    heard(error, first?.address, first?.family);
    if (error) found(error, '');
    else if (first && isIP(first.address)) found(undefined, first.address);
    else found(addressError(first?.address), '');
  });
}

/** Why a connection to that target did not come to be, as of connect(2). */
export function connectFailure(target: ConnectTarget, code: string): Error {
  const { host, port, localAddress, localPort } = target;
  const local = localAddress && localPort ? { address: localAddress, port: localPort } : undefined;
  return systemError('connect', code, { address: host, port, local });
}

/** What the stack refused before a packet was sent, as of bind(2) or connect(2); errors without a name of Linux's stay. */
export function refusal(target: ConnectTarget, error: unknown): Error {
  const { errno } = error as SocketError;
  if (!(error instanceof EtherloomError) || errno === undefined) return error as Error;
  const { localAddress, localPort } = target;
  return (localAddress || localPort) && (errno === 'EADDRNOTAVAIL' || errno === 'EADDRINUSE')
    ? systemError('bind', errno, { address: localAddress, port: localPort })
    : connectFailure(target, errno);
}
