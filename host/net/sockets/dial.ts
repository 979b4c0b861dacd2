/** Before a connect: the address of a name, and what the stack's refusals are called. */
import { lookup as dnsLookup } from 'node:dns';
import { isIP } from 'node:net';
import { EtherloomError } from '../../errors.js';
import type { SocketError } from '../../transports/errno.js';
import type { ConnectTarget } from './arguments.js';
import { addressError, systemError } from './errors.js';

/** Told of an answer: `lookup`'s event. */
export type LookupHeard = (error: Error | null, address?: string, family?: number) => void;

interface Found {
  address: string;
  family: number;
}

/** Looks a target's name up. `found` is called with its addresses in order, or with the error that keeps it from having one. */
export function lookUp(
  { host, family, hints, all, lookup = dnsLookup as never }: ConnectTarget,
  heard: LookupHeard,
  found: (error: Error | undefined, addresses: readonly string[]) => void,
): void {
  const asked = { family, ...(hints === undefined ? {} : { hints }), all };
  lookup(host, asked, (error, answer, kind) => {
    if (error) {
      heard(error);
      return found(error, []);
    }
    const list = (Array.isArray(answer) ? answer : [{ address: answer, family: kind }]) as Found[];
    for (const { address, family } of list) heard(error, address, family);
    const good = list.map(({ address }) => address).filter(address => isIP(address));
    if (good.length === 0) found(addressError(list[0]?.address), []);
    else found(undefined, all ? inTurns(good) : good.slice(0, 1));
  });
}

/** The addresses in turns of their families, that of the first one first. */
function inTurns(addresses: readonly string[]): string[] {
  const [first] = addresses;
  const own = addresses.filter(a => isIP(a) === isIP(first));
  const other = addresses.filter(a => isIP(a) !== isIP(first));
  return addresses.flatMap((_, i) => [own[i], other[i]]).filter(a => a !== undefined);
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
