/**
 * AF_XDP on veth: a reflector and an L2 forwarder in the engine, beside a native C program of the same make and the same
 * eBPF program in the kernel itself. Peers take turns, round by round, in several lives; the best round of each counts.
 */
import { availableParallelism } from 'node:os';
import { kernelAvailable } from '../host/bpf/kernel/available.js';
import { missingNamespaces } from '../tests/support/netns.js';
import type { Bench } from './harness/bench.js';
import { missingCompiler } from './native/build.js';
import { removeLeftovers } from './scenarios/hops/topology.js';
import { NicPeer, type PeerName, type Setting, SPIN } from './scenarios/nic/peers.js';
import type { Rtt } from './scenarios/nic/wire.js';

const PEERS: readonly PeerName[] = ['etherloom', 'native', 'kernel'];
const SIZES = [64, 1500];
const WORK = { reflect: 'reflector', forward: 'L2 forwarder' };
const TITLE: Record<PeerName, string> = {
  etherloom: 'etherloom',
  native: 'native C, AF_XDP',
  kernel: 'kernel, in its driver',
};
/** Of native C. */
const LIMITS = { throughput: 0.95, rtt: 1.1 };

interface Seen {
  /** Best round, Mpps. */
  mpps: number;
  /** Best round, and median of the rounds, µs. */
  p50Us: number;
  p99Us: number[];
  lost: number;
  wrong: number;
}

const nothing = (): Seen => ({ mpps: 0, p50Us: Number.POSITIVE_INFINITY, p99Us: [], lost: 0, wrong: 0 });

function missing(): string | undefined {
  const kernel = kernelAvailable();
  return missingNamespaces ?? missingCompiler ?? (kernel.ok ? undefined : kernel.reason);
}

/** A process is as fast as the memory it was given: every peer has several lives, and the best round of all counts. */
async function block(bench: Bench, setting: Setting): Promise<void> {
  const { lives, rounds, ms, trips } = bench.quick
    ? { lives: 1, rounds: 1, ms: 200, trips: 2000 }
    : { lives: 3, rounds: 3, ms: 400, trips: 15_000 };
  const seen = SIZES.map(bytes => ({ bytes, by: new Map(PEERS.map(name => [name, nothing()])) }));
  for (let life = 0; life < lives; life++) {
    const peers: NicPeer[] = [];
    try {
      for (const name of PEERS) peers.push(await NicPeer.start(name, setting));
      for (const { bytes, by } of seen)
        for (let round = 0; round < rounds; round++)
          for (const i of peers.keys()) {
            // Every round begins with another peer.
            const peer = peers[(i + life + round) % peers.length];
            const s = by.get(peer.name)!;
            note(s, await peer.turn(wire => wire.rtt(bytes, trips)));
            s.mpps = Math.max(s.mpps, await peer.turn(wire => wire.rate(bytes, ms)));
          }
    } finally {
      for (const peer of peers) await peer.stop();
    }
  }
  for (const { bytes, by } of seen) rows(bench, setting, bytes, by, `${lives} lives of ${rounds} rounds`);
}

/** In the kernel a packet comes back on the queue of whatever CPU carried it: with two of them, not where it is awaited. */
const hasTrips = (name: PeerName, s: Setting): boolean => name !== 'kernel' || s.queues === 1;

function note(s: Seen, rtt: Rtt): void {
  s.lost += rtt.lost;
  s.wrong += rtt.wrong;
  if (rtt.p50Us === 0) return;
  s.p50Us = Math.min(s.p50Us, rtt.p50Us);
  s.p99Us.push(rtt.p99Us);
}

const median = (values: number[]): number =>
  values.sort((a, b) => a - b)[(values.length - 1) >> 1] ?? Number.NaN;

function rows(bench: Bench, s: Setting, bytes: number, seen: Map<PeerName, Seen>, how: string): void {
  const lanes = s.queues === 1 ? '1 lane' : `${s.queues} queues on ${s.queues} lanes`;
  const conditions = `${bytes} B, ${lanes}, ${s.spinUs === SPIN ? 'spinning' : 'sleeping'}, ${how}`;
  const group = `${WORK[s.work]}, AF_XDP on veth`;
  const ours = seen.get('etherloom')!;
  for (const name of ['native', 'kernel'] as const) {
    const theirs = seen.get(name)!;
    const row = (
      what: string,
      unit: 'Mpps' | 'µs',
      value: number,
      other: number,
      judge?: (ratio: number) => { target: string; met: boolean },
    ): void => {
      const met = name === 'native' && judge ? judge(value / other) : {};
      bench.row({
        group,
        name: what,
        conditions,
        unit,
        value,
        peer: { name: TITLE[name], value: other },
        ...met,
      });
    };
    row('throughput', 'Mpps', ours.mpps, theirs.mpps, ratio => ({
      target: `≥ ${LIMITS.throughput}`,
      met: ratio >= LIMITS.throughput,
    }));
    if (!hasTrips(name, s)) continue;
    row('round trip, p50', 'µs', ours.p50Us, theirs.p50Us, ratio => ({
      target: `≤ ${LIMITS.rtt}`,
      met: ratio <= LIMITS.rtt,
    }));
    row('round trip, p99', 'µs', median(ours.p99Us), median(theirs.p99Us));
  }
  const bad = ours.lost + ours.wrong;
  bench.row({
    group,
    name: 'round trips lost or wrong',
    conditions,
    unit: 'count',
    value: bad,
    target: '0',
    met: bad === 0,
  });
}

export default async function nic(bench: Bench): Promise<void> {
  const reason = missing();
  if (reason) {
    console.error(`  nic: left out: ${reason}`);
    return;
  }
  removeLeftovers();
  for (const work of ['reflect', 'forward'] as const)
    for (const queues of [1, 2])
      for (const spinUs of [SPIN, 0]) {
        if (queues > availableParallelism()) console.error(`  nic: ${queues} lanes on fewer CPUs`);
        await block(bench, { work, queues, spinUs });
      }
}
