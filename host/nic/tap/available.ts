/** Whether this process can open TUN/TAP interfaces by name, and in words why not. */
import { closeSync, constants, openSync, readFileSync } from 'node:fs';
import { native } from '../../native/load.js';

const CAP_NET_ADMIN = 12;

/** Without a right that is needed the kernel says so only when an interface is made: read what this process has. */
function mayAdminister(): boolean {
  try {
    const effective = /^CapEff:\s*([0-9a-f]+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    return ((BigInt(`0x${effective}`) >> BigInt(CAP_NET_ADMIN)) & 1n) === 1n;
  } catch {
    return false;
  }
}

/** `inherited`: descriptors that are open already can be used all the same. */
export type TapAvailable = { ok: true } | { ok: false; reason: string; inherited: boolean };

export function tapAvailable(): TapAvailable {
  const addon = native();
  if (!addon.ok) return { ok: false, reason: addon.reason, inherited: process.platform === 'linux' };
  try {
    closeSync(openSync('/dev/net/tun', constants.O_RDWR | constants.O_NONBLOCK));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const missing = code === 'ENOENT' || code === 'ENODEV';
    const reason = missing ? 'there is no /dev/net/tun (modprobe tun)' : `/dev/net/tun: ${code}`;
    return { ok: false, reason, inherited: true };
  }
  if (!mayAdminister())
    return { ok: false, reason: 'making interfaces needs CAP_NET_ADMIN', inherited: true };
  return { ok: true };
}
