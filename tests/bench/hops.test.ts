/** bench:hops: what it reads, how it judges, and a short run of it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { missingCompiler } from '../../bench/native/build.js';
import { missingEthtool, missingSocat, portOf } from '../../bench/scenarios/hops/chain.js';
import { missingSiege, readClient, readSiege } from '../../bench/scenarios/hops/clients.js';
import { addCounters, parseProc } from '../../bench/scenarios/hops/counters.js';
import { figures, slope } from '../../bench/scenarios/hops/figures.js';
import { csv, tables } from '../../bench/scenarios/hops/report.js';
import { Cells, type Sample, summarise } from '../../bench/scenarios/hops/samples.js';
import { kernelAvailable } from '../../host/bpf/kernel/available.js';
import { missingNamespaces } from '../support/netns.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bench: hops');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RUN = join(ROOT, 'bench/scenarios/hops/run.ts');
const NONE = { resets: 0, csumErrors: 0, synRetrans: 0, retrans: 0, challenges: 0 };

/** A sample of 100 requests that took so many ms. */
const sample = (
  peer: string,
  hops: number,
  bytes: number,
  ms: number,
  more: Partial<Sample> = {},
): Sample => ({
  peer,
  hops,
  bytes,
  clients: 1,
  client: 'client',
  repetition: 0,
  outcome: {
    requests: 100,
    ok: 100,
    errors: {},
    msPer100: ms,
    p50Us: 10 * ms,
    p90Us: 11 * ms,
    maxUs: 20 * ms,
  },
  counters: NONE,
  ...more,
});

const judge = (...samples: Sample[]): Record<string, { found: string; met?: boolean }> =>
  Object.fromEntries(figures(new Cells(summarise(samples))).map(f => [f.name, f]));

test('kernel counters are read by name, whatever their order', () => {
  const text = 'Tcp: OutRsts InCsumErrors EstabResets\nTcp: 3 2 1\nTcpExt: A TCPSynRetrans\nTcpExt: 9 4\n';
  assert.is(parseProc(text).get('TcpExt.TCPSynRetrans'), 4);
  const sum = { ...NONE, resets: 10 };
  addCounters(sum, text);
  assert.equal(sum, { resets: 14, csumErrors: 2, synRetrans: 4, retrans: 0, challenges: 0 });
  assert.throws(() => parseProc('Tcp: A\nUdp: 1\n'), /is followed by/);
});

test('siege: transactions that it does not speak of have failed', () => {
  const text =
    'banner\n{ "successful_transactions": 97, "failed_transactions": 1, "elapsed_time": 0.06, "longest_transaction": 0.01 }\n';
  const o = readSiege(text, 100);
  assert.is(o.ok, 97);
  assert.equal(o.errors, { failed: 3 });
  assert.is(o.msPer100, 60);
});

test('the exact client: errors by kind, time without the comparing for one client', () => {
  const text =
    '{"requests":200,"ok":198,"reset":2,"body":0,"elapsedUs":50000,"meanUs":120,"p50Us":100,"p90Us":150,"p99Us":300,"maxUs":400}';
  assert.equal(readClient(text, 1).errors, { reset: 2 });
  assert.is(readClient(text, 1).msPer100, 12);
  assert.is(readClient(text, 16).msPer100, 25);
});

test('ports count down from the server as in the report', () => {
  assert.equal(
    [0, 1, 2].map(j => portOf(j, 3)),
    [7997, 7998, 7999],
  );
});

test('the least repetition counts for time, the median for percentiles, the sum for counters', () => {
  const counters = { ...NONE, resets: 1 };
  const [cell] = summarise(
    [3, 1, 2].map((ms, repetition) => sample('socat', 2, 312, ms, { repetition, counters })),
  );
  assert.is(cell.msPer100, 1);
  assert.is(cell.p50Us, 20);
  assert.is(cell.counters.resets, 3);
  assert.is(cell.requests, 300);
});

test('the slope of a line is found, and that of one point is not', () => {
  assert.is(
    slope([
      [2, 10],
      [4, 16],
      [6, 22],
    ]),
    3,
  );
  assert.is(slope([[2, 10]]), undefined);
});

test('figures: one cell over its limit is enough to miss, and is named', () => {
  const f = judge(
    sample('socat', 2, 312, 10),
    sample('socat', 3, 312, 20),
    sample('etherloom', 2, 312, 4),
    sample('etherloom', 3, 312, 9),
  );
  const small = f['1 client: time / socat, bodies ≤ 160 kB'];
  assert.is(small.met, false);
  assert.match(small.found, '0.45 at 3 hops, 312 B; 1 of 2 cells over');
  assert.is(f["1 client: a further hop / socat's"].met, false);
  assert.is(f['1 client: time / socat, bodies > 160 kB'].met, undefined);
});

test('figures: limits are met where every cell keeps them', () => {
  const f = judge(
    ...[2, 3].flatMap(h => [
      sample('socat', h, 319_488, 10 * h),
      sample('etherloom', h, 319_488, 12 + 0.5 * h),
      sample('kernel', h, 319_488, 9),
    ]),
  );
  assert.is(f['1 client: time / socat, bodies > 160 kB'].met, true);
  assert.is(f["1 client: a further hop / socat's"].met, true);
  assert.is(f['1 client: time / kernel-native chain, one forwarder'].met, true);
  assert.is(f['etherloom: resets'].met, true);
});

