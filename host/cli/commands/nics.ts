/** etherloom nics: which NICs can be used here, which not and why, and the interfaces of this namespace. */

import { readdirSync, readFileSync } from 'node:fs';
import { kernelAvailable } from '../../bpf/kernel/available.js';
import { nicAvailable } from '../../nic/available.js';
import type { NicKind } from '../../nic/nic.js';
import { EXIT, print, table, toJson } from '../output.js';

interface Backend {
  backend: string;
  available: boolean;
  /** Why not. */
  reason?: string;
  /** With what limits. */
  note?: string;
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

const USES: [backend: NicKind, use: string][] = [
  ['model', 'model'],
  ['pcap', 'pcap:FILE'],
  ['af_xdp', 'af_xdp:IFACE'],
  ['tap', 'tap:NAME, tap:fd=N'],
  ['tun', 'tun:NAME, tun:fd=N'],
];

function backends(): Backend[] {
  const row = (
    backend: string,
    use: string,
    found: { ok: boolean; reason?: string; note?: string },
  ): Backend => {
    const { ok, reason, note } = found;
    return { backend, available: ok, ...(ok ? {} : { reason }), ...(note ? { note } : {}), use };
  };
  return [
    ...USES.map(([kind, use]) => row(kind, use, nicAvailable(kind))),
    row('kernel', '--engine kernel', kernelAvailable()),
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
      found.backends.map(b => [
        b.backend,
        b.available ? `yes${b.note ? `, ${b.note}` : ''}` : `no: ${b.reason}`,
        b.use,
      ]),
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
