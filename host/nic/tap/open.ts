/**
 * Opening TUN/TAP interfaces: by name through /dev/net/tun (needs the addon for one ioctl), or from descriptors that
 * somebody opened before, which needs nothing: their name stands in /proc, their flags and MTU in /sys.
 */
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { EtherloomError } from '../../errors.js';
import type { Native } from '../../native/load.js';
import {
  bringUp,
  errno,
  getMtu,
  InterfaceRequest,
  setMtu,
  setNonBlocking,
  TUNGETIFF,
  TUNSETIFF,
  TunFlag,
} from './request.js';

export type TapKind = 'tap' | 'tun';

/** What is known of an open interface. */
export interface OpenInterface {
  /** One descriptor per queue; reads and writes do not wait. */
  fds: number[];
  /** Undefined when nothing here could tell. */
  name?: string;
  mtu?: number;
  /** It was not there before: ends with its last descriptor, and is made again should somebody delete it. */
  made: boolean;
}

const DEVICE = '/dev/net/tun';

function cannot(name: string, why: string, expected: string, cause?: unknown): never {
  throw new EtherloomError('ERR_NIC_UNAVAILABLE', `${name}: ${why}`, { expected, cause });
}

function openDevice(name: string): number {
  try {
    return openSync(DEVICE, constants.O_RDWR | constants.O_NONBLOCK);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ENXIO')
      cannot(name, `there is no ${DEVICE}`, 'a kernel with the tun module (modprobe tun)', cause);
    const why = `${DEVICE} cannot be opened: ${code}`;
    if (code === 'EMFILE')
      cannot(name, why, 'a larger limit of open files (ulimit -n), or fewer queues', cause);
    return cannot(name, why, 'root, or rights to read and write it', cause);
  }
}

/** TUNSETIFF: joins a descriptor to an interface, making it when it is not there. @returns the errno's name, if refused */
export function join(
  native: Native,
  fd: number,
  kind: TapKind,
  name: string,
  many: boolean,
): string | undefined {
  const request = new InterfaceRequest(name);
  request.short =
    (kind === 'tap' ? TunFlag.TAP : TunFlag.TUN) | TunFlag.NO_PI | (many ? TunFlag.MULTI_QUEUE : 0);
  const rc = native.ioctl(fd, TUNSETIFF, request.bytes);
  return rc < 0 ? errno(rc) : undefined;
}

/** Whether this thread's namespace has an interface of that name. */
export const exists = (native: Native, name: string): boolean => getMtu(native, name) >= 0;

function refused(kind: TapKind, name: string, code: string): never {
  switch (code) {
    case 'EPERM':
      return cannot(name, 'making or joining it is not permitted', 'CAP_NET_ADMIN, or to own the interface');
    case 'EBUSY':
      return cannot(
        name,
        'another process holds it',
        'an interface without a holder, or one made multi_queue',
      );
    case 'EINVAL':
      return cannot(
        name,
        `it is no ${kind} interface that can be joined`,
        `a name that is free, or one of ip tuntap add mode ${kind}`,
      );
    default:
      return cannot(name, `the kernel refuses it: ${code}`, `a name that is free, or a ${kind} interface`);
  }
}

export interface OpenOptions {
  name: string;
  queues: number;
  /** Given to an interface that is made. Default: the kernel's, 1500. */
  mtu?: number;
}

/**
 * Opens an interface by name, with `queues` descriptors; one only when it exists without multi_queue.
 * An interface that is made here is brought up.
 * @throws EtherloomError ERR_NIC_UNAVAILABLE
 */
