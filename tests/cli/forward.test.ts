/** etherloom forward on captures and wrong lines; with real peers in tests/forward/kernel.test.ts. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PcapWriter } from '../../host/nic/index.js';
import { input, request, SYN } from '../forward/rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: forward');
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'etherloom-forward-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));

function run(...args: string[]) {
  return spawnSync(process.execPath, [MAIN, 'forward', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    timeout: 60_000,
  });
}

const capture = join(folder, 'in.pcap');
const writer = PcapWriter.create(capture);
for (let i = 0; i < 100; i++) writer.write(request({ sport: 3000 + (i % 50), flags: SYN }), 0n);
writer.close();
const empty = join(folder, 'empty.pcap');
PcapWriter.create(empty).close();
const config = join(folder, 'chain.json');
writeFileSync(config, JSON.stringify(input(3)));

const NICS = ['--in', `pcap:${capture}`, '--out', `pcap:${empty}`];

test('a capture through a chain from a file: a line of JSON an event, the last with what every hop did', () => {
  const r = run(...NICS, '--config', config, '--duration', '2', '--json');
  assert.is(r.status, 0, r.stderr);
  const events = r.stdout
    .trim()
    .split('\n')
    .map(line => JSON.parse(line));
  assert.is(events[0].event, 'started');
  assert.is(events[0].config.services[0].ports.length, 3);
  const last = events.at(-1);
  assert.is(last.event, 'stopped');
  assert.equal(
    last.hops.map((h: { flows: number; counts: Record<string, { packets: number }> }) => [
      h.flows,
      h.counts.opened.packets,
      h.counts.forth.packets,
    ]),
    [
      [50, 50, 100],
      [50, 50, 100],
      [50, 50, 100],
    ],
  );
  assert.ok(last.frames > 0);
});

test('as text: what is forwarded, live counters on stderr, a table and the frames at the end', () => {
  const r = run(...NICS, '--config', config, '--duration', '2');
  assert.is(r.status, 0, r.stderr);
  assert.match(r.stdout, /^forwarding 10\.0\.0\.2, fd00::2 port 7996 over 3 hops; Ctrl-C ends it\n/);
  assert.match(r.stdout, /50 of 1024/);
  assert.match(r.stdout, /frames in all, every one accounted for/);
  assert.match(r.stderr, /flows 50 .*dropped 0/);
});

test('options of the line make the same chain as a file', () => {
  const r = run(
    ...NICS,
    ...['--address', '10.0.0.2,fd00::2', '--source', '10.1.0.2,fd01::2', '--ports', '7996,7997'],
    ...['--backend', '10.1.0.1:8000@02:00:00:00:01:01', '--protocol', 'tcp', '--flows', '64'],
    ...['--first-port', '30000', '--age', 'tcpOpening=5', '--duration', '1', '--json'],
  );
  assert.is(r.status, 0, r.stderr);
  const { config: made } = JSON.parse(r.stdout.split('\n')[0]);
  assert.equal([made.flows, made.firstPort, made.ages.tcpOpening], [64, 30000, 5]);
  assert.equal(made.services[0].protocols, ['tcp']);
});

const WRONG: [what: string, args: string[], code: string, message: RegExp][] = [
  ['no ports', NICS, 'ERR_USAGE_MISSING', /ports/],
  [
    'a NIC that is none',
    ['--in', 'eth0', '--ports', '80', '--backend', '10.0.0.1:80'],
    'ERR_USAGE_NIC',
    /eth0/,
  ],
  ['a model without a far end', ['--in', 'model', '--config', config], 'ERR_USAGE_NIC', /far end/],
  [
    'a file and the same on the line',
    [...NICS, '--config', config, '--flows', '9'],
    'ERR_USAGE_OPTION',
    /flows/,
  ],
  ['a port that is none', [...NICS, '--ports', '80,x'], 'ERR_USAGE_VALUE', /65535/],
  [
    'a backend that is none',
    [...NICS, '--address', '10.0.0.2', '--ports', '80', '--backend', 'here'],
    'ERR_USAGE_FORWARD',
    /ADDRESS:PORT/,
  ],
  ['an age that is none', [...NICS, '--age', 'tcpOpen'], 'ERR_USAGE_VALUE', /NAME=SECONDS/],
  [
    'lanes in the kernel',
    ['--in', 'af_xdp:lo', '--config', config, '--engine', 'kernel', '--lanes', '1'],
    'ERR_USAGE_OPTION',
    /--lanes with --engine kernel.*the CPU that the packet came to/,
  ],
  [
    'frames in the kernel',
    ['--in', 'af_xdp:lo', '--config', config, '--engine', 'kernel', '--frames', '256'],
    'ERR_USAGE_OPTION',
    /--frames/,
  ],
  [
    'spinning in the kernel',
    ['--in', 'af_xdp:lo', '--config', config, '--engine', 'kernel', '--spin', '0'],
    'ERR_USAGE_OPTION',
    /--spin/,
  ],
  [
    'queues in the kernel',
    ['--in', 'af_xdp:lo', '--out', 'af_xdp:lo,queues=1', '--config', config, '--engine', 'kernel'],
    'ERR_USAGE_OPTION',
    /queues= in af_xdp:lo,queues=1/,
  ],
  [
    'an interface of its own in the kernel',
    ['--in', 'af_xdp:lo,own=yes', '--config', config, '--engine', 'kernel'],
    'ERR_USAGE_OPTION',
    /own=/,
  ],
  [
    'two ways of attachment in the kernel',
    [
      ...['--in', 'af_xdp:lo,attach=native', '--out', 'af_xdp:lo,attach=generic'],
      ...['--config', config, '--engine', 'kernel'],
    ],
    'ERR_USAGE_OPTION',
    /attach=native in --in, attach=generic in --out/,
  ],
  ['the kernel on a file', [...NICS, '--config', config, '--engine', 'kernel'], 'ERR_USAGE_NIC', /af_xdp/],
];

for (const [what, args, code, message] of WRONG)
  test(`usage: ${what}`, () => {
    const r = run(...args, '--json');
    assert.is(r.status, 2, r.stdout + r.stderr);
    const { error } = JSON.parse(r.stdout);
    assert.is(error.code, code);
    assert.match(error.message, message);
  });

test('a file with a mistake names file and member, and is no mistake of the line', () => {
  const wrong = join(folder, 'wrong.json');
  writeFileSync(wrong, JSON.stringify({ ...input(1), flows: 0 }));
  const r = run(...NICS, '--config', wrong, '--json');
  assert.is(r.status, 1);
  const { error } = JSON.parse(r.stdout);
  assert.equal([error.code, error.path, error.file], ['ERR_FORWARD_CONFIG', 'flows', wrong]);
});
