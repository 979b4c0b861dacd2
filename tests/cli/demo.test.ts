/** The main job, `npm start`: programs over real traffic, then HTTP through some of them; and what it says about curl. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { WebReport } from '../../host/apps/balanced/web.js';
import { nicAvailable } from '../../host/nic/available.js';
import { readCapture } from '../../host/nic/pcap/index.js';
import { MAIN, ROOT } from '../support/attached.js';
import { missingNamespaces, Namespace } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: demo');
const MINUTE = 60_000;

const folder = mkdtempSync(join(tmpdir(), 'etherloom-demo-'));
process.once('exit', () => rmSync(folder, { recursive: true }));

interface Told {
  measured: string;
  runs: {
    program: string;
    packets: number;
    written: number;
    out: string;
    verdicts: Record<string, number>;
    speed: { mpps: number };
  }[];
  web: WebReport;
  curl: { lines: string[] } | { reason: string };
}

let ran: Told | undefined;
/** One run for all claims. */
function told(): Told {
  if (ran) return ran;
  const line = [MAIN, 'demo', '--out', folder, '--packets', '50000', '--json'];
  const { status, stdout, stderr } = spawnSync(process.execPath, line, { cwd: ROOT, encoding: 'utf8' });
  assert.is(status, 0, stderr + stdout);
  ran = JSON.parse(stdout) as Told;
  return ran;
}

test(
  'replays the capture through every program',
  () => {
    const { runs, measured } = told();
    assert.match(measured, /model link/);
    assert.ok(runs.length >= 7);
    for (const run of runs) {
      assert.ok(run.packets > 1000 && run.speed.mpps > 0, run.program);
      assert.is([...readCapture(run.out)].length, run.written, run.program);
    }
    const seen = new Set(runs.flatMap(x => Object.keys(x.verdicts)));
    for (const verdict of ['pass', 'drop', 'tx', 'redirect'])
      assert.ok(seen.has(verdict), `no program said ${verdict}`);
  },
  { timeoutMs: 4 * MINUTE },
);

test(
  'fetches every pcap whole by HTTP through firewall, balancer and router, which agree to the packet',
  () => {
    const { runs, web } = told();
    const { client, edge, faults } = web;
    assert.equal(faults, []);
    const names = runs.map(run => basename(run.out));
    assert.equal(client!.fetched.map(f => f.name).sort(), names.sort());
    for (const { name, status, sha256 } of client!.fetched) {
      const file = createHash('sha256').update(readFileSync(join(folder, name)));
      assert.equal([name, status, sha256], [name, 200, file.digest('hex')]);
    }
    const { firewall, balancer } = edge;
    assert.ok(firewall.passed > 10 * names.length && firewall.denied > 0);
    const chosen = balancer.backends.map(b => b.connections);
    assert.is(
      chosen.reduce((n, c) => n + c),
      names.length,
    );
    // 17 connections on one of four: once in 10^10 runs.
    assert.ok(Math.max(...chosen) < names.length, `${chosen}`);
  },
  { timeoutMs: 4 * MINUTE },
);

const available = nicAvailable('af_xdp');
const tools = ['curl', 'ethtool'].find(name => spawnSync(name, ['--version']).error);
test(
  'its lines for curl over AF_XDP work as they stand, and the body is the file',
  async () => {
    const { curl } = told();
    if (!('lines' in curl)) throw new Error(curl.reason);
    // Where it happens is the test's; names of namespaces are everybody's.
    const place = new Namespace('demo');
    const own = curl.lines
      .join('\n')
      .replaceAll(/(netns (?:add |exec |delete )?|ip -n )el-curl/g, `$1${place.name}-curl`);
    try {
      const { code, out, err } = await place.run('sh', '-c', `cd '${ROOT}'\n${own}`);
      assert.is(code, 0, err + out);
      const sums = [...out.matchAll(/^([0-9a-f]{64}) {2}/gm)].map(match => match[1]);
      assert.is(sums.length, 2, err + out);
      assert.is(sums[0], sums[1], err + out);
      assert.match(out, /l4lb .* connections?: .*10\.20\.0\.4/);
      assert.match(out, /HTTP .* 1 × 200/);
    } finally {
      spawnSync('ip', ['netns', 'delete', `${place.name}-curl`]);
      place.close();
    }
  },
  {
    timeoutMs: 2 * MINUTE,
    missing:
      missingNamespaces ??
      (available.ok ? undefined : available.reason) ??
      (tools && `${tools} is not installed`),
  },
);

test('--nic takes an interface whose ARP the edge may answer', () => {
  for (const nic of ['af_xdp:lo', 'tun:tun9', 'model']) {
    const line = [MAIN, 'demo', '--out', folder, '--nic', nic];
    const { status, stderr } = spawnSync(process.execPath, line, { cwd: ROOT, encoding: 'utf8' });
    assert.is(status, 2, stderr);
    assert.match(stderr, /ERR_USAGE_NIC.*own=yes/);
  }
});
