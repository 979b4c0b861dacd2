/**
 * npm run bench:racks [-- W …] [--rate GBITS] [--messages N]: 40 hosts in 2 racks, in virtual time; W4 where none is named.
 * Takes minutes, and up to 3 GB of memory.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { conditions } from '../../harness/print.js';
import { writeSlowdownChart } from '../../harness/slowdown_chart.js';
import { dctcp } from './dctcp.js';
import { homa } from './homa.js';
import { byLength, LOAD, lengths, type Name, said, shortest, WORKLOADS } from './plan.js';
import { simulate, type Transport } from './simulation.js';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rate: { type: 'string', default: '10' },
    messages: { type: 'string', default: '20000' },
    transport: { type: 'string', multiple: true },
  },
});
const MAKE: Record<string, () => Transport> = {
  // Two slots for each of 39 peers, and as many that they call; maps of all hosts are to fit into 2 GiB.
  homa: () => homa({ streams: 192, rings: 2 ** 31 }),
  dctcp: () => dctcp({ ports: 1, ring: 64 << 10 }),
};
const names = (positionals.length ? positionals : ['w4']) as Name[];
const transports = values.transport ?? Object.keys(MAKE);
const wrong = [...names.filter(n => !WORKLOADS.includes(n)), ...transports.filter(t => !(t in MAKE))];
if (wrong.length) {
  console.error(`${wrong.join(', ')}: expected ${[...WORKLOADS, ...Object.keys(MAKE)].join(', ')}`);
  process.exit(2);
}
const rate = Number(values.rate) * 1e9;
console.log(conditions());
for (const name of names) {
  const of = lengths(name);
  const curves: Parameters<typeof writeSlowdownChart>[2][number][] = [];
  for (const transport of transports) {
    const o = await simulate({
      ...{ transport: MAKE[transport](), rate, shape: { racks: 2, hostsPerRack: 20 }, workload: of },
      ...{ load: LOAD, seed: 1, messages: Number(values.messages) },
    });
    curves.push({ name: o.transport, results: byLength(o, of).results() });
    console.log(
      `\n${name}, 2 racks of 20 hosts, ${values.rate} Gbit/s, load ${LOAD}, ${o.transport}: ${said(o)}`,
    );
    console.log(
      `  completed ${o.completed} of ${o.begun}, goodput ${(o.goodput / o.offered).toFixed(3)} of offered`,
    );
    for (const share of [0.1, 0.5, 1]) {
      const { count, p50, p99, p999 } = shortest(o, of, share);
      const at = [p50, p99, p999].map(n => n.toFixed(2)).join(' ');
      console.log(`  shortest ${share * 100} %: ${count} messages, slowdown p50 p99 p99.9 ${at}`);
    }
  }
  const day = new Date().toISOString().slice(0, 10);
  const path = fileURLToPath(
    new URL(`../../results/${day}-homa-racks-${name}-${values.rate}g.svg`, import.meta.url),
  );
  await writeSlowdownChart(
    path,
    `${name.toUpperCase()} at ${LOAD * 100} %, 2 racks of 20, ${values.rate} Gbit/s`,
    curves,
  );
  console.log(`  ${path}`);
}
process.exit(0);
