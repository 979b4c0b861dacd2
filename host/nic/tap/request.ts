/**
 * What TUN/TAP interfaces are asked with: ioctl numbers and struct ifreq (linux/if_tun.h, linux/if.h, linux/sockios.h).
 * Every call goes through the addon; what can be known without it (open.ts) is read from /proc and /sys.
 */
import { constants } from 'node:os';
import type { Native } from '../../native/load.js';

export const TUNSETIFF = 0x400454ca;
export const TUNGETIFF = 0x800454d2;
const SIOCGIFFLAGS = 0x8913;
const SIOCSIFFLAGS = 0x8914;
const SIOCGIFINDEX = 0x8933;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCSIFHWBROADCAST = 0x8937;
const FIONBIO = 0x5421;

/** IFF_* of TUNSETIFF. */
export const TunFlag = {
  TUN: 0x0001,
  TAP: 0x0002,
  MULTI_QUEUE: 0x0100,
  /** Frames only, without the four bytes of struct tun_pi before each. */
  NO_PI: 0x1000,
  VNET_HDR: 0x4000,
} as const;

const IFF_UP = 1;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const IFREQ_BYTES = 40;
const NAME_BYTES = 16;

/** The calls of the addon that interfaces need. */
export type InterfaceCalls = Pick<Native, 'ioctl' | 'socket' | 'close'>;

/** The interface of a descriptor was deleted. Linux only, so node:os has no name for it. */
export const EBADFD = 77;

const errnoNames = new Map(Object.entries({ ...constants.errno, EBADFD }).map(([name, n]) => [n, name]));
/** Name of an errno. */
export const errno = (n: number): string => errnoNames.get(Math.abs(n)) ?? `errno ${Math.abs(n)}`;

/** struct ifreq: a name, and a union that is a number here. */
export class InterfaceRequest {
  readonly bytes = new Uint8Array(IFREQ_BYTES);
  readonly #view = new DataView(this.bytes.buffer);

  constructor(name = '') {
    // The last byte stays zero.
    new TextEncoder().encodeInto(name, this.bytes.subarray(0, NAME_BYTES - 1));
  }

  get name(): string {
    const end = this.bytes.indexOf(0);
    return new TextDecoder().decode(this.bytes.subarray(0, end < 0 ? NAME_BYTES : Math.min(end, NAME_BYTES)));
  }

  get short(): number {
    return this.#view.getUint16(NAME_BYTES, true);
  }
  set short(value: number) {
    this.#view.setUint16(NAME_BYTES, value, true);
  }

  get word(): number {
    return this.#view.getInt32(NAME_BYTES, true);
  }
  set word(value: number) {
    this.#view.setInt32(NAME_BYTES, value, true);
  }
}

/** Asks the kernel about an interface of the namespace that this thread is in. Returns -errno when it refuses. */
function ask(native: InterfaceCalls, request: number, about: InterfaceRequest): number {
  const socket = native.socket(AF_INET, SOCK_DGRAM, 0);
  if (socket < 0) return socket;
  const rc = native.ioctl(socket, request, about.bytes);
  native.close(socket);
  return rc;
}

/** MTU, bytes; or -errno. */
export function getMtu(native: InterfaceCalls, name: string): number {
  const request = new InterfaceRequest(name);
  const rc = ask(native, SIOCGIFMTU, request);
  return rc < 0 ? rc : request.word;
}

/** Its number; or -errno. */
export function getIndex(native: InterfaceCalls, name: string): number {
  const request = new InterfaceRequest(name);
  const rc = ask(native, SIOCGIFINDEX, request);
  return rc < 0 ? rc : request.word;
}

export function setMtu(native: InterfaceCalls, name: string, mtu: number): number {
  const request = new InterfaceRequest(name);
  request.word = mtu;
  return ask(native, SIOCSIFMTU, request);
}

/** Brings an interface up, as `ip link set NAME up`. */
export function bringUp(native: InterfaceCalls, name: string): number {
  const request = new InterfaceRequest(name);
  const rc = ask(native, SIOCGIFFLAGS, request);
  if (rc < 0) return rc;
  request.short |= IFF_UP;
  return ask(native, SIOCSIFFLAGS, request);
}

/** No hardware type of linux/if_arp.h that `lo` has. */
const NO_TYPE = 0xffff;

/**
 * Whether this thread may make and change interfaces of its namespace (CAP_NET_ADMIN over it, as capable() sees it: not
 * every user namespace's root has it). Asks for a change that right comes before and that cannot be: nothing is changed.
 */
export function mayConfigure(native: InterfaceCalls): boolean {
  const request = new InterfaceRequest('lo');
  request.short = NO_TYPE;
  return errno(ask(native, SIOCSIFHWBROADCAST, request)) !== 'EPERM';
}

/** Makes reads and writes of a descriptor answer EAGAIN instead of waiting. */
export function setNonBlocking(native: InterfaceCalls, fd: number): number {
  return native.ioctl(fd, FIONBIO, new Uint8Array(Int32Array.of(1).buffer));
}
