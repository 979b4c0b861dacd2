/** etherloom echo, kv and serve: on the shared-memory link, and what they refuse. */
import { spawnSync } from 'node:child_process';
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

for (const [line, words] of [
  ['echo server --nic model', /ERR_USAGE_NIC.*far end/],
  ['echo client --nic model --ip 10.0.0.9', /ERR_USAGE_OPTION/],
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
