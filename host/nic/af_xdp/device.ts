/**
 * What the kernel says of an interface: number, MTU, address, driver, queues, and whether its veth peer leaves
 * checksums to hardware. ioctl(2) on one socket of the interface's namespace; layouts of linux/if.h and ethtool.h.
 */
import { errnoName } from '../../bpf/kernel/attr.js';
import { EtherloomError } from '../../errors.js';
import type { Native } from '../../native/load.js';
import { inNamespace } from './netns.js';

const AF_INET = 2;
const SOCK_DGRAM = 2;

/** ioctl numbers of linux/sockios.h. */
const Ask = {
  NAME: 0x8910,
  FLAGS: 0x8913,
  MTU: 0x8921,
  ADDRESS: 0x8927,
  INDEX: 0x8933,
  ETHTOOL: 0x8946,
} as const;
/** struct ifreq: a name of 16 bytes and a union. */
const IFREQ = { bytes: 40, name: 16, union: 16, address: 18 } as const;
const IFF_UP = 1;

/** Commands of linux/ethtool.h. */
const Ethtool = { DRIVER: 0x3, TX_CHECKSUM: 0x16, CHANNELS: 0x3c } as const;
/** struct ethtool_drvinfo. */
const DRVINFO = { bytes: 196, driver: 4, driverBytes: 32 } as const;
/** struct ethtool_channels: queues for receiving only, for sending only, and those for both. */
const CHANNELS = { bytes: 36, rx: 20, tx: 24, combined: 32 } as const;

const AF_NETLINK = 16;
const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const NLM_F_REQUEST = 1;
/** Attributes of linux/if_link.h: number of the other end, and its namespace if that is another. */
const IFLA_LINK = 5;
const IFLA_LINK_NETNSID = 37;
/** struct nlmsghdr and struct ifinfomsg, the index in it, and room for an answer. */
const NETLINK = { request: 32, index: 20, answer: 16384 } as const;

/** Another end of a veth pair, as far as it can be seen. */
export interface Peer {
  /** Undefined when it is in another namespace. */
  name: string | undefined;
  /** It computes checksums itself; undefined when that cannot be seen. */
  checksums: boolean | undefined;
}

export class Device {
  readonly #socket: number;

