/**
 * Two questions to the kernel about the network namespace of this process, by netlink (rtnetlink(7)): by which neighbour
 * an address is reached, and what its Ethernet address is. Without a process of its own, since they are asked again and
 * again.
 */
import { errnoName } from '../bpf/kernel/attr.js';
import { EtherloomError } from '../errors.js';
import { type Native, native } from '../native/load.js';
import { formatIp, formatMac, parseIp } from '../wire/address.js';

const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_MULTI = 2;
const NLM_F_DUMP = 0x300;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTM_NEWNEIGH = 28;
const RTM_GETNEIGH = 30;
/** struct nlmsghdr; struct rtmsg and struct ndmsg, which have the same size. */
const HEADER = 16;
const BODY = 12;
/** Of struct ndmsg: number of the interface, NUD_*. */
const NDM = { ifindex: 4, state: 8 } as const;
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, VIA: 18 } as const;
const NDA = { DST: 1, LLADDR: 2 } as const;
/** An entry that the kernel would ask about before it believed it. */
const NUD_STALE = 4;
/** The kernel sends at most this much at a time. */
const ANSWER = 32768;

interface Message {
  type: number;
  body: DataView;
  attributes: Map<number, Uint8Array>;
}

export interface Route {
  /** Who gets the packets: a router, or the address itself. */
  neighbour: string;
  /** Number of the interface. */
  ifindex: number;
}

export interface Neighbour {
  mac: string;
  /** Nobody has heard of it lately. */
  stale: boolean;
}

/** @throws EtherloomError ERR_NETLINK */
function addon(): Native {
  const found = native();
  if (found.ok) return found.native;
  throw new EtherloomError('ERR_NETLINK', found.reason, { expected: 'the native addon' });
}

const pad = (n: number): number => (n + 3) & ~3;

function request(
  type: number,
  flags: number,
  family: number,
  more: (body: DataView) => void,
  attribute?: [number, Uint8Array],
): Uint8Array {
  const length = HEADER + BODY + (attribute ? pad(4 + attribute[1].length) : 0);
  const view = new DataView(new ArrayBuffer(length));
  view.setUint32(0, length, true);
  view.setUint16(4, type, true);
  view.setUint16(6, NLM_F_REQUEST | flags, true);
  view.setUint8(HEADER, family);
  more(new DataView(view.buffer, HEADER));
  const bytes = new Uint8Array(view.buffer);
  if (attribute) {
    view.setUint16(HEADER + BODY, 4 + attribute[1].length, true);
    view.setUint16(HEADER + BODY + 2, attribute[0], true);
    bytes.set(attribute[1], HEADER + BODY + 4);
  }
  return bytes;
}

/** Every message of the answer. @throws EtherloomError ERR_NETLINK with the kernel's errno */
function ask(question: Uint8Array, about: string): Message[] {
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
    const sent = kernel.write(socket, question);
    if (sent < 0) throw failed(-sent);
    const found: Message[] = [];
    for (;;) {
      const answer = new Uint8Array(ANSWER);
      const length = kernel.read(socket, answer);
      if (length < 0) throw failed(-length);
      const view = new DataView(answer.buffer);
      let more = false;
      for (let at = 0; at + HEADER <= length; at += pad(view.getUint32(at, true))) {
        const size = view.getUint32(at, true);
        const type = view.getUint16(at + 4, true);
        if (size < HEADER || at + size > length || type === NLMSG_DONE) return found;
        if (type === NLMSG_ERROR) throw failed(-view.getInt32(at + HEADER, true));
        more = (view.getUint16(at + 6, true) & NLM_F_MULTI) !== 0;
        found.push(message(type, new DataView(answer.buffer, at + HEADER, size - HEADER)));
      }
      if (!more) return found;
    }
  } finally {
    kernel.close(socket);
  }
}

function message(type: number, body: DataView): Message {
  const attributes = new Map<number, Uint8Array>();
  // struct rtattr: u16 length, u16 type, padded to 4 bytes.
  for (let at = BODY; at + 4 <= body.byteLength; ) {
    const size = body.getUint16(at, true);
    if (size < 4 || at + size > body.byteLength) break;
    attributes.set(
      body.getUint16(at + 2, true),
      new Uint8Array(body.buffer, body.byteOffset + at + 4, size - 4),
    );
    at += pad(size);
  }
  return { type, body, attributes };
}

const familyOf = (address: Uint8Array): number => (address.length === 4 ? AF_INET : AF_INET6);

/** By whom the kernel reaches an address. @throws EtherloomError ERR_NETLINK (ENETUNREACH: there is no route) */
export function routeTo(address: string): Route {
  const bytes = parseIp(address);
  const question = request(RTM_GETROUTE, 0, familyOf(bytes), body => body.setUint8(1, bytes.length * 8), [
    RTA.DST,
    bytes,
  ]);
  const about = `the route to ${address}`;
  const route = ask(question, about).find(m => m.type === RTM_NEWROUTE)?.attributes;
  const out = route?.get(RTA.OIF);
  if (!route || !out) throw new EtherloomError('ERR_NETLINK', `${about}: it leads to no interface`);
  // RTA_VIA: a router of the other family, after two bytes that say which.
  const router = route.get(RTA.GATEWAY) ?? route.get(RTA.VIA)?.subarray(2);
  return {
    neighbour: router ? formatIp(router.slice()) : address,
    ifindex: new DataView(out.buffer, out.byteOffset).getUint32(0, true),
  };
}

/** What the kernel knows of a neighbour; undefined: nothing. @throws EtherloomError ERR_NETLINK */
export function neighbourOf({ neighbour, ifindex }: Route): Neighbour | undefined {
  const wanted = parseIp(neighbour);
  const question = request(RTM_GETNEIGH, NLM_F_DUMP, familyOf(wanted), () => {});
  for (const { type, body, attributes } of ask(question, `the neighbour ${neighbour}`)) {
    const address = attributes.get(NDA.DST);
    const mac = attributes.get(NDA.LLADDR);
    if (type !== RTM_NEWNEIGH || body.getInt32(NDM.ifindex, true) !== ifindex || mac?.length !== 6) continue;
    if (!address || Buffer.compare(address, wanted) !== 0) continue;
    return { mac: formatMac(mac.slice()), stale: (body.getUint16(NDM.state, true) & NUD_STALE) !== 0 };
  }
  return undefined;
}
