/**
 * Which kinds of NIC this process can open, and in words why not the others: for `etherloom nics`, for tests that skip,
 * and for programs that choose. Asks the kernel, changes nothing.
 */
import { accessSync, constants } from 'node:fs';
import { errnoName } from '../bpf/kernel/attr.js';
import { kernelAvailable } from '../bpf/kernel/available.js';
import { type Native, type NativeLoad, native } from '../native/load.js';
import { socketRefusal } from './af_xdp/errors.js';
import type { NicKind } from './nic.js';
import { mayConfigure } from './tap/request.js';

export type NicAvailability = { ok: true; note?: string } | { ok: false; reason: string };

const AF_XDP = 44;
const SOCK_RAW = 3;
const TUN = '/dev/net/tun';

/** Whether a kind of NIC can be opened here. `addon` is for tests of life without it. */
export function nicAvailable(kind: NicKind, addon: NativeLoad = native()): NicAvailability {
  switch (kind) {
    case 'af_xdp':
      return addon.ok ? xdpAvailable(addon.native) : addon;
    case 'tap':
    case 'tun':
      return tunAvailable(kind, addon);
    default:
      return { ok: true };
  }
}

function xdpAvailable(calls: Native): NicAvailability {
  const bpf = kernelAvailable();
  if (!bpf.ok) return bpf;
  const fd = calls.socket(AF_XDP, SOCK_RAW, 0);
  if (fd < 0) return { ok: false, reason: socketRefusal(errnoName(-fd)) };
  calls.close(fd);
  return { ok: true };
}

function tunAvailable(kind: 'tap' | 'tun', addon: NativeLoad): NicAvailability {
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return {
      ok: false,
      reason: code === 'ENOENT' ? `there is no ${TUN}` : `${TUN} cannot be opened: ${code}`,
    };
  }
  if (!addon.ok) return { ok: true, note: `by inherited descriptors only (${kind}:fd=N): ${addon.reason}` };
  if (mayConfigure(addon.native)) return { ok: true };
  return {
    ok: true,
    note: 'interfaces that exist and are this user’s only (ip tuntap add … user): to make one needs CAP_NET_ADMIN',
  };
}
