import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Engine } from '../../host/engine/engine.js';
import type { EtherloomError } from '../../host/errors.js';
import { HostNic, LINKTYPE_ETHERNET, PcapNic, parseCapture, readCapture } from '../../host/nic/index.js';
import type { CapturedPacket } from '../../host/nic/pcap/packet.js';
import { encodePcap } from '../../host/nic/pcap/writer.js';
import { pcapFile } from '../support/capture_files.js';
import { udpFrame, verdict } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: pcap');
const REAL = fileURLToPath(new URL('../fixtures/capture/real-traffic.pcapng', import.meta.url));

async function inTemp<T>(body: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-'));
  try {
    return await body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
const made = (n: number, stepNs = 1000n): CapturedPacket[] => [
  ...parseCapture(
    encodePcap(
      Array.from({ length: n }, (_, i) => ({
        data: udpFrame(i, 60 + i, i),
        timestampNs: BigInt(i) * stepNs,
      })),
    ),
  ),
];
/** Packets of a capture in an order of their own: lanes and queues do not keep the file's. */
const sorted = (packets: Iterable<CapturedPacket>): string[] =>
  [...packets].map(p => `${p.timestampNs} ${Buffer.from(p.data).toString('hex')}`).sort();
const inline = { inline: true, frames: 1024, mapBytes: 1 << 16 };

test('what a program sends back is the capture again, byte for byte with its times', () =>
  inTemp(async folder => {
    const out = join(folder, 'out.pcap');
    const nic = new PcapNic({ in: REAL, out, queues: 2 });
    const engine = await Engine.create({ nics: [nic], lanes: 2, lossless: true, ...inline });
    engine.attach(await engine.load(verdict(3)), 'pcap');
    await engine.start();
    await engine.idle();
    const report = await engine.stop();
    assert.equal(sorted(readCapture(out)), sorted(readCapture(REAL)));
    assert.is(report.ledger.free, 1024);
    const { packets, received, written, oversized, cut } = nic.stats;
    assert.equal([packets, received, written, oversized, cut], [packets, packets, packets, 0, 0]);
  }));

test('packets that pass can be recorded with their times', () =>
  inTemp(async folder => {
    const out = join(folder, 'out.pcap');
    const nic = new PcapNic({ in: REAL, out });
    const engine = await Engine.create({ nics: [nic], lossless: true, ...inline });
    await engine.start();
    await engine.idle({ each: () => engine.drain(0x7fffffff, data => nic.record(data)) });
    engine.run();
    engine.drain(0x7fffffff, data => nic.record(data));
    await engine.stop();
    assert.equal(sorted(readCapture(out)), sorted(readCapture(REAL)));
  }));

test(
  'worker lanes give the same file',
  () =>
    inTemp(async folder => {
      const out = join(folder, 'out.pcap');
      const nic = new PcapNic({ in: REAL, out, rounds: 2 });
      const engine = await Engine.create({
        nics: [nic],
        lanes: 2,
        lossless: true,
        frames: 4096,
        mapBytes: 1 << 16,
      });
      engine.attach(await engine.load(verdict(3)), 'pcap');
      await engine.start();
      await engine.idle({ timeoutMs: 15_000 });
      await engine.stop();
      const real = sorted(readCapture(REAL));
      assert.equal(sorted(readCapture(out)), [...real, ...real].sort());
    }),
  { timeoutMs: 30_000 },
);

test('flows keep their order and their queue', async () => {
  const packets = made(300);
  const nic = new PcapNic({ in: packets, queues: 4 });
  const engine = await Engine.create({ nics: [nic], lanes: 1, ...inline });
  await engine.start();
  const seen = new Map<string, { queue: number; last: bigint }>();
  const look = (): number =>
    engine.drain(0x7fffffff, (data, _port, queue) => {
      const flow = Buffer.from(data.subarray(26, 38)).toString('hex');
      const last = BigInt(data.length);
      const before = seen.get(flow);
      if (before) assert.ok(before.queue === queue && before.last < last);
      seen.set(flow, { queue, last });
    });
  await engine.idle({ each: look });
  engine.run();
  look();
  await engine.stop();
  assert.is(new Set([...seen.values()].map(s => s.queue)).size, 4);
});

test('the capture is played again as often as asked, through the same frames', async () => {
  const nic = new PcapNic({ in: made(100), rounds: 30 });
  const engine = await Engine.create({ nics: [nic], lossless: true, ...inline, frames: 256, pass: 'count' });
  await engine.start();
  await engine.idle();
  assert.is(engine.counters()[0].pass, 3000);
  nic.again(2);
  assert.ok(nic.busy);
  await engine.idle();
  assert.is(engine.counters()[0].pass, 3200);
  assert.is((await engine.stop()).ledger.free, 256);
});

test('at recorded pace a packet arrives when its time has come, in virtual time', async () => {
  const nic = new PcapNic({ in: made(5, 1_000_000n), speed: 2 });
  const engine = await Engine.create({ nics: [nic], clock: 'virtual', startNs: 1_000_000_000n, ...inline });
  await engine.start();
  const arrivals: bigint[] = [];
  for (let i = 0; i < 50 && engine.busy; i++) {
    engine.step();
    engine.step();
    for (const _ of engine.receive()) arrivals.push(engine.now() - 1_000_000_000n);
    const due = nic.nextDueNs();
    if (due !== undefined && due > engine.now()) engine.advance(due - engine.now());
  }
  engine.run();
  for (const _ of engine.receive()) arrivals.push(engine.now() - 1_000_000_000n);
  assert.equal(arrivals, [0n, 500_000n, 1_000_000n, 1_500_000n, 2_000_000n]);
  await engine.stop();
});

test('a packet that leaves by another NIC keeps its time', () =>
  inTemp(async folder => {
    const out = join(folder, 'b.pcap');
    const source = new PcapNic({ name: 'a', in: made(10) });
    const sink = new PcapNic({ name: 'b', out });
    const engine = await Engine.create({ nics: [source, sink], ...inline });
    await engine.start();
    await engine.idle();
    // The host forwards by hand: what counts is the frame, not who moves it.
    engine.drain(0x7fffffff, data => sink.record(data));
    await engine.stop();
    assert.equal(sorted(readCapture(out)), sorted(made(10)));
  }));

test('frames larger than a frame has room for are counted and left out', async () => {
  const file = pcapFile(true, 0xa1b2c3d4, [
    { data: udpFrame(1) },
    { data: new Uint8Array(1793) },
    { data: new Uint8Array(9000) },
    { data: udpFrame(2).subarray(0, 40), original: 1000 },
  ]);
  const nic = new PcapNic({ in: [...parseCapture(file)] });
  assert.equal(nic.stats, {
    packets: 2,
    received: 0,
    oversized: 2,
    firstOversizedAt: 24 + 16 + 64,
    cut: 1,
    written: 0,
  });
  const engine = await Engine.create({ nics: [nic], ...inline });
  await engine.start();
  await engine.idle();
  assert.equal(
    engine.receive().map(p => p.data.length),
    [64, 40],
  );
  await engine.stop();
});

test('a damaged file, frames that are not Ethernet and impossible options are refused before anything runs', () =>
  inTemp(async folder => {
    const refused = (code: string, options: ConstructorParameters<typeof PcapNic>[0]): EtherloomError => {
      try {
        new PcapNic(options);
      } catch (error) {
        assert.is((error as EtherloomError).code, code);
        return error as EtherloomError;
      }
      throw new Error(`${code}: accepted`);
    };
    const file = join(folder, 'in.pcap');
    writeFileSync(file, pcapFile(true, 0xa1b2c3d4, [{ data: udpFrame(1) }]).subarray(0, 70));
    const e = refused('ERR_PCAP_TRUNCATED', { in: file });
    assert.is(e.file, file);
    assert.is(e.offset, 24);
    writeFileSync(file, pcapFile(true, 0xa1b2c3d4, [{ data: udpFrame(1) }], 0, 113));
    assert.match(
      refused('ERR_PCAP_LINKTYPE', { in: file }).message,
      new RegExp(`Ethernet \\(${LINKTYPE_ETHERNET}\\)`),
    );
    refused('ERR_PCAP_FILE', { in: join(folder, 'absent') });
    refused('ERR_PCAP_FILE', { out: join(folder, 'no', 'where') });
    refused('ERR_PCAP_OPTIONS', { rounds: -1 });
    refused('ERR_PCAP_OPTIONS', { speed: Number.NaN });
    const [odd] = made(1);
    refused('ERR_PCAP_TIME', { in: [{ ...odd, timestampNs: 1n << 63n }] });
  }));

test('a NIC without output has nothing to record to', async () => {
  const nic = new PcapNic({ in: made(1) });
  assert.throws(
    () => nic.record(udpFrame(0)),
    (e: EtherloomError) => e.code === 'ERR_PCAP_OPTIONS',
  );
  assert.ok(new HostNic().kind !== nic.kind);
});
