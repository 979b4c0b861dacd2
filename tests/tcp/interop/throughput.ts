/**
 * tsx tests/tcp/interop/throughput.ts [--seconds N]: one connection as fast as it goes, ours against the kernel's over
 * AF_XDP and TUN, and the kernel's with itself over the same veth, by iperf3. Medians of three, in turn.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { Body } from './body.js';
import { Session } from './session.js';
import { Wire, type WireSettings } from './wire.js';

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '3' }, runs: { type: 'string', default: '3' } },
});
const seconds = Number(values.seconds);
const runs = Number(values.runs);
const body = new Body(1);
const median = (list: number[]): number => list.sort((a, b) => a - b)[list.length >> 1];
const busyMs = (): number => process.cpuUsage().user / 1000 + process.cpuUsage().system / 1000;

interface Line {
  gbit: number[];
  /** CPU of our process, ms a second. */
  cpu: number[];
  resent: number;
}

/** The kernel with itself: near end and far end of the same veth. */
async function kernels(settings: WireSettings, line: Line): Promise<void> {
  const wire = await Wire.create(settings);
  try {
    await wire.plain();
    const server = wire.far.run('iperf3', '-s', '-1', '-p', '5001');
    await wire.near!.run('sleep', '0.3');
    const { out } = await wire.near!.run('iperf3', '-c', wire.peer(), '-p', '5001', '-t', `${seconds}`, '-J');
    await server;
    const { end } = JSON.parse(out);
    line.gbit.push(end.sum_received.bits_per_second / 1e9);
    line.resent += end.sum_sent.retransmits ?? 0;
  } finally {
    wire.close();
  }
}

/** @param forth the kernel sends */
async function ours(settings: WireSettings, forth: boolean, line: Line): Promise<void> {
  const session = await Session.open(settings, body);
  try {
    const t = { peer: 'iperf3', role: 'client', forth: Number(forth), back: Number(!forth) } as const;
    const before = busyMs();
    const r = await session.transfer({ ...t, seconds });
    if (r.faults.length) throw new Error(r.faults.join());
    line.cpu.push((busyMs() - before) / (r.ms / 1000));
    line.gbit.push(r.mbitPerS / 1000);
    line.resent += r.ours + r.kernels;
  } finally {
    await session.close();
  }
}

const cases: [string, (line: Line) => Promise<void>][] = [];
for (const offload of [false, true]) {
  const what = `offloads ${offload ? 'on' : 'off'}`;
  cases.push([`kernel to kernel, veth, ${what}`, line => kernels({ nic: 'af_xdp', offload }, line)]);
  for (const nic of ['af_xdp', 'tun'] as const) {
    const name = nic === 'af_xdp' ? 'AF_XDP' : 'TUN';
    cases.push([`we to kernel, ${name}, ${what}`, line => ours({ nic, offload }, false, line)]);
    cases.push([`kernel to us, ${name}, ${what}`, line => ours({ nic, offload }, true, line)]);
  }
}
const lines = cases.map((): Line => ({ gbit: [], cpu: [], resent: 0 }));
for (let i = 0; i < runs; i++)
  for (const [j, [name, go]] of cases.entries())
    await go(lines[j]).catch(error => console.error(`${name}: ${error.message}`));
const head = ['one connection, MTU 1500', 'Gbit/s', 'of all runs', 'our CPU ms/s', 'segments resent'];
const table = new Table({ head, style: { head: [], border: [] } });
for (const [j, [name]] of cases.entries()) {
  const { gbit, cpu, resent } = lines[j];
  const all = gbit.map(g => g.toFixed(2)).join(' ');
  table.push([
    name,
    gbit.length ? median(gbit).toFixed(2) : '–',
    all,
    cpu.length ? median(cpu).toFixed(0) : '',
    resent,
  ]);
}
console.log(`${cpus()[0].model}, ${cpus().length} CPUs, Node ${process.version}, ${seconds} s a run`);
console.log(table.toString());
body.close();
process.exit();
