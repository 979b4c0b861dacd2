/**
 * npm run bench:swap [-- --upgrades N] [--bytes N] [--swaps N] [--calls N] [--lanes N] [--object FILE.bpf.o] [--json FILE]
 *
 * Upgrades of TCP's programs under transfers of 100 MB, and the same transfers without: how long lanes stand still, that
 * each byte arrives, and that nothing is sent again for it. Then RPCs whose carrier is TCP and Homa in turn.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Engine, Stack } from '../../../host/index.js';
import { modelLink } from '../../../host/nic/index.js';
import { HOMA_OBJECT } from '../../../host/transports/homa/control.js';
import { TCP_OBJECT } from '../../../host/transports/tcp/control.js';
import type { Row } from '../../harness/bench.js';
import { conditions, printTable, writeJson } from '../../harness/print.js';
import { callStacks, callUnderSwaps } from './calls.js';
import { type Moved, Transfers } from './transfers.js';

const USAGE = `npm run bench:swap -- [OPTIONS]

  --upgrades N      of TCP's programs; default 1000
  --bytes N         of one transfer; default 100,000,000
  --swaps N         of the carrier of RPCs, TCP and Homa in turn; default 1000
  --calls N         in flight then; default 64
  --lanes N         default 2
  --object FILE     every second upgrade is to this object; default: TCP's own, verified and compiled apart
  --json FILE       default bench/results/swap.json`;

const { values } = parseArgs({
  options: {
    upgrades: { type: 'string', default: '1000' },
    bytes: { type: 'string', default: '100000000' },
    swaps: { type: 'string', default: '1000' },
    calls: { type: 'string', default: '64' },
    lanes: { type: 'string', default: '2' },
    object: { type: 'string' },
    json: { type: 'string', default: fileURLToPath(new URL('../../results/swap.json', import.meta.url)) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
const whole = (name: 'upgrades' | 'bytes' | 'swaps' | 'calls' | 'lanes'): number => {
  const n = Number(values[name]);
  if (Number.isInteger(n) && n >= 1) return n;
  console.error(`--${name} ${values[name]}: not a whole number from 1 on\n\n${USAGE}`);
  process.exit(2);
};
const upgrades = whole('upgrades');
const bytes = whole('bytes');
const swaps = whole('swaps');
const inFlight = whole('calls');
const lanes = whole('lanes');

/** A transport's own with another licence, and so another object: it is verified and compiled for itself. */
function another(object: string): Uint8Array {
  const bytes = readFileSync(object);
  const at = bytes.indexOf('Dual MIT/GPL');
  bytes.write('Dual BSD/GPL', at);
  return bytes;
}

const percentile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * p) / 100) - 1)] ?? 0;

const at = conditions();
const started = new Date().toISOString();
const { a, b } = modelLink({ name: 'wire', packets: 16384, delayNs: 0 });
const engine = await Engine.create({
  ...{ nics: [a, b], lanes, frames: 32768 },
  streams: { count: 64, bytes: 128 << 20, apps: 8 },
});
const on = (name: string, port: string, address: string): Promise<Stack> =>
  Stack.create({ engine, name, ports: { [port]: { addresses: [{ address, dad: false }] } } });
const client = await on('a', 'wire.a', '10.0.0.1/24');
const server = await on('b', 'wire.b', '10.0.0.2/24');
await engine.start();
const transfers = new Transfers(engine, client, server, bytes);

// First without: whatever is sent again then is the machine's.
const least = 2;
let turns = 0;
await transfers.run(() => turns++ === 1);

const pausesUs: number[] = [];
const ranUs: number[] = [];
const tookMs: number[] = [];
let upgraded = 0;
let failure: unknown;
const objects = [TCP_OBJECT, values.object ?? another(TCP_OBJECT)];
const upgrading = (async () => {
  for (; upgraded < upgrades; upgraded++) {
    const name = upgraded & 1 ? 'b/tcp' : 'a/tcp';
    const report = await engine.transports.upgrade(name, objects[((upgraded >> 1) & 1) ^ 1]);
    for (const ns of report.pausesNs) pausesUs.push(ns / 1000);
    for (const ns of report.ranNs) ranUs.push(ns / 1000);
    tookMs.push(report.tookMs);
  }
})().catch(error => {
  failure = error;
});
const under = await transfers.run(() => upgraded >= upgrades || failure !== undefined);
await upgrading;
if (failure) throw failure;
// As many transfers as then.
let again = 0;
const alone = await transfers.run(() => again++ >= Math.max(least, under.transfers));
const { crashes } = engine;
await client.close();
await server.close();
await engine.stop();

