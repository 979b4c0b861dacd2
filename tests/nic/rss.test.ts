import fc from 'fast-check';
import { Arena } from '../../host/mem/arena.js';
import { instantiateCore } from '../../host/mem/core.js';
import { RSS_ENTRIES, RssTable, SYMMETRIC_KEY } from '../../host/nic/rss.js';
import { Bench, hex } from '../support/core.js';
import { assert, suite } from '../support/suite.js';

const test = suite('nic: receive side scaling');
const bench = new Bench();
const { core } = bench;
const KEY_AT = 8192;

/** Verification vectors of the RSS specification (Microsoft, "Verifying the RSS Hash Calculation"). */
const MICROSOFT_KEY = hex('6d5a56da255b0ec24167253d43a38fb0d0ca2bcbae7b30b477cb2da38030f20c6a42b73bbeac01fa');
const VECTORS: [src: string, srcPort: number, dst: string, dstPort: number, ip: number, tcp: number][] = [
  ['66.9.149.187', 2794, '161.142.100.80', 1766, 0x323e8fc2, 0x51ccc178],
  ['199.92.111.2', 14230, '65.69.140.83', 4739, 0xd718262a, 0xc626b0ea],
  ['24.19.198.95', 12898, '12.22.207.184', 38024, 0xd2d0a5de, 0x5c2b394a],
  ['38.27.205.30', 48228, '209.142.163.6', 2217, 0x82989176, 0xafc7327f],
  ['153.39.163.191', 44251, '202.188.127.2', 1303, 0x5d1809c5, 0x10e828a2],
  ['3ffe:2501:200:1fff::7', 2794, '3ffe:2501:200:3::1', 1766, 0x2cc18cd5, 0x40207d3d],
  ['3ffe:501:8::260:97ff:fe40:efab', 14230, 'ff02::1', 4739, 0x0f0c461c, 0xdde51bbf],
  ['3ffe:1900:4545:3:200:f8ff:fe21:67cf', 44251, 'fe80::200:f8ff:fe21:67cf', 38024, 0x4b61e985, 0x02d1feef],
];

function address(text: string): number[] {
  if (text.includes('.')) return text.split('.').map(Number);
  const [left, right] = text.split('::').map(half => (half ? half.split(':') : []));
  const groups = right ? [...left, ...new Array(8 - left.length - right.length).fill('0'), ...right] : left;
  return groups.flatMap(g => [Number.parseInt(g, 16) >> 8, Number.parseInt(g, 16) & 255]);
}
const port = (n: number): number[] => [n >> 8, n & 255];

function toeplitz(key: Uint8Array, input: number[]): number {
  const at = bench.put(input);
  return core.rss_toeplitz(bench.put([...key, 0, 0, 0, 0], KEY_AT), at, input.length) >>> 0;
}
const hash = (frame: ArrayLike<number>): number => core.rss_hash(bench.putLast(frame), frame.length) >>> 0;

interface Flow {
  src: number[];
  dst: number[];
  srcPort: number;
  dstPort: number;
}
interface Shape {
  tags?: number;
  proto?: number;
  /** IPv4: the flags-and-offset word. */
  fragment?: number;
  /** IPv6: extension headers before the transport header. */
  extensions?: number[];
  options?: number;
}

/** A frame of this flow, from the ground up: independent of the code under test. */
function frame(
  f: Flow,
  { tags = 0, proto = 6, fragment = 0, extensions = [], options = 0 }: Shape = {},
): number[] {
  const l4 = [...port(f.srcPort), ...port(f.dstPort), ...new Array(16).fill(7)];
  const macs = new Array(12).fill(2);
  const tag = Array.from({ length: tags }, (_, i) => [
    i + 1 < tags ? 0x88 : 0x81,
    i + 1 < tags ? 0xa8 : 0,
    0,
    5,
  ]).flat();
  if (f.src.length === 4) {
    const total = 20 + options * 4 + l4.length;
    const ip = [
      0x45 + options,
      0,
      ...port(total),
      0,
      0,
      ...port(fragment),
      64,
      proto,
      0,
      0,
      ...f.src,
      ...f.dst,
    ];
    return [...macs, ...tag, 8, 0, ...ip, ...new Array(options * 4).fill(1), ...l4];
  }
  const chain = extensions.flatMap((kind, i) => [
    extensions[i + 1] ?? proto,
    0,
    0,
    kind === 44 ? 1 : 0,
    0,
    0,
    0,
    9,
  ]);
  const ip = [
    0x60,
    0,
    0,
    0,
    ...port(chain.length + l4.length),
    extensions[0] ?? proto,
    64,
    ...f.src,
    ...f.dst,
  ];
  return [...macs, ...tag, 0x86, 0xdd, ...ip, ...chain, ...l4];
}
const back = (f: Flow): Flow => ({ src: f.dst, dst: f.src, srcPort: f.dstPort, dstPort: f.srcPort });

const ports = { srcPort: fc.nat(65535), dstPort: fc.nat(65535) };
const addr = (bytes: number) => fc.array(fc.nat(255), { minLength: bytes, maxLength: bytes });
const flow4 = fc.record({ src: addr(4), dst: addr(4), ...ports });
const flow6 = fc.record({ src: addr(16), dst: addr(16), ...ports });
const flow = fc.oneof(flow4, flow6);