  /**
   * Opens a socket in the interface's namespace; the interface may come and go.
   * @throws EtherloomError ERR_NIC_NETNS, ERR_NIC_UNAVAILABLE
   */
  constructor(
    readonly native: Native,
    readonly name: string,
    readonly namespace?: string,
  ) {
    if (Buffer.byteLength(name) >= IFREQ.name || name === '')
      throw new EtherloomError('ERR_NIC_OPTIONS', `interface "${name}"`, {
        expected: `a name of 1 … ${IFREQ.name - 1} bytes`,
      });
    this.#socket = inNamespace(native, namespace, () => native.socket(AF_INET, SOCK_DGRAM, 0));
    if (this.#socket < 0)
      throw new EtherloomError('ERR_NIC_UNAVAILABLE', `${name}: no socket: ${errnoName(-this.#socket)}`);
  }

  /** Number of the interface, 0 while there is none. */
  get ifindex(): number {
    return this.#number(Ask.INDEX) ?? 0;
  }

  get mtu(): number {
    return this.#number(Ask.MTU) ?? 0;
  }

  /** Administratively up. Not whether there is a carrier: that is said late, and the kernel sends all the same. */
  get up(): boolean {
    return ((this.#ask(Ask.FLAGS)?.getUint16(IFREQ.union, true) ?? 0) & IFF_UP) !== 0;
  }

  /** Hardware address, 6 B. */
  get mac(): Uint8Array {
    const request = this.#ask(Ask.ADDRESS);
    return request ? new Uint8Array(request.buffer, IFREQ.address, 6).slice() : new Uint8Array(6);
  }

  /** Name of the driver, '' when it tells none. */
  get driver(): string {
    const info = this.#ethtool(this.name, Ethtool.DRIVER, DRVINFO.bytes);
    return info ? text(new Uint8Array(info.buffer, DRVINFO.driver, DRVINFO.driverBytes)) : '';
  }

  /** Receive queues; 1 when the driver does not tell. */
  get queues(): number {
    const c = this.#ethtool(this.name, Ethtool.CHANNELS, CHANNELS.bytes);
    return Math.max(1, c ? c.getUint32(CHANNELS.rx, true) + c.getUint32(CHANNELS.combined, true) : 1);
  }

  /** Transmit queues; 1 when the driver does not tell. */
  get txQueues(): number {
    const c = this.#ethtool(this.name, Ethtool.CHANNELS, CHANNELS.bytes);
    return Math.max(1, c ? c.getUint32(CHANNELS.tx, true) + c.getUint32(CHANNELS.combined, true) : 1);
  }

  /** The other end of a veth pair; undefined for any other interface. */
  get peer(): Peer | undefined {
    if (this.driver !== 'veth') return undefined;
    const index = this.#peerIndex();
    const name = index === undefined ? undefined : this.#nameOf(index);
    if (name === undefined) return { name: undefined, checksums: undefined };
    const offload = this.#ethtool(name, Ethtool.TX_CHECKSUM, 8)?.getUint32(4, true);
    return { name, checksums: offload === undefined ? undefined : offload === 0 };
  }

  close(): void {
    this.native.close(this.#socket);
  }

  #request(name: string): DataView {
    const bytes = new Uint8Array(IFREQ.bytes);
    new TextEncoder().encodeInto(name, bytes);
    return new DataView(bytes.buffer);
  }

  #ask(what: number, request = this.#request(this.name)): DataView | undefined {
    return this.native.ioctl(this.#socket, what, new Uint8Array(request.buffer)) < 0 ? undefined : request;
  }

  #number(what: number): number | undefined {
    return this.#ask(what)?.getInt32(IFREQ.union, true);
  }

  #nameOf(index: number): string | undefined {
    const request = this.#request('');
    request.setInt32(IFREQ.union, index, true);
    if (!this.#ask(Ask.NAME, request)) return undefined;
    return text(new Uint8Array(request.buffer, 0, IFREQ.name));
  }

  /** An ethtool command on a structure of `bytes`; undefined when the driver does not know it. */
  #ethtool(name: string, command: number, bytes: number): DataView | undefined {
    const data = new DataView(new ArrayBuffer(bytes));
    data.setUint32(0, command, true);
    const request = new Uint8Array(this.#request(name).buffer);
    const pointers = [IFREQ.union, new Uint8Array(data.buffer)];
    return this.native.ioctl(this.#socket, Ask.ETHTOOL, request, pointers) < 0 ? undefined : data;
  }

  /** Number of the other end, when that is in the same namespace. */
  #peerIndex(): number | undefined {
    const { native } = this;
    const request = new DataView(new ArrayBuffer(NETLINK.request));
    request.setUint32(0, NETLINK.request, true);
    request.setUint16(4, RTM_GETLINK, true);
    request.setUint16(6, NLM_F_REQUEST, true);
    request.setInt32(NETLINK.index, this.ifindex, true);
    const answer = new Uint8Array(NETLINK.answer);
    const socket = inNamespace(native, this.namespace, () => native.socket(AF_NETLINK, SOCK_DGRAM, 0));
    if (socket < 0) return undefined;
    const sent = native.write(socket, new Uint8Array(request.buffer));
    const length = sent < 0 ? sent : native.read(socket, answer);
    native.close(socket);
    const view = new DataView(answer.buffer);
    if (length < NETLINK.request || view.getUint16(4, true) !== RTM_NEWLINK) return undefined;
    const end = Math.min(length, view.getUint32(0, true));
    let index: number | undefined;
    // struct rtattr: u16 length, u16 type, padded to 4 bytes.
    for (let at: number = NETLINK.request, size = 0; at + 4 <= end; at += (size + 3) & ~3) {
      size = Math.max(4, view.getUint16(at, true));
      const type = view.getUint16(at + 2, true);
      if (type === IFLA_LINK_NETNSID) return undefined;
      if (type === IFLA_LINK) index = view.getInt32(at + 4, true);
    }
    return index;
  }
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(bytes.subarray(0, end < 0 ? bytes.length : end));
}
