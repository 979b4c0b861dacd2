/** What the kernels of the namespaces counted during a cell: resets, wrong checksums, retransmissions. */
import { spawnSync } from 'node:child_process';
import type { Namespace } from '../../../tests/support/netns.js';

/** Sums over all namespaces of a chain, client and server included. */
export interface Counters {
  /** Connections ended by a reset: RSTs sent and connections reset. */
  resets: number;
  /** Segments and datagrams with a wrong checksum. */
  csumErrors: number;
  /** SYNs sent again: each costs a second. */
  synRetrans: number;
  /** All segments sent again. */
  retrans: number;
  /** Challenge ACKs, and SYNs that met an old connection: the report's first fault. */
  challenges: number;
}

const SOURCES: Record<keyof Counters, string[]> = {
  resets: ['Tcp.OutRsts', 'Tcp.EstabResets'],
  csumErrors: ['Tcp.InCsumErrors', 'Udp.InCsumErrors', 'Icmp.InCsumErrors'],
  synRetrans: ['TcpExt.TCPSynRetrans'],
  retrans: ['Tcp.RetransSegs'],
  challenges: ['TcpExt.TCPChallengeACK', 'TcpExt.TCPSYNChallenge'],
};

/** Parses /proc/net/snmp and /proc/net/netstat: pairs of lines, names and values. */
export function parseProc(text: string): Map<string, number> {
  const out = new Map<string, number>();
  const lines = text.trim().split('\n');
  for (let i = 0; i + 1 < lines.length; i += 2) {
    const [group, ...names] = lines[i].split(/\s+/);
    const [again, ...values] = lines[i + 1].split(/\s+/);
    if (group !== again) throw new Error(`/proc/net: "${group}" is followed by "${again}"`);
    for (const [at, name] of names.entries())
      out.set(`${group.replace(':', '.')}${name}`, Number(values[at]));
  }
  return out;
}

/** Takes from the text of snmp and netstat what a cell is judged by, and adds it to `sum`. */
export function addCounters(sum: Counters, text: string): void {
  const values = parseProc(text);
  for (const key of Object.keys(sum) as (keyof Counters)[])
    for (const source of SOURCES[key]) sum[key] += values.get(source) ?? 0;
}

/** Reads the counters now. */
export function readCounters(namespaces: readonly Namespace[]): Counters {
  const sum: Counters = { resets: 0, csumErrors: 0, synRetrans: 0, retrans: 0, challenges: 0 };
  for (const { name } of namespaces) {
    const args = ['netns', 'exec', name, 'cat', '/proc/net/snmp', '/proc/net/netstat'];
    const ran = spawnSync('ip', args, { encoding: 'utf8' });
    if (ran.status !== 0) throw new Error(`counters of ${name}: ${ran.stderr || ran.error?.message}`);
    addCounters(sum, ran.stdout);
  }
  return sum;
}

export function difference(after: Counters, before: Counters): Counters {
  const out = { ...after };
  for (const key of Object.keys(out) as (keyof Counters)[]) out[key] -= before[key];
  return out;
}
