/**
 * The second half of the main job: what the first one wrote, fetched by HTTP through firewall, load balancer and router
 * (apps/balanced/), and what happened at every stage. With `--nic` only that, for clients at an interface: for curl.
 */
import { basename, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BACKEND_PORT, BACKENDS, CLIENT, DENIED, SERVICE } from '../../apps/balanced/edge.js';
import { BalancedWeb, type Segments, type WebReport } from '../../apps/balanced/web.js';
import { EtherloomError } from '../../errors.js';
import { nicAvailable } from '../../nic/available.js';
import { ending, until } from '../live.js';
import { nicReport, nicWarnings, nicWords, Warnings } from '../nic_report.js';
import { parseNicSpec } from '../nic_spec.js';
import { makeNic } from '../nics.js';
import { EXIT, print, table, toJson } from '../output.js';

const MAIN = fileURLToPath(new URL('../main.js', import.meta.url));
/** Long enough for who pastes slowly, s. */
const SERVED_S = 12;

const segments = (s: Segments): string =>
  `${s.out} segments out, ${s.in} in${s.again ? `, ${s.again} sent again` : ''}`;

const each = (statuses: Record<string, number>): string =>
  Object.entries(statuses)
    .map(([status, n]) => `${n} × ${status}`)
    .join(', ') || 'no answer';

function sum(all: readonly Record<string, number>[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (const [key, n] of all.flatMap(one => Object.entries(one))) out[key] = (out[key] ?? 0) + n;
  return out;
}

/** What happened at every stage, as a table; what is wrong below it. */
export function tellWeb({ client, edge, servers, faults }: WebReport): void {
  const { firewall, balancer, router } = edge;
  const rows: string[][] = [];
  if (client)
    rows.push(['client', `${client.address} to ${SERVICE.address}:${SERVICE.port}: ${segments(client)}`]);
  const denied = client ? `, which got ${client.denied.answer ?? 'no answer'}` : '';
  rows.push(['firewall', `passed ${firewall.passed}, dropped ${firewall.denied} of ${DENIED}${denied}`]);
  const chosen = balancer.backends.map(b => `${b.connections} to ${b.address}`).join(', ');
  rows.push([
    'l4lb',
    `${balancer.opened} connections: ${chosen}\n${balancer.toBackend} packets to them, ${balancer.toClient} back`,
  ]);
  rows.push(['router', `forwarded ${router.forwarded}, without a route ${router.noRoute}`]);
  rows.push(['servers', `port ${BACKEND_PORT}: ${segments(servers)}`]);
  let http = each(sum(servers.backends.map(b => b.statuses)));
  if (client) {
    const megabytes = client.fetched.reduce((n, f) => n + f.bytes, 0) / 1e6;
    const whole = client.fetched.filter(f => f.sha256 === f.expected).length;
    http +=
      `; ${megabytes.toFixed(1)} MB in ${(client.ms / 1000).toFixed(2)} s, ` +
      `${whole} of ${client.fetched.length} bodies with the SHA-256 of the file`;
  }
  rows.push(['HTTP', http]);
  print(table([{ head: 'stage' }, { head: 'what happened' }], rows));
  for (const fault of faults) print(`wrong: ${fault}`);
}

/** Fetches files of a folder through all stages, within this process. */
export async function fetchWeb(folder: string, files: readonly string[]): Promise<WebReport> {
  const web = await BalancedWeb.open(folder);
  try {
    await web.fetch(files.map(file => basename(file)));
  } catch (error) {
    await web.close();
    throw error;
  }
  return web.close();
}

/** Lines for root's shell that show the same to curl over AF_XDP; or why there are none. */
export function curlLines(folder: string, file: string): { lines: string[] } | { reason: string } {
  const available = nicAvailable('af_xdp');
  if (!available.ok) return { reason: available.reason };
  const at = (path: string): string => {
    const name = relative('.', path) || '.';
    return /^[\w@%+=:,./-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`;
  };
  const url = `http://${SERVICE.address}/${encodeURIComponent(basename(file))}`;
  return {
    lines: [
      'ip netns add el-curl && ip link add el-web type veth peer name el-curl netns el-curl',
      `ip link set el-web up && ip -n el-curl address add ${CLIENT}/24 dev el-curl && ip -n el-curl link set el-curl up`,
      // There is no hardware that would complete checksums.
      'ip netns exec el-curl ethtool -K el-curl tx off',
      `node ${at(MAIN)} demo --out ${at(folder)} --nic af_xdp:el-web,own=yes --duration ${SERVED_S} &`,
      `ip netns exec el-curl curl -s --connect-timeout 1 --retry 15 --retry-delay 1 ${url} | sha256sum - ${at(file)}`,
      'wait; ip netns delete el-curl',
    ],
  };
}

/** The same, said. */
export function tellCurl(folder: string, file: string): void {
  const curl = curlLines(folder, file);
  if ('reason' in curl) print(`\nWith curl, over AF_XDP: not here: ${curl.reason}. As root this says how.`);
  else {
    const lines = curl.lines.map(line => `  ${line}`).join('\n');
    print(`\nThe same with curl, over AF_XDP; the two sums must be one:\n\n${lines}`);
  }
}

export interface DemoNicOptions {
  nic: string;
  out: string;
  duration?: number;
  json?: boolean;
}

/** Serves what was written before to clients at a NIC. @throws EtherloomError ERR_USAGE_NIC, ERR_FILES_FOLDER, ERR_NIC_* */
export async function serveWeb(options: DemoNicOptions): Promise<number> {
  const end = ending();
  try {
    const spec = parseNicSpec(options.nic);
    if (!['af_xdp', 'tap'].includes(spec.kind) || (spec.kind === 'af_xdp' && !spec.own))
      throw new EtherloomError('ERR_USAGE_NIC', `--nic ${spec.text}: the edge answers ARP there itself`, {
        expected: 'af_xdp:IFACE,own=yes or tap:NAME; without --nic the client is in this process',
      });
    const nic = makeNic(spec);
    const web = await BalancedWeb.open(options.out, nic);
    const warnings = new Warnings(() => nicWarnings([nic]), options.json ?? false);
    const report = nicReport(nic);
    const { address, port } = SERVICE;
    if (options.json)
      print(toJson({ event: 'started', address, port, ...(report ? { nic: report } : {}) }, 0));
    else
      print(
        `${relative('.', options.out) || '.'} at ${address}:${port}, behind firewall, l4lb and router, on ${BACKENDS.length} servers; ` +
          `${report ? nicWords(report) : nic.name}; for ${CLIENT}/24; Ctrl-C ends it`,
      );
    await until(
      { interval: 1, ...(options.duration === undefined ? {} : { duration: options.duration }) },
      () => warnings.tell(),
      end.asked,
    );
    const told = await web.close();
    if (options.json) print(toJson({ event: 'stopped', ...told, warnings: warnings.all }, 0));
    else tellWeb(told);
    return told.faults.length ? EXIT.FAILED : EXIT.DONE;
  } finally {
    end.release();
  }
}