test("figures: a lost transfer or a reset of ours misses; socat's are shown only", () => {
  const outcome = { requests: 100, ok: 99, errors: { reset: 1 }, msPer100: 1, maxUs: 1 };
  const counters = { ...NONE, resets: 2 };
  const f = judge(
    sample('etherloom', 2, 312, 1, { outcome, counters }),
    sample('socat', 2, 312, 9, { outcome, counters }),
  );
  assert.is(f['etherloom: incomplete transfers'].met, false);
  assert.match(f['etherloom: incomplete transfers'].found, '1 of 100; first 2 hops, 312 B');
  assert.is(f['etherloom: resets'].met, false);
  assert.is(f['socat: resets'].met, undefined);
});

test('tables and CSV name every peer, and show lost transfers', () => {
  const outcome = { requests: 100, ok: 98, errors: { short: 2 }, msPer100: 5, maxUs: 9 };
  const samples = [
    sample('direct', 1, 312, 1),
    sample('etherloom', 2, 312, 5, { outcome }),
    sample('socat', 2, 312, 10),
  ];
  const text = tables(new Cells(summarise(samples)));
  assert.match(text, '✗2');
  assert.match(text, '0.50');
  assert.is(csv(samples).trim().split('\n').length, 4);
});

/** Namespaces that a run has made and not removed. */
const namespacesOf = (pid: number): string[] =>
  spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' }).stdout.match(
    new RegExp(`el-hops-${pid}-\\d+`, 'g'),
  ) ?? [];

const kernel = kernelAvailable();
const missing =
  missingNamespaces ??
  missingCompiler ??
  missingSocat() ??
  missingSiege() ??
  missingEthtool() ??
  (kernel.ok ? undefined : kernel.reason);

test(
  'a short run: every peer, every body whole, files written, no namespace left',
  () => {
    const out = mkdtempSync(join(tmpdir(), 'etherloom-hops-'));
    try {
      const args =
        '--peers direct,socat,etherloom,kernel --hops 3 --sizes 312,39936 --clients 1 --reps 1 --no-awake --out'.split(
          ' ',
        );
      const ran = spawnSync(process.execPath, ['--import', 'tsx', RUN, ...args, out], {
        encoding: 'utf8',
        cwd: ROOT,
        timeout: 60_000,
      });
      assert.is(ran.status, 0, ran.stderr);
      const lines = readFileSync(join(out, 'hops.csv'), 'utf8').trim().split('\n');
      assert.is(lines.length, 1 + 4 * 2 * 2);
      for (const peer of ['direct', 'socat', 'etherloom', 'kernel'])
        assert.match(ran.stdout, new RegExp(`${peer}: incomplete transfers +│ 0 of 400`));
      for (const what of ['resets', 'checksum errors', 'SYNs sent again'])
        for (const peer of ['etherloom', 'kernel'])
          assert.match(ran.stdout, new RegExp(`${peer}: ${what} +│ 0 +│ 0 +│ met`));
      assert.ok(existsSync(join(out, '1c-3-hops.svg')));
      assert.equal(namespacesOf(ran.pid), []);
    } finally {
      rmSync(out, { recursive: true, force: true });
    }
  },
  { missing, timeoutMs: 65_000 },
);

for (const signal of ['SIGINT', 'SIGTERM'] as const)
  test(
    `${signal} in the middle of a transfer ends a run at once, also when it comes twice, and no namespace is left`,
    async () => {
      // 100 bodies of 60 MB: many seconds, in a client that does not know of the signal.
      const args = '--peers direct,socat --hops 2 --sizes 60000000 --clients 1 --no-siege --no-awake'.split(
        ' ',
      );
      const child = spawn(process.execPath, ['--import', 'tsx', RUN, ...args], {
        cwd: ROOT,
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let err = '';
      child.stderr.setEncoding('utf8').on('data', text => (err += text));
      const ended = once(child, 'exit');
      const pid = child.pid!;
      const transfers = (): boolean =>
        spawnSync('pgrep', ['-P', `${pid}`, '-f', 'http_client.* 60000000'], { stdio: 'ignore' }).status ===
        0;
      for (const from = performance.now(); !transfers(); await new Promise(done => setTimeout(done, 20)))
        assert.ok(performance.now() - from < 30_000 && child.exitCode === null, `no transfer: ${err}`);
      assert.ok(namespacesOf(pid).length >= 3);
      const from = performance.now();
      child.kill(signal);
      setTimeout(() => child.kill(signal), 5);
      const [code] = await ended;
      assert.is(code, 130, err);
      assert.ok(performance.now() - from < 3000, `${performance.now() - from} ms`);
      assert.equal(namespacesOf(pid), []);
      assert.not(transfers(), 'the client has gone, too');
    },
    { missing, timeoutMs: 60_000 },
  );
