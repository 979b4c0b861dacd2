/** etherloom nics: which NICs can be used here, which not and why, and the interfaces of this namespace. */

import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { kernelAvailable } from '../../bpf/kernel/available.js';
import { native } from '../../native/load.js';
import { tapAvailable } from '../../nic/tap/index.js';
import { EXIT, print, table, toJson } from '../output.js';

interface Backend {
  backend: string;
  available: boolean;
  /** Why not. */
  reason?: string;
  /** How it is named on the command line. */
  use: string;
}

interface Interface {
  name: string;
  state: string;
  mtu: number;
  mac: string;
  queues: number;
}

const AF_XDP = 44;
const SOCK_RAW = 3;

/** Opens a socket to see; what needs an interface shows when one is opened. */
function whyNoAfXdp(): string | undefined {
  const addon = native();
  if (!addon.ok) return addon.reason;
  const fd = addon.native.socket(AF_XDP, SOCK_RAW, 0);
  if (fd < 0) {
    if (fd === -constants.errno.EAFNOSUPPORT) return 'this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)';
    return fd === -constants.errno.EPERM ? 'AF_XDP sockets need CAP_NET_RAW' : `AF_XDP: errno ${-fd}`;
  }
  addon.native.close(fd);
  const kernel = kernelAvailable();
  return kernel.ok ? undefined : kernel.reason;
}

function backends(): Backend[] {
  const row = (backend: string, use: string, reason: string | undefined): Backend => ({
    backend,
    available: reason === undefined,
    ...(reason === undefined ? {} : { reason }),
    use,
  });
  const tap = tapAvailable();
  const kernel = kernelAvailable();
  const virtual = tap.ok
    ? undefined
    : `${tap.reason}${tap.inherited ? '; descriptors that are open already can be used' : ''}`;
  return [
    row('model', 'model', undefined),
    row('pcap', 'pcap:FILE', undefined),
    row('af_xdp', 'af_xdp:IFACE', whyNoAfXdp()),
    row('tap', 'tap:NAME, tap:fd=N', virtual),
    row('tun', 'tun:NAME, tun:fd=N', virtual),
    row('kernel', '--engine kernel', kernel.ok ? undefined : kernel.reason),
  ];
}

/** What /sys shows: the interfaces of this process's namespace, where it is mounted for that. */
function interfaces(): Interface[] {
  const folder = '/sys/class/net';
  const read = (name: string, what: string): string => {
    try {
      return readFileSync(`${folder}/${name}/${what}`, 'utf8').trim();
    } catch {
      return '';
    }
  };
  let names: string[];
  try {
    names = readdirSync(folder).sort();
  } catch {
    return [];
  }
  return names
    .filter(name => read(name, 'mtu') !== '')
    .map(name => ({
      name,
      state: read(name, 'operstate'),
      mtu: Number(read(name, 'mtu')),
      mac: read(name, 'address'),
      queues: readdirSync(`${folder}/${name}/queues`).filter(q => q.startsWith('rx-')).length,
    }));
}

export function nics(options: { json?: boolean }): number {
  const found = { backends: backends(), interfaces: interfaces() };
  if (options.json) {
    print(toJson(found));
    return EXIT.DONE;
  }
  print(
    table(
      [{ head: 'NIC' }, { head: 'available' }, { head: '--nic' }],
      found.backends.map(b => [b.backend, b.available ? 'yes' : `no: ${b.reason}`, b.use]),
    ),
  );
  print(
    table(
      [
        { head: 'interface' },
        { head: 'state' },
        { head: 'MTU', right: true },
        { head: 'queues', right: true },
        { head: 'address' },
      ],
      found.interfaces.map(i => [i.name, i.state, i.mtu, i.queues, i.mac]),
    ),
  );
  return EXIT.DONE;
}
