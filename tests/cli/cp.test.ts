/** etherloom cp over both transports on the shared-memory link, its files, and etherloom slowdown of them. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { leastUs, readTimes, slowdownsOf, timesText } from '../../host/apps/cp/times.js';
import { MAIN, ROOT } from '../support/attached.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: cp, slowdown');
const LIMIT = { timeoutMs: 90_000 };

function etherloom(line: string, input?: string) {
  const r = spawnSync(process.execPath, [MAIN, ...line.split(' ')], {
    ...{ cwd: ROOT, encoding: 'utf8', timeout: 60_000 },
    ...(input === undefined ? {} : { input }),
  });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

for (const protocol of ['tcp', 'homa'])
  test(
    `cp over ${protocol} prints cp_node's lines, and dump_times what slowdown reads`,
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'cp-'));
      const [file, svg] = [join(folder, 'times.txt'), join(folder, 'times.svg')];
      try {
        const { code, out, err } = etherloom(
          `cp --protocol ${protocol} --workload w2 --gbps 0.02 --duration 1 --interval 0.5 --dump-times ${file}`,
        );
        assert.is(code, 0, `${out}${err}`);
        assert.match(
          out,
          /Servers: [\d.]+ Kops\/sec, [\d.]+ Gbps in, [\d.]+ Gbps out, avg\. req\. length [\d.]+ bytes/,
        );
        assert.match(out, /Clients: .* RTT \(us\) P50 [\d.]+ P99 [\d.]+ P99\.9 [\d.]+/);
        assert.match(out, /Lag: [\d.]+%, backed-up sends: \d+, outstanding client RPCs: \d+/);
        const times = readTimes(readFileSync(file, 'utf8'), file);
        assert.ok(times.lengths.length > 10);
        const s = etherloom(`slowdown ${file} --mbps 25000 --svg ${svg} --json`);
        assert.is(s.code, 0, s.err);
        const counted = (JSON.parse(s.out) as { files: { results: { count: number; p50: number }[] }[] })
          .files[0];
        assert.is(
          counted.results.reduce((n, r) => n + r.count, 0),
          times.lengths.length,
        );
        assert.match(readFileSync(svg, 'utf8'), /^<svg .*<polyline /);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    LIMIT,
  );

test(
  'cp --unloaded measures every length so often; commands come from standard input',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'cp-'));
    const file = join(folder, 'times.txt');
    try {
      const { code, out, err } = etherloom(
        `cp --protocol tcp --workload 100 --unloaded 20 --dump-times ${file}`,
      );
      assert.is(code, 0, `${out}${err}`);
      assert.equal(readTimes(readFileSync(file, 'utf8'), file).lengths, new Array(20).fill(100));
      const c = etherloom('cp --protocol tcp --workload 100 --commands', 'tt\nlog a word\nwhat\nexit\n');
      assert.is(c.code, 0, `${c.out}${c.err}`);
      assert.match(c.out, /tt: .*\na word\nwhat: expected client, server, stop/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  LIMIT,
);

test(
  'by commands: a client begins, is stopped, and another one begins; each leaves its times',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cp-'));
    const [one, two] = [join(folder, 'one.txt'), join(folder, 'two.txt')];
    const child = spawn(
      process.execPath,
      [MAIN, 'cp', '--protocol', 'tcp', '--commands', '--interval', '0.2'],
      { cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit'] },
    );
    try {
      let out = '';
      child.stdout.on('data', text => {
        out += text;
      });
      const said = async (what: RegExp): Promise<void> => {
        for (const end = Date.now() + 60_000; !what.test(out); )
          if (Date.now() > end) throw new Error(`${what} is not in ${out}`);
          else await sleep(50);
        out = '';
      };
      const say = (line: string): boolean => child.stdin.write(`${line}\n`);
      await said(/cp by commands over tcp/);
      say('client --workload w0');
      await said(/workload w0/);
      say('client --one-way');
      await said(/one-way/);
      say('client --workload 200 --client-max 4');
      await said(/Clients: [1-9].*avg\. req\. length 200\.0/);
      say('client');
      await said(/another one calls/);
      say('stop');
      await said(/outstanding client RPCs: 0/);
      say(`dump_times ${one}`);
      await said(/times in/);
      say('client --workload 300 --unloaded 20');
      await said(/avg\. req\. length 300\.0/);
      say(`dump_times ${two}`);
      await said(/times in/);
      const ended = once(child, 'exit');
      say('exit');
      assert.is((await ended)[0], 0);
      const lengths = (file: string): number[] => readTimes(readFileSync(file, 'utf8'), file).lengths;
      assert.ok(lengths(one).length > 0 && lengths(one).every(n => n === 200));
      assert.equal(lengths(two), new Array(20).fill(300));
    } finally {
      child.kill();
      rmSync(folder, { recursive: true });
    }
  },
  LIMIT,
);

test('what is wrong is said: a workload, a server on model, a file of other lines', () => {
  const bad = etherloom('cp --workload w9');
  assert.is(bad.code, 1);
  assert.match(bad.err, /workload w9/);
  assert.is(etherloom('cp --server-nodes 10.0.0.2').code, 2);
  assert.is(etherloom('cp both').code, 2);
  const folder = mkdtempSync(join(tmpdir(), 'cp-'));
  const file = join(folder, 'other.txt');
  writeFileSync(file, '12 1.5\nno times\n');
  const s = etherloom(`slowdown ${file}`);
  rmSync(folder, { recursive: true });
  assert.is(s.code, 1);
  assert.match(s.err, /line 2: no times/);
});

test('slowdown is time by the least of the shortest and the bits on the line (cperf.py)', () => {
  const times = readTimes(timesText({ lengths: [100, 100, 1000], us: [10, 30, 22] }, 'a test'), 'text');
  assert.is(leastUs(times), 10);
  const bins = [
    { from: 0, to: 100, share: 0.66 },
    { from: 100, to: 1000, share: 1 },
  ];
  const [a, b] = slowdownsOf(times, bins, { rttUs: 10, mbps: 1000 });
  assert.equal([a.count, a.p50, a.p99, b.p50], [2, 10 / 10.8, 30 / 10.8, 22 / 18]);
});
