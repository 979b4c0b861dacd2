/** What the rounds of a part found, as rows of the bench: every contender of ours beside each peer that rests as it does. */
import type { Bench } from '../../harness/bench.js';
import type { Contender, Figure } from './contenders.js';
import type { Part } from './parts.js';
import type { Rounds, Seen } from './rounds.js';

interface Shown {
  name: string;
  unit: 'µs' | 'k/s';
  scale: number;
  /** Less is better. */
  least: boolean;
  /** The figure is judged, not its ratio. */
  itself?: true;
}

const SHOWN: Record<Figure, Shown> = {
  p50Us: { name: 'round trip, p50', unit: 'µs', scale: 1, least: true },
  p99Us: { name: 'round trip, p99', unit: 'µs', scale: 1, least: true },
  rate: { name: 'messages', unit: 'k/s', scale: 1e-3, least: false },
  cpuUs: { name: 'CPU time a message and side', unit: 'µs', scale: 1, least: true, itself: true },
};

/** Who does not sleep is compared with whoever is kept from it. */
const isFair = (our: Contender, peer: Contender): boolean =>
  (our.rest === 'sleeps') === (peer.rest === 'sleeps');

const percent = (part: number): string => `${(part * 100).toFixed(1)} %`;

export function report(bench: Bench, { group, load, wishes }: Part, plan: Rounds, seen: Seen): void {
  const { flows, outstanding } = load;
  const how = [
    `${flows} connection${flows > 1 ? 's' : ''}, ${outstanding} in flight on each`,
    `median of ${plan.lives} × ${plan.rounds} rounds of ${plan.ms} ms`,
    `a line between the CPUs and back ${seen.lineNs.join(', ')} ns`,
  ].join(', ');
  for (const { figure, limit, of = '', beside = '' } of wishes) {
    const { name, unit, scale, least, itself } = SHOWN[figure];
    for (const our of seen.contenders.filter(c => c.ours && c.name.includes(of))) {
      const value = seen.median(our, figure) * scale;
      const peers = seen.contenders
        .filter(c => !c.ours && isFair(our, c) && c.name.includes(beside))
        .map(c => ({ name: c.name, value: seen.median(c, figure) * scale }))
        .sort((a, b) => (least ? a.value - b.value : b.value - a.value));
      for (const [i, peer] of peers.entries()) {
        const had = itself ? value : value / peer.value;
        const target = `${least ? '≤' : '≥'} ${Number(limit.toFixed(2))}${itself ? ` ${unit}` : ''}`;
        bench.row({
          ...{ group: `apps: ${group}: ${name}`, name: our.name, unit, value, peer },
          conditions: how,
          remark: `waited for a CPU ${percent(seen.median(our, 'awaited'))} of the time`,
          // The best of them is the one to be judged by.
          ...(i === 0 ? { target, met: least ? had <= limit : had >= limit } : {}),
        });
      }
    }
  }
}
