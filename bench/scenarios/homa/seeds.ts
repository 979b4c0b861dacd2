/**
 * npm run bench:seeds -- W … [--rate GBITS …] [--seeds N …] [--transport NAME …] [--messages N] [--defaults] [--set OPTION=N …]
 * The loads of `bench -- homa` with other seeds and settings, a line of a table each, as README.md has them. `--defaults`: Homa's
 * own (host/transports/homa) where homa.ts says others; `--set unscheduled=20000`: one of its options.
 */
import { parseArgs } from 'node:util';
import type { HomaOptions } from '../../../host/transports/homa/index.js';
import { dctcp } from './dctcp.js';
import { homa } from './homa.js';
import { LOAD, lengths, MESSAGES, type Name, said, shortest, WORKLOADS } from './plan.js';
import { simulate, type Transport } from './simulation.js';

const several = { type: 'string', multiple: true } as const;
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rate: { ...several, default: ['10'] },
    seeds: { ...several, default: ['1', '2', '3'] },
    transport: { ...several, default: ['homa'] },
    messages: { type: 'string' },
    defaults: { type: 'boolean', default: false },
    set: { ...several, default: [] },
  },
});
const settings: HomaOptions = {
  ...(values.defaults && { unscheduled: undefined, window: undefined, nicQueueNs: undefined }),
  ...Object.fromEntries(values.set.map(s => s.split('=')).map(([name, n]) => [name, Number(n)])),
};
const MAKE: Record<string, () => Transport> = {
  homa: () => homa({ homa: settings }),
  dctcp: () => dctcp(),
};
const names = (positionals.length ? positionals : WORKLOADS) as readonly Name[];
const wrong = [...names.filter(n => !WORKLOADS.includes(n)), ...values.transport.filter(t => !(t in MAKE))];
if (wrong.length) {
  console.error(`${wrong.join(', ')}: expected ${[...WORKLOADS, ...Object.keys(MAKE)].join(', ')}`);
  process.exit(2);
}
console.log(
  '| load, messages | Gbit/s | seed | transport | half p50 | half p99 | tenth p99 | all p99 | goodput | no answer |',
);
console.log('| --- | --: | --: | --- | --: | --: | --: | --: | --: | --: |');
for (const name of names)
  for (const rate of values.rate)
    for (const transport of values.transport)
      for (const seed of values.seeds) {
        const of = lengths(name);
        const o = await simulate({
          ...{ transport: MAKE[transport](), rate: Number(rate) * 1e9, shape: { hostsPerRack: 8 } },
          ...{ workload: of, load: LOAD, seed: Number(seed) },
          messages: values.messages === undefined ? MESSAGES[name] : Number(values.messages),
        });
        const [tenth, half, all] = [0.1, 0.5, 1].map(share => shortest(o, of, share));
        const cells = [half.p50, half.p99, tenth.p99, all.p99, o.goodput / o.offered].map(n => n.toFixed(2));
        console.log(
          `| ${[name.toUpperCase()]}, ${o.begun} | ${rate} | ${seed} | ${transport} | ${cells.join(' | ')} | ${o.begun - o.completed} |`,
        );
        console.error(`  ${said(o)}`);
      }
process.exit(0);
