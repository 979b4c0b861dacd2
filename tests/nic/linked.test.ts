/** NICs of the host and of replay behind a model link: what goes in and comes out has crossed the wire. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Engine } from '../../host/engine/engine.js';
import { HostNic, modelLink, PcapNic, ReplayEnd, readCapture } from '../../host/nic/index.js';
import type { CapturedPacket } from '../../host/nic/pcap/index.js';
import { numberOf, udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: behind a link');
const REAL = fileURLToPath(new URL('../fixtures/capture/real-traffic.pcapng', import.meta.url));
const XDP_TX = 3;
const small = { frames: 1024, mapBytes: 1 << 16 };
const sorted = (packets: Iterable<CapturedPacket>): string[] =>
  [...packets].map(p => `${p.timestampNs} ${Buffer.from(p.data).toString('hex')}`).sort();

test('a host NIC with a link sends and receives over it, both directions counted', async () => {
  const nic = new HostNic({ name: 'eth0', link: {} });
  const engine = await Engine.create({ nics: [nic], inline: true, ...small });
  engine.attach(await engine.load(verdict(XDP_TX)), 'eth0');
  await engine.start();
  for (let i = 0; i < 100; i++) assert.ok(nic.send(udpFrame(i, 64, i)));
  assert.is(engine.counters()[0].rxPackets, 0, 'nothing has been pumped yet');
  await engine.idle();
  assert.equal(
    nic
      .receive()
      .map(p => numberOf(p.data))
      .sort((x, y) => x - y),
    Array.from({ length: 100 }, (_, i) => i),
  );
  assert.equal([nic.linkStats?.sent.delivered, nic.linkStats?.received.delivered], [100, 100]);
  assert.is((await engine.stop()).ledger.free, 1024);
});

test('what the link does to packets happens to those of the NIC: all lost, or late', async () => {
  const lossy = new HostNic({ name: 'lossy', link: { loss: 1 } });
  const slow = new HostNic({ name: 'slow', link: { delayNs: 5000 } });
  const engine = await Engine.create({
    nics: [lossy, slow],
    inline: true,
    clock: 'virtual',
    startNs: 0n,
    ...small,
  });
  engine.attach(await engine.load(verdict(XDP_TX)), 'slow');
  await engine.start();
  lossy.send(udpFrame());
  slow.send(udpFrame());
  engine.run();
  assert.is(engine.now(), 10_000n, '5 µs there and 5 µs back');
  assert.equal([slow.receive().length, lossy.linkStats?.sent.lost], [1, 1]);
  assert.is(engine.counters()[0].rxPackets, 0);
  assert.is((await engine.stop()).ledger.free, 1024);
});

for (const inline of [true, false])
  test(`a capture crosses the link and comes back byte for byte with its times, ${inline ? 'inline' : 'by workers'}`, async () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-'));
    try {
      const out = join(folder, 'out.pcap');
      const nic = new PcapNic({ in: REAL, out, queues: 2, link: {} });
      const engine = await Engine.create({ nics: [nic], lanes: 2, lossless: true, inline, ...small });
      engine.attach(await engine.load(verdict(XDP_TX)), 'pcap');
      await engine.start();
      await engine.idle();
      const report = await engine.stop();
      assert.equal(sorted(readCapture(out)), sorted(readCapture(REAL)));
      const n = nic.stats.packets;
      assert.equal([nic.linkStats?.sent.delivered, nic.linkStats?.received.delivered], [n, n]);
      assert.is(report.ledger.free, 1024);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

for (const inline of [true, false])
  test(`lanes play templates onto a link and take what comes back, ${inline ? 'inline' : 'by workers'}`, async () => {
    // By workers enough for both rings between two ports to be full at once.
    const count = inline ? 10_000 : 60_000;
    const { a, b } = modelLink({ names: ['near', 'far'] });
    const source = new ReplayEnd(b, {
      packets: Array.from({ length: 64 }, (_, i) => udpFrame(i, 64, i)),
      count,
    });
    const engine = await Engine.create({
      nics: [a, source],
      lanes: 2,
      lossless: true,
      pass: 'count',
      inline,
      ringSlots: 128,
      ...small,
    });
    engine.attach(await engine.load(verdict(XDP_TX)), 'near');
    await engine.start();
    await engine.idle({ timeoutMs: 15_000 });
    assert.is(source.played, count);
    source.again({ count: 7 });
    await engine.idle({ timeoutMs: 15_000 });
    const { ports, lanes, ledger } = await engine.stop();
    assert.equal([ports[0].rxPackets, ports[0].verdicts.tx], [count + 7, count + 7]);
    assert.equal([ports[1].rxPackets, ports[1].pass], [count + 7, count + 7]);
    assert.equal([a.stats.delivered, b.stats.delivered], [count + 7, count + 7]);
    assert.ok(
      lanes.every(l => l.packets > 0),
      'both lanes had their share',
    );
    assert.is(ledger.free, 1024);
  });