export function openByName(kind: TapKind, options: OpenOptions, native: Native): OpenInterface {
  const { name, queues, mtu } = options;
  const made = !exists(native, name);
  const fds: number[] = [];
  try {
    fds.push(openDevice(name));
    let many = queues > 1;
    let code = join(native, fds[0], kind, name, many);
    // An interface that exists is multi_queue or is not: the other way is refused with EINVAL.
    if (code === 'EINVAL' && !made) {
      many = !many;
      code = join(native, fds[0], kind, name, many);
    }
    if (code) refused(kind, name, code);
    while (many && fds.length < queues) {
      fds.push(openDevice(name));
      const more = join(native, fds[fds.length - 1], kind, name, true);
      if (more) refused(kind, name, more);
    }
    const rc = mtu === undefined ? 0 : setMtu(native, name, mtu);
    if (rc < 0) cannot(name, `it takes no MTU of ${mtu}: ${errno(rc)}`, 'an MTU that the kernel allows');
    if (made) bringUp(native, name);
    const found = getMtu(native, name);
    if (found < 0) cannot(name, `its MTU cannot be read: ${errno(found)}`, 'an interface that stays');
    return { fds, name, mtu: found, made };
  } catch (error) {
    for (const fd of fds) closeSync(fd);
    throw error;
  }
}

const readText = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
};

/**
 * Takes descriptors that are joined to an interface already.
 * @throws EtherloomError ERR_NIC_FD for one that is none, is of the other kind, waits, or puts headers before frames
 */
export function openInherited(
  kind: TapKind,
  fds: readonly number[],
  native: Native | undefined,
): OpenInterface {
  const known = fds.map(fd => describe(kind, fd, native));
  const names = new Set(known.map(k => k.name));
  if (names.size > 1)
    throw new EtherloomError('ERR_NIC_FD', `descriptors of ${[...names].join(' and ')}`, {
      expected: 'queues of one interface',
    });
  return { fds: [...fds], made: false, ...known[0] };
}

function describe(kind: TapKind, fd: number, native: Native | undefined): { name?: string; mtu?: number } {
  const wrong = (what: string, expected: string): never => {
    throw new EtherloomError('ERR_NIC_FD', `descriptor ${fd} ${what}`, { expected });
  };
  const info = readText(`/proc/self/fdinfo/${fd}`);
  if (info === undefined) wrong('is not open', `a descriptor of ${DEVICE}`);
  const status = Number.parseInt(/^flags:\s*(\d+)/m.exec(info!)?.[1] ?? '0', 8);
  let name = /^iff:\s*(\S+)/m.exec(info!)?.[1];
  let flags: number | undefined;
  let mtu: number | undefined;
  if (native) {
    const request = new InterfaceRequest();
    const rc = native.ioctl(fd, TUNGETIFF, request.bytes);
    if (rc < 0)
      wrong(`belongs to no ${kind} interface (${errno(rc)})`, `a descriptor that TUNSETIFF was called on`);
    name = request.name;
    flags = request.short;
    const found = getMtu(native, name);
    if (found > 0) mtu = found;
    if (!(status & constants.O_NONBLOCK)) setNonBlocking(native, fd);
  } else {
    if (!name) wrong(`belongs to no ${kind} interface`, 'a descriptor that TUNSETIFF was called on');
    const text = readText(`/sys/class/net/${name}/tun_flags`);
    if (text !== undefined) flags = Number(text);
    const found = Number(readText(`/sys/class/net/${name}/mtu`));
    if (found > 0) mtu = found;
    if (!(status & constants.O_NONBLOCK))
      wrong('waits when nothing is there to read', 'one opened with O_NONBLOCK, or the native addon');
  }
  if (flags !== undefined) {
    if (!(flags & (kind === 'tap' ? TunFlag.TAP : TunFlag.TUN)))
      wrong(`belongs to ${name}, which is no ${kind} interface`, kind === 'tap' ? 'tun:fd=…' : 'tap:fd=…');
    if (!(flags & TunFlag.NO_PI) || flags & TunFlag.VNET_HDR)
      wrong(`of ${name} puts a header before each frame`, 'IFF_NO_PI and not IFF_VNET_HDR');
  }
  return { name, ...(mtu === undefined ? {} : { mtu }) };
}
