/**
 * Which XDP program an interface has, for whoever was refused because of it (link.ts). By netlink (rtnetlink(7)), in the
 * network namespace of the calling thread; its name by bpf(2), which tells it to CAP_SYS_ADMIN only.
 */
import { addon, bpf, Cmd, INFO_BY_FD, PROG_BY_ID } from './attr.js';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const NLM_F_REQUEST = 1;
/** struct nlmsghdr and struct ifinfomsg, the index in it, and room for an answer. */
const LINK = { bytes: 32, index: 20, answer: 32768 } as const;
/** linux/if_link.h. Inside IFLA_XDP: id of the program whatever the mode, in the driver, after it, in the card. */
const IFLA_XDP = 43;
const PROG_IDS: readonly number[] = [4, 5, 6, 7];
/** Flags of an attribute's type are not part of it. */
const NLA_TYPE_MASK = 0x3fff;
/** struct bpf_prog_info up to its name. */
const INFO = { bytes: 80, name: 64 } as const;

/** struct rtattr[]: u16 length, u16 type, padded to 4 bytes. */
function* attributes(view: DataView, from: number): Generator<[type: number, body: DataView]> {
  for (let at = from; at + 4 <= view.byteLength; ) {
    const size = view.getUint16(at, true);
    if (size < 4 || at + size > view.byteLength) return;
    const body = new DataView(view.buffer, view.byteOffset + at + 4, size - 4);
    yield [view.getUint16(at + 2, true) & NLA_TYPE_MASK, body];
    at += (size + 3) & ~3;
  }
}

/** What the kernel says of an interface, undefined when it does not. */
function askLink(ifindex: number): DataView | undefined {
  const calls = addon();
  const request = new DataView(new ArrayBuffer(LINK.bytes));
  request.setUint32(0, LINK.bytes, true);
  request.setUint16(4, RTM_GETLINK, true);
  request.setUint16(6, NLM_F_REQUEST, true);
  request.setInt32(LINK.index, ifindex, true);
  const answer = new Uint8Array(LINK.answer);
  const socket = calls.socket(AF_NETLINK, SOCK_RAW, 0);
  if (socket < 0) return undefined;
  const sent = calls.write(socket, new Uint8Array(request.buffer));
  const length = sent < 0 ? sent : calls.read(socket, answer);
  calls.close(socket);
  const view = new DataView(answer.buffer, 0, Math.max(0, length));
  return length >= LINK.bytes && view.getUint16(4, true) === RTM_NEWLINK ? view : undefined;
}

function nameOf(id: number): string | undefined {
  const { rc: fd } = bpf(Cmd.PROG_GET_FD_BY_ID, PROG_BY_ID, { id });
  if (fd < 0) return undefined;
  const info = new Uint8Array(INFO.bytes);
  const { rc } = bpf(Cmd.OBJ_GET_INFO_BY_FD, INFO_BY_FD, { fd, length: info.length, info });
  addon().close(fd);
  if (rc < 0) return undefined;
  const name = info.subarray(INFO.name);
  const end = name.indexOf(0);
  return new TextDecoder().decode(end < 0 ? name : name.subarray(0, end)) || undefined;
}

/** "NAME, id N", or what of it can be seen; undefined when the interface has no XDP program. */
export function xdpHolder(ifindex: number): string | undefined {
  const link = askLink(ifindex);
  if (!link) return undefined;
  for (const [type, body] of attributes(link, LINK.bytes)) {
    if (type !== IFLA_XDP) continue;
    for (const [inner, value] of attributes(body, 0)) {
      if (!PROG_IDS.includes(inner) || value.byteLength < 4) continue;
      const id = value.getUint32(0, true);
      if (id === 0) continue;
      const name = nameOf(id);
      return name === undefined ? `id ${id}` : `${name}, id ${id}`;
    }
  }
  return undefined;
}