pausesUs.sort((x, y) => x - y);
ranUs.sort((x, y) => x - y);
tookMs.sort((x, y) => x - y);
const rate = (m: Moved): number => m.bytes / m.ms / 1000;
const count = (m: Moved, name: string): number => m.counted[name] ?? 0;
/** Times that something was taken for lost. Probes of the tail are sent when a lane had to wait for a CPU, too. */
const LOSSES = ['TCPFastRetrans', 'TCPSackRecovery', 'TCPTimeouts', 'TCPLostRetransmit', 'TCPOFOQueue'];
const losses = (m: Moved): number => LOSSES.reduce((sum, name) => sum + count(m, name), 0);
const group = `swap: ${upgrades} upgrades of TCP under ${under.transfers} transfers of ${bytes / 1e6} MB`;
const where = `${lanes} worker lanes, both hosts in one engine, applications in the main thread`;
const row = (name: string, value: number, unit: Row['unit'], more: Partial<Row> = {}): Row => ({
  ...{ group, name, value, unit, conditions: where },
  ...more,
});
const p99 = percentile(pausesUs, 99);
const ran99 = percentile(ranUs, 99);
const rows: Row[] = [
  row('pause of a lane, p50', percentile(pausesUs, 50), 'µs'),
  row('pause of a lane, p99', p99, 'µs', { target: '≤ 200', met: p99 <= 200 }),
  row('pause of a lane, max', pausesUs.at(-1) ?? 0, 'µs'),
  row('… without its waits for a CPU, p50', percentile(ranUs, 50), 'µs'),
  row('… without its waits for a CPU, p99', ran99, 'µs', { target: '≤ 200', met: ran99 <= 200 }),
  row('… without its waits for a CPU, max', ranUs.at(-1) ?? 0, 'µs'),
  row('an upgrade, p50', percentile(tookMs, 50), 'ms'),
  row('an upgrade, max', tookMs.at(-1) ?? 0, 'ms'),
  row('transfers with another sha256', under.wrong, 'count', { target: '0', met: under.wrong === 0 }),
  row('segments that were sent and did not come', lost(under), 'count', {
    target: '0',
    met: lost(under) === 0,
  }),
  row('times that something was taken for lost', losses(under), 'count', {
    ...{ target: '0', met: losses(under) === 0 },
  }),
  ...['TCPLossProbes', 'RetransSegs'].map(name =>
    row(`${name}: sent for want of a CPU`, count(under, name), 'count', {
      remark: `${count(alone, name)} in ${alone.transfers} transfers without upgrades`,
    }),
  ),
  row('lanes that died', crashes.length, 'count', { target: '0', met: crashes.length === 0 }),
  row('rate', rate(under), 'MB/s', { remark: `${rate(alone).toFixed(0)} without upgrades` }),
];
rows.push(...(await rpcRows()));
console.log(at);
console.log(printTable(rows));
writeJson(values.json, rows, started, at);
process.exitCode = rows.some(r => r.met === false) ? 1 : 0;

/** RPCs on an engine of their own. */
async function rpcRows(): Promise<Row[]> {
  const ends = modelLink({ name: 'wire', packets: 16384, delayNs: 0 });
  const engine = await Engine.create({
    ...{ nics: [ends.a, ends.b], lanes, frames: 16384, mapBytes: 128 << 20 },
    streams: { count: 4096, bytes: 192 << 20, apps: 12 },
  });
  const stacks = await callStacks(engine);
  const [tcps, homas] = [TCP_OBJECT, HOMA_OBJECT].map(object => [another(object), object]);
  // Each of the four has another object, then its own again.
  const under = [0, 1].flatMap(turn =>
    ['a/tcp', 'b/homa', 'b/tcp', 'a/homa'].map(name => ({
      name,
      object: (name.endsWith('tcp') ? tcps : homas)[turn],
    })),
  );
  const done = await callUnderSwaps(engine, stacks, swaps, inFlight, under);
  await stacks.client.close();
  await stacks.server.close();
  await engine.stop();
  const group = `swap: ${done.swaps} swaps TCP ↔ Homa under ${inFlight} calls in flight, ${done.upgrades} upgrades of the two meanwhile`;
  const rpc = (name: string, value: number, unit: Row['unit'], more: Partial<Row> = {}): Row => ({
    ...row(name, value, unit, more),
    group,
  });
  return [
    rpc('calls', done.calls, 'count', { remark: `${done.byHoma} by Homa` }),
    rpc('calls lost', done.lost, 'count', { target: '0', met: done.lost === 0 }),
    rpc('calls doubled', done.doubled, 'count', { target: '0', met: done.doubled === 0 }),
    rpc('rate', done.calls / done.ms, 'k/s'),
  ];
}

function lost(m: Moved): number {
  return count(m, 'OutSegs') - count(m, 'InSegs');
}
