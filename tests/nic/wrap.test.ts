import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Engine } from '../../host/engine/engine.js';
import type { EtherloomError } from '../../host/errors.js';
import {
  capture,
  faults,
  HostNic,
  modelLink,
  PcapWriter,
  parseCapture,
  ReplayNic,
  readCapture,
  trace,
} from '../../host/nic/index.js';
import type { Nic } from '../../host/nic/nic.js';
import { numberOf, udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: wrappers');
const inline = { inline: true, frames: 512, mapBytes: 1 << 16 };
const frames = (n: number) => Array.from({ length: n }, (_, i) => udpFrame(i, 64, i));

async function reflect(nic: Nic, more: object = {}) {
  const engine = await Engine.create({ nics: [nic], ...inline, ...more });
  engine.attach(await engine.load(verdict(3)), nic.name);
  await engine.start();
  return engine;
}

test('a trace prints what comes and goes, in time and direction', async () => {
  const lines: string[] = [];
  const host = new HostNic({ name: 'eth0' });
  const engine = await reflect(trace(host, { print: t => lines.push(t) }), {
    clock: 'virtual',
    startNs: 1_000_000_500n,
  });
  host.send(udpFrame(7));
  engine.run();
  assert.equal(lines, [
    '1.000000500 eth0 < IP 10.0.0.1.1031 > 10.1.0.1.53: UDP length 22, no checksum',
    '1.000000500 eth0 > IP 10.0.0.1.1031 > 10.1.0.1.53: UDP length 22, no checksum',
  ]);
  assert.is(host.receive().length, 1);
  assert.is((await engine.stop()).ledger.free, 512);
});

test('a trace keeps to its filter and its limit, and nests', async () => {
  const lines: string[] = [];
  const host = new HostNic({ name: 'eth0' });
  const nic = trace(host, {
    print: t => lines.push(t),
    filter: (data, direction) => direction === 'tx' && numberOf(data) % 2 === 1,
    limit: 3,
    style: 'dump',
  });
  const engine = await reflect(nic);
  for (const f of frames(20)) host.send(f);
  engine.run();
  assert.equal([nic.printed, nic.suppressed, lines.length], [3, 7, 3]);
  assert.match(lines[0], /^\d+\.\d{9} eth0 > \neth .*\n {2}ipv4 .*\n {4}udp .*\n {4}0000 /);
  assert.is(host.receive().length, 20);
  await engine.stop();
});

test('a capture holds both directions while the wrapped NIC works', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-'));
  try {
    const file = join(folder, 'x.pcap');
    const host = new HostNic({ name: 'eth0' });
    const engine = await reflect(capture(host, { file }), { clock: 'virtual', startNs: 5_000_000_000n });
    for (const f of frames(100)) host.send(f);
    engine.run();
    assert.is(host.receive().length, 100);
    assert.is((await engine.stop()).ledger.free, 512);
    const got = [...readCapture(file)];
    assert.is(got.length, 200);
    assert.ok(got.every(p => p.timestampNs === 5_000_000_000n));
    const numbers = got.map(p => numberOf(p.data)).sort((a, b) => a - b);
    assert.equal(
      numbers,
      Array.from({ length: 200 }, (_, i) => i >> 1),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('one direction can be captured, and wrappers go around wrappers', async () => {
  const parts: Uint8Array[] = [];
  const writer = new PcapWriter(b => parts.push(b.slice()));
  const host = new HostNic({ name: 'eth0' });
  const outer = trace(capture(host, { file: writer, direction: 'rx' }), { print: () => {} });
  const engine = await reflect(outer);
  for (const f of frames(50)) host.send(f);
  engine.run();
  await engine.stop();
  writer.close();
  assert.is([...parseCapture(Buffer.concat(parts))].length, 50);
  assert.is(outer.printed, 100);
});

test(
  'more packets than the rings hold pass without loss, by worker lanes too',
  async () => {
    for (const more of [{}, { inline: false, lanes: 2 }]) {
      const host = new HostNic({ name: 'eth0', queues: 2 });
      let seen = 0;
      const nic = trace(host, { print: () => {}, filter: () => ++seen < 0 });
      const engine = await reflect(nic, { ringSlots: 64, lossless: true, lanes: 2, ...more });
      let back = 0;
      let sent = 0;
      const until = performance.now() + 10_000;
      while (back < 2000 && performance.now() < until) {
        while (sent < 2000 && host.send(udpFrame(sent, 64, sent))) sent++;
        if (engine.inline) engine.step();
        else await new Promise(done => setTimeout(done, 1));
        back += host.receive().length;
      }
      assert.equal([sent, back, seen], [2000, 2000, 4000]);
      assert.is((await engine.stop()).ledger.free, 512);
    }
  },
  { timeoutMs: 40_000 },
);

test('a model link, a replay and a sink can be wrapped like any other', async () => {
  const { a, b } = modelLink({ delayNs: 1000 });
  let seen = 0;
  const count = { print: () => {}, filter: () => ++seen < 0 };
  const engine = await Engine.create({ nics: [trace(a, count)], clock: 'virtual', ...inline });
  engine.attach(await engine.load(verdict(3)), a.name);
  await engine.start();
  for (const f of frames(30)) b.send(f);
  engine.run({ untilNs: engine.now() + 1_000_000n });
  assert.is(b.receive().length, 30);
  assert.is(seen, 60);
  assert.is((await engine.stop()).ledger.free, 512);

  seen = 0;
  const replay = new ReplayNic({ packets: frames(10), rounds: 5, sink: true });
  const second = await reflect(trace(replay, count));
  await second.idle();
  assert.is(seen, 100);
  assert.is((await second.stop()).ledger.free, 512);
});

test(
  'a lane that dies behind a wrapper loses no frame',
  async () => {
    const host = new HostNic({ name: 'eth0', queues: 2 });
    const engine = await reflect(trace(host, { filter: () => false }), { inline: false, lanes: 2 });
    engine.on('crash', () => {});
    let back = 0;
    for (let i = 0; i < 60; i++) {
      for (let k = 0; k < 50; k++) host.send(udpFrame(k, 64, k));
      if (i === 20) engine.killLane(0);
      await new Promise(done => setTimeout(done, 2));
      back += host.receive().length;
    }
    await engine.settled();
    assert.is(engine.crashes.length, 1);
    assert.ok(back > 1000, `${back} came back`);
    const { ledger } = await engine.stop();
    host.receive();
    assert.is(ledger.lost, 0);
  },
  { timeoutMs: 40_000 },
);

test('faults are drawn from the seed, lost packets free their frames', async () => {
  const run = async (seed: number): Promise<[number, number, string]> => {
    const host = new HostNic({ name: 'eth0' });
    const nic = faults(host, { rx: { loss: 0.2 }, tx: { corrupt: 0.1 }, seed });
    const engine = await reflect(nic);
    for (const f of frames(400)) {
      host.send(f);
      engine.step();
    }
    engine.run();
    const got = host.receive();
    assert.is(got.length, 400 - nic.stats.lost);
    const intact = got.filter(
      p => Buffer.compare(p.data, udpFrame(numberOf(p.data), 64, numberOf(p.data))) === 0,
    );
    assert.is(got.length - intact.length, nic.stats.corrupted);
    assert.is((await engine.stop()).ledger.free, 512);
    return [nic.stats.lost, nic.stats.corrupted, got.map(p => numberOf(p.data)).join()];
  };
  const first = await run(4);
  assert.ok(first[0] > 50 && first[0] < 110 && first[1] > 15 && first[1] < 55, first.slice(0, 2).join(' '));
  assert.equal(await run(4), first);
  assert.not.equal(await run(5), first);
  assert.throws(
    () => faults(new HostNic(), { rx: { loss: 2 } }),
    (e: EtherloomError) => e.code === 'ERR_FAULT_OPTIONS',
  );
});
