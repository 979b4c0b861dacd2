/**
 * Messages of rtnetlink(7): questions as the kernel takes them, and what its answers say. An answer is bytes like any
 * others: whatever they are, they are read within their bounds, or refused with ERR_NETLINK.
 */
import { EtherloomError } from '../errors.js';
import { formatIp, formatMac } from '../wire/address.js';

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 1;
const NLM_F_MULTI = 2;
const RTM_NEWROUTE = 24;
const RTM_NEWNEIGH = 28;
/** struct nlmsghdr; struct rtmsg and struct ndmsg, which have the same size. */
const HEADER = 16;
const BODY = 12;
/** Of struct ndmsg: number of the interface, NUD_*. */
const NDM = { ifindex: 4, state: 8 } as const;
const RTA = { OIF: 4, GATEWAY: 5, VIA: 18 } as const;
const NDA = { DST: 1, LLADDR: 2 } as const;
/** An entry that the kernel would ask about before it believed it. */
const NUD_STALE = 4;

export interface Message {
  type: number;
  body: DataView;
  attributes: Map<number, Uint8Array>;
}

export interface Answer {
  messages: Message[];
  /** More of it is to be read. */
  more: boolean;
  /** What the kernel failed with; 0: it did not. */
  errno: number;
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

const pad = (n: number): number => (n + 3) & ~3;

const malformed = (what: string, offset: number, expected: string): EtherloomError =>
  new EtherloomError('ERR_NETLINK', `an answer of the kernel with ${what}`, { offset, expected });

/** A question: struct rtmsg or ndmsg, filled by `more`, and one attribute. */
export function question(
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

/** What one read brought. @throws EtherloomError ERR_NETLINK for what is no sequence of whole messages */
export function readAnswer(bytes: Uint8Array): Answer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const answer: Answer = { messages: [], more: false, errno: 0 };
  for (let at = 0; at < bytes.length; ) {
    if (at + HEADER > bytes.length) throw malformed('half a header', at, `${HEADER} bytes`);
    const size = view.getUint32(at, true);
    const type = view.getUint16(at + 4, true);
    if (size < HEADER || at + size > bytes.length)
      throw malformed(`a message of ${size} bytes`, at, `${HEADER} … ${bytes.length - at}`);
    const body = new DataView(bytes.buffer, bytes.byteOffset + at + HEADER, size - HEADER);
    if (type === NLMSG_ERROR || type === NLMSG_DONE) {
      // After a dump an error stands in DONE, if there is room; 0 is success in both.
      if (type === NLMSG_ERROR && body.byteLength < 4)
        throw malformed('an error that says nothing', at, '4 bytes');
      const code = body.byteLength < 4 ? 0 : body.getInt32(0, true);
      return { ...answer, more: false, errno: Math.max(0, -code) };
    }
    answer.more = (view.getUint16(at + 6, true) & NLM_F_MULTI) !== 0;
    answer.messages.push({ type, body, attributes: attributesOf(body, at + HEADER) });
    at += pad(size);
  }
  return answer;
}

/** struct rtattr: u16 length, u16 type, padded to 4 bytes. `start`: where the body lies in the answer. */
function attributesOf(body: DataView, start: number): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>();
  for (let at = BODY; at + 4 <= body.byteLength; ) {
    const size = body.getUint16(at, true);
    if (size < 4 || at + size > body.byteLength)
      throw malformed(`an attribute of ${size} bytes`, start + at, `4 … ${body.byteLength - at}`);
    attributes.set(
      body.getUint16(at + 2, true),
      new Uint8Array(body.buffer, body.byteOffset + at + 4, size - 4),
    );
    at += pad(size);
  }
  return attributes;
}

/** A router's address. RTA_VIA: one of the other family, after two bytes that say which. */
function routerOf(attributes: Map<number, Uint8Array>): string | undefined {
  const router = attributes.get(RTA.GATEWAY) ?? attributes.get(RTA.VIA)?.subarray(2);
  if (!router) return undefined;
  if (router.length !== 4 && router.length !== 16)
    throw malformed(`a router's address of ${router.length} bytes`, router.byteOffset, '4 or 16');
  return formatIp(router.slice());
}

/** The route to `address` among the messages. @throws EtherloomError ERR_NETLINK */
export function routeIn(messages: readonly Message[], address: string, about: string): Route {
  const route = messages.find(m => m.type === RTM_NEWROUTE)?.attributes;
  const out = route?.get(RTA.OIF);
  if (!route || !out || out.length < 4)
    throw new EtherloomError('ERR_NETLINK', `${about}: it leads to no interface`);
  return {
    neighbour: routerOf(route) ?? address,
    ifindex: new DataView(out.buffer, out.byteOffset, 4).getUint32(0, true),
  };
}

/** The neighbour with an address at an interface; undefined: the kernel knows of none. */
export function neighbourIn(
  messages: readonly Message[],
  wanted: Uint8Array,
  ifindex: number,
): Neighbour | undefined {
  for (const { type, body, attributes } of messages) {
    if (type !== RTM_NEWNEIGH || body.byteLength < BODY) continue;
    const address = attributes.get(NDA.DST);
    const mac = attributes.get(NDA.LLADDR);
    if (body.getInt32(NDM.ifindex, true) !== ifindex || mac?.length !== 6) continue;
    if (!address || Buffer.compare(address, wanted) !== 0) continue;
    return { mac: formatMac(mac.slice()), stale: (body.getUint16(NDM.state, true) & NUD_STALE) !== 0 };
  }
  return undefined;
}
