/** What a kernel counts of its TCP (/proc/net/snmp and netstat of a namespace), and what of that must not rise. */
import type { Namespace } from '../../support/netns.js';

/** Answers to segments that no sane peer sends: a few of them are chance, many are a storm. */
export const CHALLENGES = [
  'TCPChallengeACK',
  'TCPSYNChallenge',
  'PAWSEstab',
  'TCPACKSkippedSeq',
  'TCPACKSkippedPAWS',
  'TCPACKSkippedChallenge',
] as const;

/** Segments that were no segments, or told what cannot be. */
export const FAULTS = [
  'InCsumErrors',
  'InErrs',
  'TCPSACKDiscard',
  'TCPSACKReneging',
  'TCPMD5Failure',
  'TSEcrRejected',
] as const;

export class KernelCounts {
  private constructor(readonly counts: ReadonlyMap<string, number>) {}

  static async of(ns: Namespace): Promise<KernelCounts> {
    const { out } = await ns.run('cat', '/proc/net/snmp', '/proc/net/netstat');
    const lines = out.split('\n').filter(l => /^(Tcp|TcpExt|Ip|IpExt): /.test(l));
    const counts = new Map<string, number>();
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [group, ...names] = lines[i].split(/\s+/);
      const values = lines[i + 1].split(/\s+/).slice(1).map(Number);
      for (const [j, name] of names.entries())
        counts.set(group.startsWith('Ip') ? `${group.slice(0, -1)}.${name}` : name, values[j]);
    }
    return new KernelCounts(counts);
  }

  /** How much more it is than `before`; a name that this kernel does not have has not risen. */
  rise(before: KernelCounts, name: string): number {
    return (this.counts.get(name) ?? 0) - (before.counts.get(name) ?? 0);
  }

  /** All that has risen, for reports. */
  risen(before: KernelCounts): Record<string, number> {
    const out: Record<string, number> = {};
    for (const name of this.counts.keys()) if (this.rise(before, name)) out[name] = this.rise(before, name);
    return out;
  }
}
