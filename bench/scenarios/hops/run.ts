/**
 * npm run bench:hops [-- --quick] [--peers NAME,…] [--hops 2,…,5] [--sizes BYTES,…] [--clients 1,16] [--reps N]
 *                    [--out FOLDER] [--no-siege] [--no-awake]
 *
 * The multi-hop experiment: HTTP bodies of 78 B × 2^i through chains of forwarders, every peer beside the others in one
 * run, in namespaces that are removed at the end, also after Ctrl-C. Needs root, iproute2 and a C compiler; siege and
 * socat where they are installed.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { missingNamespaces } from '../../../tests/support/netns.js';
import { conditions } from '../../harness/print.js';
import { missingCompiler } from '../../native/build.js';
import { keepAwake } from './awake.js';
import { type Chain, stopChild } from './chain.js';
import { missingSiege, Siege } from './clients.js';
import { figures } from './figures.js';
import { measure, type Plan } from './measure.js';
import { PEERS } from './peers.js';
import { csv, figureTable, plots, tables } from './report.js';
import { Cells, type Sample, summarise } from './samples.js';
import { removeLeftovers, Topology } from './topology.js';

const SIZES = Array.from({ length: 14 }, (_, i) => 78 * 2 ** (i + 2));
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const USAGE = `npm run bench:hops -- [OPTIONS]      as root, with iproute2 and a C compiler; siege and socat where they are installed

  --quick            four sizes, 2 and 5 hops, two repetitions: shows that it works, in minutes
  --peers A,B        of ${Object.keys(PEERS).join(', ')}
  --hops 2,…,5       a chain of N ports is N − 1 forwarders
  --sizes BYTES,…    bodies; default 78 × 2^i, i = 2 … 15
  --clients 1,16     at a time
  --reps N           default 5, half as many with more than one client
  --out FOLDER       table, CSV and plots; default bench/results/hops-DATE, with --quick build/bench/hops
  --no-siege         without siege
  --no-awake         let CPUs halt`;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    peers: { type: 'string' },
    hops: { type: 'string' },
    sizes: { type: 'string' },
    clients: { type: 'string', default: '1,16' },
    reps: { type: 'string' },
    out: { type: 'string' },
    siege: { type: 'boolean', default: true },
    awake: { type: 'boolean', default: true },
    help: { type: 'boolean', short: 'h', default: false },
  },
  allowNegative: true,
});

if (values.help) {
  console.log(USAGE);
  process.exit(0);
}

const wrong = (message: string): never => {
  console.error(message);
  process.exit(2);
};

function numbers(text: string | undefined, otherwise: readonly number[], least: number): number[] {
  const list = text?.split(',').map(Number) ?? [...otherwise];
  for (const n of list)
    if (!Number.isInteger(n) || n < least) wrong(`not a whole number ≥ ${least}: ${text}`);
  return list;
}

const missing = missingNamespaces ?? missingCompiler;
if (missing) wrong(`bench:hops cannot run here: ${missing}`);

const [repetitions] = numbers(values.reps, [values.quick ? 2 : 5], 1);
const plan: Plan = {
  hops: numbers(values.hops, values.quick ? [2, 5] : [2, 3, 4, 5], 2),
  bytes: numbers(values.sizes, values.quick ? [312, 4992, 159744, 638976] : SIZES, 1),
  clients: numbers(values.clients, [], 1).map(clients => ({
    clients,
    repetitions: clients === 1 ? repetitions : Math.ceil(repetitions / 2),
  })),
};

const asked = values.peers?.split(',') ?? Object.keys(PEERS);
for (const name of asked)
  if (!PEERS[name]) wrong(`no peer named ${name}; there are: ${Object.keys(PEERS).join(', ')}`);

// Exit runs what removes namespaces and ends children, wherever the run stands.
// More than once: npm and tsx pass on what the terminal has sent to all, and by then namespaces are being removed.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

const started = new Date();
console.log(conditions());
removeLeftovers();
const topology = new Topology();
const chains: Chain[] = [];
for (const name of asked) {
  const peer = PEERS[name];
  const reason = peer.missing();
  if (reason) console.log(`${name} is left out: ${reason}`);
  else chains.push(peer.make(topology));
}
const noSiege = values.siege ? missingSiege() : '--no-siege';
if (noSiege) console.log(`siege is left out: ${noSiege}`);
const siege = noSiege ? undefined : new Siege();
process.once('exit', () => siege?.close());
const awake = values.awake ? await keepAwake() : undefined;
console.log(
  awake
    ? 'CPUs are kept from halting by idle-class threads'
    : 'CPUs may halt when idle: a wake-up of a virtual one takes tens of µs',
);

const samples: Sample[] = [];
const total =
  plan.hops.length *
  plan.bytes.length *
  chains.length *
  (siege ? 2 : 1) *
  plan.clients.reduce((n, c) => n + c.repetitions, 0);
try {
  await measure(topology, chains, siege, plan, s => {
    samples.push(s);
    const { outcome: o } = s;
    const bad = o.ok < o.requests ? `, ${JSON.stringify(o.errors)}` : '';
    process.stderr.write(
      `  ${samples.length}/${total} ${s.peer}, ${s.hops} hops, ${s.bytes} B, ${s.clients} × ${s.client}: ` +
        `${o.msPer100.toFixed(1)} ms per 100${bad}\n`,
    );
  });
} finally {
  if (awake) await stopChild(awake);
  topology.close();
}

const cells = new Cells(summarise(samples));
const judged = figures(cells);
const text = [
  `${started.toISOString()}: ${conditions()}`,
  awake ? 'CPUs kept from halting' : 'CPUs may halt',
  ...chains.filter(c => c.conditions).map(c => `${c.name}: ${c.conditions}`),
  '',
  tables(cells),
  '',
  figureTable(judged),
  '',
].join('\n');
console.log(text);
// A short run does not replace results of a whole one.
const day = started.toISOString().slice(0, 10);
const out = values.out ?? join(ROOT, values.quick ? 'build/bench/hops' : `bench/results/hops-${day}`);
mkdirSync(out, { recursive: true });
writeFileSync(join(out, 'hops.csv'), csv(samples));
writeFileSync(join(out, 'hops.txt'), text);
for (const file of await plots(out, cells)) console.log(file);
console.log(`${join(out, 'hops.csv')}\n${join(out, 'hops.txt')}`);
const missed = judged.filter(f => f.met === false);
if (missed.length)
  console.log(`${missed.length} figures miss their target: ${missed.map(f => f.name).join('; ')}`);
process.exit(0);
