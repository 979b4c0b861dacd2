/** etherloom echo, kv and serve: on the shared-memory link, and what they refuse. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAIN, ROOT } from '../support/attached.js';
import { assert, suite } from '../support/suite.js';

const test = suite('cli: echo, kv, serve');

function etherloom(...args: string[]) {
  const r = spawnSync(process.execPath, [MAIN, ...args], { cwd: ROOT, encoding: 'utf8', timeout: 30_000 });
  return { code: r.status, out: r.stdout, err: r.stderr };
}

for (const level of ['duplex', 'burst', 'lane'])
  test(`echo client on the ${level} level prints what epoll_client does, and times`, () => {
    const line = `echo client -f 4 -o 2 -b 64 -w 0 --duration 0.5 --interval 0.2 --level ${level}`;
    const { code, out, err } = etherloom(...line.split(' '));
    assert.is(code, 0, err);
    assert.match(
      out,
      /Throughput In\/Out: 0\.\d+\/0\.\d+ Gbps, [\d.]+ Kops, 4 connections, average events [\d.]+/,
    );
    assert.match(out, /RTT us: mean [\d.]+, p50 [\d.]+, p90 .* max/);
  });

test('kv bench prints what flexkvs_bench does; as JSON no get missed', () => {
  const line = 'kv bench -C 4 -p 2 -n 200 -w 0 -T 0.5 --level lane --json';
  const { code, out, err } = etherloom(...line.split(' '));
  assert.is(code, 0, err);
  const events = out
    .trim()
    .split('\n')
    .map(l => JSON.parse(l));
  assert.equal([events[0].event, events.at(-1).event], ['started', 'stopped']);
  const { operations, misses, failures, p50Us, errors } = events.at(-1);
  assert.ok(operations > 100 && p50Us > 0);
  assert.equal([misses, failures, errors], [0, 0, []]);
});

test('short answers: 100 bytes for each message, which is what comes in', () => {
  const line = 'echo client --short -b 4000 -f 2 -o 3 -w 0 --duration 0.4 --level lane --json';
  const { code, out, err } = etherloom(...line.split(' '));
  assert.is(code, 0, err + out);
  const { messages, gbitIn, gbitOut, errors } = JSON.parse(out.trim().split('\n').at(-1)!);
  assert.equal(errors, []);
  assert.ok(messages > 20, `${messages}`);
  const share = gbitIn / gbitOut;
  assert.ok(share > 0.015 && share < 0.03, `${gbitIn} in, ${gbitOut} out`);
});

test('--dump writes how many answers took how long, the fastest first', () => {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-apps-'));
  try {
    const file = join(folder, 'times');
    const line = ['echo', 'client', '-w', '0', '--duration', '0.4', '--json', '-d', file];
    const { code, out, err } = etherloom(...line);
    assert.is(code, 0, err);
    const { messages } = JSON.parse(out.trim().split('\n').at(-1)!);
    const rows = readFileSync(file, 'utf8')
      .trim()
      .split('\n')
      .map(row => row.split(' ').map(Number));
    assert.is(
      rows.reduce((n, [, count]) => n + count, 0),
      messages,
    );
    for (const [i, [us]] of rows.entries()) assert.ok(us > 0 && (i === 0 || us >= rows[i - 1][0]));
    assert.match(
      etherloom(...line.slice(0, -1), folder).err + etherloom(...line.slice(0, -1), folder).out,
      /ERR_FILE_WRITE/,
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('kv bench goes on for the time of -c, which is not counted', () => {
  const from = performance.now();
  const { code, out, err } = etherloom(...'kv bench -C 2 -n 100 -w 0 -T 0.3 -c 2 --json'.split(' '));
  assert.is(code, 0, err);
  assert.ok(performance.now() - from > 2300);
  const { seconds } = JSON.parse(out.trim().split('\n').at(-1)!);
  assert.ok(seconds < 2, `${seconds} s counted`);
});

test('rings of -l bytes: small ones carry long messages as well, too small ones are refused', () => {
  const small = etherloom(...'echo client -l 2048 -b 10000 -o 2 -w 0 --duration 3 --json'.split(' '));
  assert.is(small.code, 0, small.err);
  const { messages, errors } = JSON.parse(small.out.trim().split('\n').at(-1)!);
  assert.equal(errors, []);
  assert.ok(messages > 10, `${messages}`);
  const wrong = etherloom(...'echo client -l 1000'.split(' '));
  assert.is(wrong.code, 2);
  assert.match(wrong.err, /ERR_USAGE_VALUE.*2048/s);
});

test('--help says which options of eTran are not there, and why', () => {
  const help = (...command: string[]): string => etherloom(...command, '--help').out.replace(/\s+/g, ' ');
  for (const command of ['server', 'client'])
    assert.match(help('echo', command), /epoll_(server|client)'s -q .* -s .* -m /);
  assert.match(help('kv', 'bench'), /flexkvs_bench's -d .* -r .* -K /);
});

for (const [line, words] of [
  ['echo server --nic model', /ERR_USAGE_NIC.*far end/],
  ['echo client --nic model --ip 10.0.0.9', /ERR_USAGE_OPTION/],
  ['echo client --address 10.0.0.1', /ERR_USAGE_OPTION.*10\.0\.0\.1 does not say.*\/24/s],
  ['echo client -b 16777216 -o 65536', /ERR_USAGE_OPTION.*under way/],
  ['echo client --nic af_xdp:lo,own=yes', /ERR_USAGE_MISSING.*server/],
  ['echo', /ERR_USAGE_COMMAND/],
  ['echo client --level wire', /ERR_USAGE_VALUE.*duplex/],
  ['kv bench -g 2', /ERR_USAGE_VALUE.*0 to 1/],
  ['kv bench --nic tap:tap9 10.0.0.9:x', /ERR_USAGE_VALUE.*server/],
  ['serve nowhere --nic tap:tap9', /ERR_FILES_FOLDER.*nowhere/],
  ['serve host --nic pcap:x.pcap', /ERR_USAGE_NIC.*nobody answers/],
] as const)
  test(`${line} is refused in words`, () => {
    const { code, err } = etherloom(...line.split(' '));
    assert.ok(code === 2 || code === 1);
    assert.match(err.replaceAll('\n', ' '), words);
  });
