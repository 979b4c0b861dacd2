/**
 * Two questions to the kernel about the network namespace of this process, by netlink (rtnetlink(7)): by which neighbour
 * an address is reached, and what its Ethernet address is. Without a process of its own, since they are asked again and
 * again.
 */
import { errnoName } from '../bpf/kernel/attr.js';
import { EtherloomError } from '../errors.js';
import { type Native, native } from '../native/load.js';
import { parseIp } from '../wire/address.js';
import {
  type Message,
  type Neighbour,
  neighbourIn,
  question,
  type Route,
  readAnswer,
  routeIn,
} from './netlink_message.js';

export type { Neighbour, Route } from './netlink_message.js';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NLM_F_DUMP = 0x300;
const RTM_GETROUTE = 26;
const RTM_GETNEIGH = 30;
const RTA_DST = 1;
/** The kernel sends at most this much at a time. */
const ANSWER = 32768;

/** @throws EtherloomError ERR_NETLINK */
function addon(): Native {
  const found = native();
  if (found.ok) return found.native;
  throw new EtherloomError('ERR_NETLINK', found.reason, { expected: 'the native addon' });
}

/** Every message of the answer. @throws EtherloomError ERR_NETLINK with the kernel's errno */
function ask(asked: Uint8Array, about: string): Message[] {
  const kernel = addon();
  const failed = (errno: number): EtherloomError => {
    const name = errnoName(errno);
    if (!/^E(NET|HOST)UNREACH$/.test(name)) return new EtherloomError('ERR_NETLINK', `${about}: ${name}`);
    return new EtherloomError('ERR_NETLINK', `${about}: there is none (${name})`, {
      expected: 'an address that this machine has a route to (ip route)',
    });
  };
  const socket = kernel.socket(AF_NETLINK, SOCK_RAW, 0);
  if (socket < 0) throw failed(-socket);
  try {
    const sent = kernel.write(socket, asked);
    if (sent < 0) throw failed(-sent);
    const found: Message[] = [];
    for (;;) {
      const buffer = new Uint8Array(ANSWER);
      const length = kernel.read(socket, buffer);
      if (length < 0) throw failed(-length);
      const { messages, more, errno } = readAnswer(buffer.subarray(0, length));
      if (errno) throw failed(errno);
      found.push(...messages);
      if (!more) return found;
    }
  } finally {
    kernel.close(socket);
  }
}

const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF_INET : AF_INET6);

/** By whom the kernel reaches an address. @throws EtherloomError ERR_NETLINK (ENETUNREACH: there is no route) */
export function routeTo(address: string): Route {
  const bytes = parseIp(address);
  const asked = question(RTM_GETROUTE, 0, familyOf(bytes), body => body.setUint8(1, bytes.length * 8), [
    RTA_DST,
    bytes,
  ]);
  const about = `the route to ${address}`;
  return routeIn(ask(asked, about), address, about);
}

/** What the kernel knows of a neighbour; undefined: nothing. @throws EtherloomError ERR_NETLINK */
export function neighbourOf({ neighbour, ifindex }: Route): Neighbour | undefined {
  const wanted = parseIp(neighbour);
  const asked = question(RTM_GETNEIGH, NLM_F_DUMP, familyOf(wanted), () => {});
  return neighbourIn(ask(asked, `the neighbour ${neighbour}`), wanted, ifindex);
}
