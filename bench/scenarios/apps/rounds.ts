/** Rounds of all contenders in turn, and what comes of them: medians. */
import { fileURLToPath } from 'node:url';
import { runAsync } from '../../../tests/support/netns.js';
import type { Contender, Figures, Running } from './contenders.js';
import type { Load, Order } from './plan.js';

export interface Rounds extends Order {
  /** Everything made anew so many times. */
  lives: number;
  rounds: number;
}

/** Samples by contender. */
export class Seen {
  /** What a line of memory cost between the CPUs before each life, ns. */
  readonly lineNs: number[] = [];
  readonly #samples = new Map<Contender, Figures[]>();

  note(contender: Contender, figures: Figures): void {
    if (!this.#samples.has(contender)) this.#samples.set(contender, []);
    this.#samples.get(contender)!.push(figures);
  }

  get contenders(): Contender[] {
    return [...this.#samples.keys()];
  }

  median(contender: Contender, figure: keyof Figures): number {
    const sorted = this.#samples
      .get(contender)!
      .map(f => f[figure])
      .sort((a, b) => a - b);
    return sorted[(sorted.length - 1) >> 1];
  }
}

const LINE = fileURLToPath(new URL('line.mjs', import.meta.url));

async function lineNs(): Promise<number> {
  const { out, err } = await runAsync(process.execPath, [LINE]);
  if (!(Number(out) > 0)) throw new Error(`line.mjs: ${out}${err}`);
  return Number(out);
}

/** Every round begins with another contender: a machine that grows slower does so to all. */
export async function takeRounds(
  contenders: readonly Contender[],
  load: Load,
  { lives, rounds, warmMs, ms }: Rounds,
): Promise<Seen> {
  const seen = new Seen();
  for (let life = 0; life < lives; life++) {
    seen.lineNs.push(await lineNs());
    const running: Running[] = [];
    try {
      // All are given their time to begin, also those that fail, so that nothing of them stays.
      const begun = await Promise.allSettled(contenders.map(contender => contender.start(load)));
      for (const one of begun) if (one.status === 'fulfilled') running.push(one.value);
      const failed = begun.find(one => one.status === 'rejected');
      if (failed) throw failed.reason;
      for (let round = 0; round < rounds; round++)
        for (const i of contenders.keys()) {
          const k = (i + round) % contenders.length;
          seen.note(contenders[k], await running[k].turn({ warmMs, ms }));
        }
    } finally {
      await Promise.all(running.map(r => r.stop()));
    }
  }
  return seen;
}
