import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { EtherloomError } from '../../host/errors.js';
import type { CapturedPacket } from '../../host/nic/pcap/packet.js';
import { CaptureParser, parseCapture } from '../../host/nic/pcap/parser.js';
import { readCapture } from '../../host/nic/pcap/reader.js';
import { encodePcap, PcapWriter } from '../../host/nic/pcap/writer.js';
import { pcapFile, Section } from '../support/capture_files.js';
import { assert, suite } from '../support/suite.js';
import { missingTool, run } from '../support/tools.js';

const test = suite('nic: capture files');
const REAL = fileURLToPath(new URL('../fixtures/capture/real-traffic.pcapng', import.meta.url));
const tshark = missingTool('tshark');
const editcap = missingTool('editcap');
const ping = Uint8Array.from({ length: 60 }, (_, i) => i);
const pong = Uint8Array.from({ length: 61 }, (_, i) => 255 - i);

const all = (bytes: Uint8Array): CapturedPacket[] => [...parseCapture(bytes, 'test')];
const brief = (p: CapturedPacket) => [p.interface.index, p.timestampNs, p.data.length, p.originalLength];
function refusal(bytes: Uint8Array): EtherloomError {
  try {
    all(bytes);
  } catch (error) {
    return error as EtherloomError;
  }
  throw new Error('accepted');
}
function inTemp<T>(body: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-'));
  try {
    return body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

// ── pcap ───────────────────────────────────────────────────────────────────────────────────────────────────────────

test('pcap is read in both byte orders, µs and ns', () => {
  for (const little of [true, false])
    for (const [magic, perUnit] of [
      [0xa1b2c3d4, 1000n],
      [0xa1b23c4d, 1n],
    ] as const) {
      const file = pcapFile(little, magic, [
        { data: ping, seconds: 1_700_000_000, fraction: 123_456 },
        { data: pong, seconds: 0xffffffff, fraction: 999_999, original: 1500 },
      ]);
      const got = all(file);
      assert.equal(got.map(brief), [
        [0, 1_700_000_000_000_000_000n + 123_456n * perUnit, 60, 60],
        [0, 0xffffffffn * 1_000_000_000n + 999_999n * perUnit, 61, 1500],
      ]);
      assert.equal([...got[1].data], [...pong]);
      assert.is(got[1].offset, 24 + 16 + 60);
    }
});

test('a pcap without packets and one with an empty packet are read', () => {
  assert.is(all(pcapFile(true, 0xa1b2c3d4, [])).length, 0);
  assert.is(all(pcapFile(true, 0xa1b2c3d4, [{ data: new Uint8Array(0) }]))[0].data.length, 0);
});

test('link type and snap length are told; bits for the frame check sequence are not part of the type', () => {
  const [p] = all(pcapFile(false, 0xa1b2c3d4, [{ data: ping }], 96, 0x24000065));
  assert.is(p.interface.linkType, 101);
  assert.is(p.interface.snaplen, 96);
});

test('a pcap cut anywhere is refused at that record, and the packets before it were given', () => {
  const file = pcapFile(true, 0xa1b2c3d4, [{ data: ping }, { data: pong }]);
  const whole = new Set([24, 24 + 76, 24 + 76 + 77]);
  for (let n = 0; n < file.length; n++) {
    if (whole.has(n)) continue;
    const e = refusal(file.subarray(0, n));
    assert.is(e.code, 'ERR_PCAP_TRUNCATED', `cut at ${n}`);
    assert.is(e.file, 'test');
    assert.is(e.offset, n < 24 ? 0 : n < 100 ? 24 : 100, `cut at ${n}`);
    assert.ok(e.expected);
  }
  const parser = new CaptureParser();
  parser.push(file.subarray(0, 150));
  assert.is(parser.next()?.data.length, 60);
  assert.is(parser.next(), undefined);
});

test('what is no capture, an old version and a length that lies are refused by name', () => {
  assert.is(refusal(new Uint8Array(100)).code, 'ERR_PCAP_MAGIC');
  assert.match(refusal(new Uint8Array(100)).message, /a1b2c3d4/);
  const old = pcapFile(true, 0xa1b2c3d4, []);
  old[6] = 2;
  assert.is(refusal(old).code, 'ERR_PCAP_VERSION');
  const lie = refusal(pcapFile(false, 0xa1b2c3d4, [{ data: ping, captured: 0x7fffffff }]));
  assert.is(lie.code, 'ERR_PCAP_LENGTH');
  assert.is(lie.offset, 32);
  assert.match(lie.message, /262144/);
});

// ── pcapng ─────────────────────────────────────────────────────────────────────────────────────────────────────────

test('pcapng is read in both byte orders, with several interfaces of different time units', () => {
  for (const little of [true, false]) {
    const s = new Section(little);
    const file = s
      .interface()
      .interface(Buffer.concat([s.option(2, Buffer.from('eth\u00fc')), s.option(9, Uint8Array.of(9))]), 96)
      .interface(s.option(9, Uint8Array.of(0x80 | 20)))
      .interface(
        Buffer.concat([
          s.option(14, s.body().u64(-100n).bytes),
          s.option(9, Uint8Array.of(12)),
          s.option(0, new Uint8Array(0)),
        ]),
      )
      .enhanced(0, 1_700_000_000_000_001n, ping)
      .enhanced(1, 1_700_000_000_000_000_001n, pong.subarray(0, 50), 1500)
      .enhanced(2, 3n << 19n, pong)
      .enhanced(3, 200_000_000_001_999n, ping).bytes;
    const got = all(file);
    assert.equal(got.map(brief), [
      [0, 1_700_000_000_000_001_000n, 60, 60],
      [1, 1_700_000_000_000_000_001n, 50, 1500],
      [2, 1_500_000_000n, 61, 61],
      [3, 100_000_000_001n, 60, 60],
    ]);
    assert.is(got[1].interface.name, 'eth\u00fc');
    assert.is(got[1].interface.snaplen, 96);
  }
});

test('sections may change the byte order; interface numbers begin anew in each', () => {
  const file = Buffer.concat([
    new Section(true).interface().enhanced(0, 1n, ping).bytes,
    new Section(false, [1, 2]).interface().enhanced(0, 2n, pong).bytes,
  ]);
  assert.equal(all(file).map(brief), [
    [0, 1000n, 60, 60],
    [1, 2000n, 61, 61],
  ]);
});

test('unknown blocks are skipped without being held, however long', () => {
  const before = new Section(true).interface().bytes;
  const after = new Section(true).interface().enhanced(0, 1n, ping).bytes;
  const total = 40_000_000;
  const parser = new CaptureParser();
  parser.push(before);
  parser.push(new Section(true).body().u32(0x0bad).u32(total).bytes);
  const chunk = new Uint8Array(1 << 16);
  const heap = process.memoryUsage().arrayBuffers;
  for (let left = total - 12; left > 0; left -= chunk.length) {
    parser.push(left < chunk.length ? chunk.subarray(0, left) : chunk);
    assert.is(parser.next(), undefined);
  }
  assert.ok(process.memoryUsage().arrayBuffers - heap < 4 << 20);
  parser.push(new Section(true).body().u32(total).bytes);
  parser.push(after);
  assert.is(parser.next()?.data.length, 60);
  parser.end();
});

test('simple and obsolete packets are read; a simple one is cut at the snap length and has no time', () => {
  const file = new Section(false)
    .interface(undefined, 40)
    .simple(ping.subarray(0, 40), 60)
    .simple(pong.subarray(0, 9))
    .obsolete(0, 5n, pong).bytes;
  assert.equal(all(file).map(brief), [
    [0, 0n, 40, 60],
    [0, 0n, 9, 9],
    [0, 5000n, 61, 61],
  ]);
});

test('a pcapng cut anywhere but between blocks is refused with file, offset and what was expected', () => {
  const s = new Section(true);
  const blocks = [
    s.interface().bytes.length,
    s.block(5, new Uint8Array(8)).bytes.length,
    s.enhanced(0, 1n, ping).bytes.length,
  ];
  const file = s.bytes;
  const whole = new Set([28, ...blocks]);
  for (let n = 0; n < file.length; n++) {
    if (whole.has(n)) continue;
    const e = refusal(file.subarray(0, n));
    assert.ok(e.code === (n < 4 ? 'ERR_PCAP_TRUNCATED' : 'ERR_PCAPNG_TRUNCATED'), `cut at ${n}: ${e.code}`);
    assert.is(e.offset, [0, ...whole].filter(w => w <= n).sort((a, b) => b - a)[0], `cut at ${n}`);
    assert.ok(e.expected);
  }
});

test('every rule of pcapng that is broken is named', () => {
  const s = (): Section => new Section(true).interface();
  const cases: [code: string, file: Uint8Array][] = [
    ['ERR_PCAPNG_BYTE_ORDER', new Section(true).bytes.fill(7, 8, 12)],
    ['ERR_PCAPNG_VERSION', new Section(true, [2, 0]).bytes],
    ['ERR_PCAPNG_LENGTH', s().block(6, new Uint8Array(8)).bytes],
    ['ERR_PCAPNG_LENGTH', s().block(6, new Uint8Array(24), 37).bytes],
    ['ERR_PCAPNG_LENGTH', s().block(1, new Uint8Array(8), 0xfffffff0).bytes],
    ['ERR_PCAPNG_LENGTH', s().block(6, s().body().u32(0).u64(0n).u32(100).u32(100).raw(ping).bytes).bytes],
    ['ERR_PCAPNG_TRAILER', s().block(5, new Uint8Array(8), 20, 24).bytes],
    ['ERR_PCAPNG_TRAILER', s().block(6, new Uint8Array(20), 32, 0).bytes],
    ['ERR_PCAPNG_INTERFACE', s().enhanced(1, 0n, ping).bytes],
    ['ERR_PCAPNG_INTERFACE', new Section(true).simple(ping).bytes],
    ['ERR_PCAPNG_OPTION', new Section(true).interface(s().body().u16(2).u16(99).u32(0).bytes).bytes],
    ['ERR_PCAPNG_OPTION', new Section(true).interface(s().option(9, Uint8Array.of(6, 6))).bytes],
    ['ERR_PCAPNG_OPTION', new Section(true).interface(s().option(14, Uint8Array.of(6))).bytes],
  ];
  for (const [code, file] of cases) {
    const e = refusal(file);
    assert.is(e.code, code);
    assert.type(e.offset, 'number');
    assert.ok(e.expected, code);
  }
});

test('a file fed byte by byte gives the same packets', () => {
  const s = new Section(false);
  const files = [
    pcapFile(false, 0xa1b23c4d, [{ data: ping, seconds: 5 }, { data: pong }]),
    s
      .interface(s.option(9, Uint8Array.of(9)))
      .block(0x0bad, new Uint8Array(40))
      .enhanced(0, 77n, ping)
      .simple(pong).bytes,
  ];
  for (const file of files) {
    const parser = new CaptureParser();
    const got: CapturedPacket[] = [];
    for (const byte of file) {
      parser.push(Uint8Array.of(byte));
      for (let p = parser.next(); p; p = parser.next()) got.push(p);
    }
    parser.end();
    assert.equal(got, [...parseCapture(file)]);
  }
});

// ── writing ────────────────────────────────────────────────────────────────────────────────────────────────────────

test('what is written is read again, in ns exactly and in µs cut', () => {
  const packets = [
    { data: ping, timestampNs: 1_700_000_000_123_456_789n },
    { data: pong, timestampNs: 1n, originalLength: 1500 },
  ];
  assert.equal(all(encodePcap(packets)).map(brief), [
    [0, 1_700_000_000_123_456_789n, 60, 60],
    [0, 1n, 61, 1500],
  ]);
  assert.equal(all(encodePcap(packets, { resolution: 'us', snaplen: 20 })).map(brief), [
    [0, 1_700_000_000_123_456_000n, 20, 60],
    [0, 0n, 20, 1500],
  ]);
});

test('a file larger than the buffer is written whole, and one that cannot be made is refused', () =>
  inTemp(folder => {
    const file = join(folder, 'out.pcap');
    const writer = PcapWriter.create(file);
    const large = new Uint8Array(262_144).fill(9);
    for (let i = 0; i < 5; i++) {
      writer.write(large, BigInt(i));
      writer.write(ping, BigInt(i));
    }
    writer.close();
    writer.close();
    assert.is(writer.packets, 10);
    const got = [...readCapture(file)];
    assert.equal(
      got.map(p => p.data.length),
      [1, 2, 3, 4, 5].flatMap(() => [262_144, 60]),
    );
    assert.throws(
      () => writer.write(ping, 0n),
      (e: EtherloomError) => e.code === 'ERR_PCAP_CLOSED',
    );
    const missing = (act: () => unknown) =>
      assert.throws(act, (e: EtherloomError) => e.code === 'ERR_PCAP_FILE' && e.file !== undefined);
    missing(() => PcapWriter.create(join(folder, 'no', 'where.pcap')));
    missing(() => readCapture(join(folder, 'absent.pcap')));
    missing(() => [...readCapture(folder)]);
  }));

test('times that the format cannot hold are refused', () => {
  const code = (e: EtherloomError) => e.code === 'ERR_PCAP_TIME';
  assert.throws(() => encodePcap([{ data: ping, timestampNs: -1n }]), code);
  assert.throws(() => encodePcap([{ data: ping, timestampNs: 1n << 62n }]), code);
});

// ── others as oracle ───────────────────────────────────────────────────────────────────────────────────────────────

/** Time, captured and original length of every frame, as tshark has them. */
const bySharks = (file: string): string[] =>
  run('tshark', [
    '-n',
    '-r',
    file,
    '-T',
    'fields',
    '-e',
    'frame.time_epoch',
    '-e',
    'frame.cap_len',
    '-e',
    'frame.len',
  ])
    .trim()
    .split('\n');
const byUs = (file: string): string[] =>
  [...readCapture(file)].map(p => {
    const seconds = p.timestampNs / 1_000_000_000n;
    const ns = String(p.timestampNs % 1_000_000_000n).padStart(9, '0');
    return `${seconds}.${ns}\t${p.data.length}\t${p.originalLength}`;
  });

test(
  'the capture of real traffic: times and lengths are those that tshark reads',
  () => {
    assert.equal(byUs(REAL), bySharks(REAL));
  },
  { missing: tshark, timeoutMs: 60_000 },
);

test(
  'tshark reads the pcap that we write as it reads the original, bytes included',
  () =>
    inTemp(folder => {
      const ours = join(folder, 'ours.pcap');
      writeFileSync(ours, encodePcap(readCapture(REAL)));
      assert.equal(bySharks(ours), bySharks(REAL));
      const again = [...readCapture(ours)];
      let i = 0;
      for (const p of readCapture(REAL))
        assert.ok(Buffer.compare(p.data, again[i++].data) === 0, `packet ${i}`);
      assert.is(i, again.length);
    }),
  { missing: tshark, timeoutMs: 60_000 },
);

test(
  'formats that editcap writes are read: pcap µs, pcap ns, pcapng cut at 60 bytes',
  () =>
    inTemp(folder => {
      for (const [format, ...more] of [['pcap'], ['nsecpcap'], ['pcapng', '-s', '60']]) {
        const file = join(folder, format);
        run('editcap', ['-F', format, ...more, REAL, file]);
        assert.equal(byUs(file), bySharks(file), format);
      }
    }),
  { missing: editcap ?? tshark, timeoutMs: 60_000 },
);

test('the committed capture holds between 1,000 and 6,000 frames that fit an Ethernet link', () => {
  const packets = all(readFileSync(REAL));
  assert.ok(packets.length >= 1000 && packets.length <= 6000);
  assert.ok(packets.every(p => p.data.length <= 1514 && p.data.length === p.originalLength));
});