test('Toeplitz agrees with the verification vectors of the specification', () => {
  for (const [src, srcPort, dst, dstPort, ip, tcp] of VECTORS) {
    const addresses = [...address(src), ...address(dst)];
    assert.is(toeplitz(MICROSOFT_KEY, addresses), ip, `${src} → ${dst}`);
    assert.is(
      toeplitz(MICROSOFT_KEY, [...addresses, ...port(srcPort), ...port(dstPort)]),
      tcp,
      `${src}:${srcPort}`,
    );
  }
});

test('the fast hash of a frame is Toeplitz over its 4-tuple with the symmetric key', () => {
  fc.assert(
    fc.property(flow, fc.constantFrom(6, 17), (f, proto) => {
      const tuple = [...f.src, ...f.dst, ...port(f.srcPort), ...port(f.dstPort)];
      assert.is(hash(frame(f, { proto })), toeplitz(SYMMETRIC_KEY, tuple));
    }),
    { numRuns: 500 },
  );
});

test('both directions of a flow hash alike', () => {
  fc.assert(
    fc.property(flow, fc.constantFrom(6, 17, 1, 50), (f, proto) => {
      assert.is(hash(frame(f, { proto })), hash(frame(back(f), { proto })));
    }),
    { numRuns: 500 },
  );
});

test('tags, IP options and extension headers do not change the hash', () => {
  fc.assert(
    fc.property(flow4, fc.nat(2), fc.nat(10), (f, tags, options) => {
      assert.is(hash(frame(f, { tags, options })), hash(frame(f)));
    }),
  );
  fc.assert(
    fc.property(
      flow6,
      fc.nat(2),
      fc.array(fc.constantFrom(0, 43, 60), { maxLength: 5 }),
      (f, tags, extensions) => {
        assert.is(hash(frame(f, { tags, extensions })), hash(frame(f)));
      },
    ),
  );
});

test('every fragment of a packet goes by addresses only, the first one too', () => {
  fc.assert(
    fc.property(flow4, fc.integer({ min: 1, max: 0x1fff }), (f, offset) => {
      const addresses = toeplitz(SYMMETRIC_KEY, [...f.src, ...f.dst]);
      assert.is(hash(frame(f, { fragment: 0x2000 })), addresses, 'first');
      assert.is(hash(frame(f, { fragment: 0x2000 | offset })), addresses, 'middle');
      assert.is(hash(frame(f, { fragment: offset })), addresses, 'last');
      assert.is(hash(frame(f, { fragment: 0x4000 })), hash(frame(f)), 'do-not-fragment is no fragment');
    }),
  );
  fc.assert(
    fc.property(flow6, f => {
      assert.is(hash(frame(f, { extensions: [44] })), toeplitz(SYMMETRIC_KEY, [...f.src, ...f.dst]));
    }),
  );
});

test('the short way for plain packets says what the long way says', () => {
  // A tag sends a packet the long way and changes nothing else.
  const bytes = fc.uint8Array({ minLength: 0, maxLength: 48 });
  fc.assert(
    fc.property(
      bytes,
      fc.nat(48),
      fc.constantFrom(6, 17, 1),
      fc.constantFrom(0, 0x2000, 5),
      (rest, total, proto, frag) => {
        const ip = [0x45, 0, ...port(total), 0, 0, ...port(frag), 64, proto, ...rest];
        const macs = new Array(12).fill(2);
        const plain = hash([...macs, 8, 0, ...ip]);
        assert.is(plain, hash([...macs, 0x81, 0, 0, 5, 8, 0, ...ip]));
      },
    ),
    { numRuns: 2000 },
  );
});

test('what is not IP, or is malformed, hashes to 0 and is never read past its end', () => {
  const f: Flow = { src: [10, 0, 0, 1], dst: [10, 0, 0, 2], srcPort: 1, dstPort: 80 };
  const good = frame(f, { tags: 1 });
  for (let n = 0; n < good.length; n++) assert.is(hash(good.slice(0, n)), 0, `${n} bytes`);
  assert.is.not(hash(good), 0);
  assert.is(hash([...new Array(12).fill(2), 8, 6, ...new Array(28).fill(1)]), 0, 'ARP');
  const badIhl = frame(f);
  badIhl[14] = 0x44;
  assert.is(hash(badIhl), 0, 'bad IHL');
});

test('flows spread over queues within 15 % of even', () => {
  const arena = Arena.create({ lanes: 1, frames: 16, mapBytes: 4096 });
  const exports = instantiateCore(arena, 0).exports;
  const table = RssTable.create(arena, 4);
  const counts = [0, 0, 0, 0];
  for (let i = 0; i < 8000; i++) {
    const f = frame({
      src: [10, 1, i >> 8, i & 255],
      dst: [10, 2, 0, 1],
      srcPort: 1024 + i * 3,
      dstPort: 80,
    });
    arena.u8.set(f, arena.header.packetAt);
    const h = exports.rss_hash(arena.header.packetAt, f.length);
    const queue = exports.rss_queue(table.at, h);
    assert.is(queue, table.queue(h));
    counts[queue]++;
  }
  for (const n of counts) assert.ok(Math.abs(n - 2000) < 300, counts.join(' '));
});

test('the indirection table can be written entry by entry and refuses what it has not', () => {
  const table = RssTable.create(bench.arena, 2);
  assert.equal(
    [0, 1, 2, 3].map(i => table.get(i)),
    [0, 1, 0, 1],
  );
  table.set(2, 7);
  assert.is(core.rss_queue(table.at, 2 + RSS_ENTRIES), 7);
  const code = (e: { code: string }) => e.code === 'ERR_RSS_QUEUES';
  assert.throws(() => table.set(RSS_ENTRIES, 0), code);
  assert.throws(() => table.spread(0), code);
  table.free();
});
