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
      assert.match(c.out, /tt: .*\na word\nno command what; expected client, server, stop/);
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

/** Members that docs/cp.md names in the first column of the table with that head, or in a sentence. */
const DOC = readFileSync(join(ROOT, 'docs/cp.md'), 'utf8');
const named = (text: string): string[] => [...text.matchAll(/`(\w+)`/g)].map(m => m[1]);
const eventRow = (event: string): string =>
  new RegExp(`^\\| \`${event}\` \\| (.*) \\|$`, 'm').exec(DOC)![1].replace(/\(.*?\)/g, '');
const clientRows = [...DOC.split('| member of `client`')[1].matchAll(/^\| (`.*?) \| (.*) \|$/gm)];
const clientMembers = (without: RegExp): string[] =>
  clientRows.filter(([, , text]) => !without.test(text)).flatMap(([, names]) => named(names));

interface Counts {
  requests: number;
  answers: number;
  bytesOut: number;
  backedUp: number;
  errors: Record<string, number>;
  rttUs: { p50: number; p99: number; p999: number } | null;
  unanswered?: number;
  outstanding?: number;
}
interface CpEvent {
  event: string;
  error: string;
  client?: Counts;
  server?: { requests: number };
}
const eventsOf = (out: string): CpEvent[] =>
  out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line));

test(
  'with --json each line is an object as docs/cp.md has it: an interval tells of itself, the end of all',
  () => {
    const { code, out, err } = etherloom(
      'cp --protocol tcp --workload 200 --gbps 0.001 --duration 1.5 --interval 0.5 --json',
    );
    assert.is(code, 0, err);
    const events = eventsOf(out);
    const intervals = events.filter(e => e.event === 'interval');
    const stopped = events.at(-1)!;
    assert.equal(Object.keys(events[0]).slice(1), named(eventRow('started')));
    assert.is(stopped.event, 'stopped');
    assert.ok(intervals.length >= 3, out);
    for (const e of intervals) {
      assert.equal(Object.keys(e).slice(1), named(eventRow('interval')));
      assert.equal(Object.keys(e.client!).sort(), clientMembers(/^of `stopped`/).sort());
      assert.ok(e.client!.rttUs!.p50 > 0 && e.client!.rttUs!.p50 <= e.client!.rttUs!.p99);
      assert.is(e.client!.bytesOut, 200 * e.client!.requests);
    }
    assert.equal(Object.keys(stopped.client!).sort(), clientMembers(/^of an interval/).sort());
    const sum = (of: (e: CpEvent) => number): number => intervals.reduce((n, e) => n + of(e), 0);
    const total = stopped.client!;
    assert.is(total.answers, total.requests);
    assert.is(total.unanswered, 0);
    // All are begun in intervals; the last of them may be answered after.
    assert.is(
      sum(e => e.client!.requests),
      total.requests,
    );
    assert.is(sum(e => e.client!.answers) + intervals.at(-1)!.client!.outstanding!, total.answers);
    assert.is(stopped.server!.requests, total.requests);
    assert.ok(sum(e => e.server!.requests) <= total.requests);
    assert.ok(total.rttUs!.p50 > 0 && total.rttUs!.p50 <= total.rttUs!.p999);
  },
  LIMIT,
);

test(
  'requests that fail are counted in their interval, and the first of a kind is told when it fails',
  () => {
    // It ends when each has failed, however slow that is.
    const line = 'cp --nic model,loss=1 --unloaded 2 --interval 1';
    const { code, out } = etherloom(`${line} --json`);
    assert.is(code, 1);
    const events = eventsOf(out);
    const told = events.filter(e => e.event === 'error').map(e => e.error);
    assert.equal(told, ['EHOSTUNREACH']);
    const first = events.findIndex(e => e.event === 'error');
    const failed = events.findIndex(e => (e.client?.errors.EHOSTUNREACH ?? 0) > 0);
    assert.is(events[failed].event, 'interval');
    assert.ok(first < failed);
    assert.ok(events.at(-1)!.client!.errors.EHOSTUNREACH >= events[failed].client!.errors.EHOSTUNREACH);
    const text = etherloom(line);
    assert.match(
      text.out,
      /error: EHOSTUNREACH: the first[\s\S]*errors: [1-9]\d*\n[\s\S]*error: \d+ requests: EHOSTUNREACH\n$/,
    );
  },
  LIMIT,
);

test(
  'with --commands and --json a command is answered by an event, too',
  () => {
    const said = etherloom(
      'cp --commands --json',
      'tt\nwhat\nclient --workload w0\ndump_times\ndump_times /nowhere/f\nlog a word\nexit\n',
    );
    assert.is(said.code, 0, said.err);
    const events = eventsOf(said.out) as unknown as {
      event: string;
      command: string;
      text?: string;
      error?: { code: string };
    }[];
    assert.equal(
      events.filter(e => e.event === 'command').map(e => [e.command, e.error?.code ?? e.text]),
      [
        ['tt', 'tt: time traces are of the kernel module, there are none here'],
        ['what', 'ERR_CP_COMMAND'],
        ['client', 'ERR_USAGE_VALUE'],
        ['dump_times', 'ERR_CP_COMMAND'],
        ['dump_times', 'ERR_FILE_WRITE'],
        ['log', 'a word'],
        ['exit', ''],
      ],
    );
  },
  LIMIT,
);

test('a file for times that cannot be written is told at once, of cp and of echo', () => {
  for (const line of ['cp --dump-times /nowhere/f', 'echo client --dump /nowhere/f']) {
    // Without a duration: only who looks at the beginning ends.
    const { code, out, err } = etherloom(line);
    assert.equal([code, out], [1, '']);
    assert.match(err, /ERR_FILE_WRITE: .*\/nowhere\/f/);
  }
});

test('slowdown reads standard input as -, and says once what cannot be read', () => {
  const piped = etherloom('slowdown -', '100 3.0\n');
  assert.is(piped.code, 0, piped.err);
  assert.match(piped.out, /^standard input: best possible time 3\.00/);
  const twice = etherloom('slowdown - --base -', '100 3.0\n');
  assert.is(twice.code, 2);
  const none = etherloom('slowdown nope.txt');
  assert.equal([none.code, none.err.match(/ENOENT/g)?.length], [1, 1], none.err);
  assert.match(none.err, /ERR_FILE_READ.*nope\.txt/);
});

test('what is wrong is said: a workload, a server on model, a file of other lines', () => {
  const bad = etherloom('cp --workload w9');
  assert.is(bad.code, 2);
  assert.match(bad.err, /ERR_USAGE_VALUE: --workload w9; expected w1/);
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
