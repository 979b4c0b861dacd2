import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseCapture } from '../../host/nic/pcap/parser.js';
import { readCapture } from '../../host/nic/pcap/reader.js';
import { dissect, ipv6Text, printLine, printNested } from '../../host/wire/index.js';
import { assert, suite } from '../support/suite.js';
import { missingTool, run } from '../support/tools.js';
import { bench, core, hex, status } from './headers.js';

const test = suite('wire: frames');
const REAL = fileURLToPath(new URL('../fixtures/capture/real-traffic.pcapng', import.meta.url));
const frames = [...parseCapture(readFileSync(REAL))].map(p => p.data);
/** Malformed frames on purpose were sent last; 41 of them (tests/fixtures/capture/malformed.py). */
const MALFORMED_BY = ['4711', '10.10.0.1'];

test('CE is set on ECN-capable IP behind tags, the checksum stays right, and nothing else is touched', () => {
  const v4 = '450200200000000040115fb70a0a00010a0a0002 12670fa0000c0000 70696e67';
  const v6 = (c: string): string =>
    `6${c}00000 0008 11 40 fd000010000000000000000000000001fd000010000000000000000000000002 1267 0fa0 0008 0000`;
  const eth = '02000000000b02000000000a';
  for (const [text, byte, to] of [
    [`${eth} 0800 ${v4}`, 15, '03'],
    [`${eth} 88a8 0001 8100 0064 0800 ${v4}`, 23, '03'],
    [`${eth} 86dd ${v6('01')}`, 15, '30'],
    [`${eth} 8100 0064 86dd ${v6('02')}`, 19, '30'],
    [`${eth} 0800 ${v4.replace('4502', '4500')}`, 0, ''],
    [`${eth} 0800 ${v4.replace('4502', '4503')}`, 0, ''],
    [`${eth} 86dd ${v6('00')}`, 0, ''],
    [`${eth} 0800 ${v4.replace('4502', '3502')}`, 0, ''],
    [`${eth} 0806 ${v4}`, 0, ''],
    [`${eth} 0800 4502`, 0, ''],
  ] as const) {
    const f = hex(text);
    const at = bench.putLast(f);
    if (to === '03') {
      core.ipv4_fill_checksum(at + byte - 1);
      f.set(bench.take(at, f.length));
    }
    const marked = core.frame_mark_ce(at, f.length);
    const now = bench.take(at, f.length);
    assert.is(Boolean(marked), to !== '', text);
    if (!to) assert.equal(now, f, text);
    else assert.is(Buffer.from(now).toString('hex', byte, byte + 1), to, text);
    if (to && text.includes(v4)) assert.ok(core.ipv4_checksum_ok(at + byte - 1), 'RFC 1624');
    if (to) assert.not.ok(core.frame_mark_ce(at, f.length), 'once');
  }
});

test('the core finds headers behind tags and extension headers', () => {
  const cases: [frame: string, found: string][] = [
    [
      '02000000000b02000000000a 0800 45000020000040004011 0000 0a0a00010a0a0002 1267 0fa0 000c 0000 70696e67',
      'OK 14 800 17 34 12',
    ],
    [
      '02000000000b02000000000a 8100 0064 86dd 60000000 0010 00 40 fd000010000000000000000000000001fd000010000000000000000000000002 1100010400000000 1267 0fa0 0008 0000',
      'OK 18 86dd 17 66 8',
    ],
    [
      '02000000000b02000000000a 0800 450000200000 0003 4011 0000 0a0a00010a0a0002 1267 0fa0 000c 0000 70696e67',
      'OK 14 800 17 0 0',
    ],
    ['02000000000b02000000000a 88b5 0000', 'OK 14 88b5 0 0 0'],
  ];
  for (const [text, found] of cases) {
    const f = hex(text);
    const s = status(core.frame_locate(bench.putLast(f), f.length));
    const got = [
      s,
      core.frame_l3_at(),
      core.frame_l3_type().toString(16),
      core.frame_l4_proto(),
      core.frame_l4_at(),
      core.frame_l4_bytes(),
    ];
    assert.is(got.join(' '), found);
  }
});

test('padding behind an IP packet is not part of it', () => {
  const f = hex(
    '02000000000b02000000000a 0800 4500001c0000400040110000 0a0a00010a0a0002 1267 0fa0 0008 0000 ffffffffffff',
  );
  assert.is(status(core.frame_check_frame(bench.putLast(f), f.length)), 'OK');
  assert.equal([core.frame_l3_end(), core.frame_l4_bytes(), f.length], [42, 8, 48]);
});

test('core and printers agree on every frame of the real capture, checksums included', () => {
  let refused = 0;
  let wrongSums = 0;
  for (const [i, f] of frames.entries()) {
    const at = bench.putLast(f);
    const said = status(core.frame_check_frame(at, f.length));
    const layers = dissect(f);
    assert.is(layers.at(-1)!.problem ?? 'OK', said, `frame ${i + 1}: ${printLine(f)}`);
    if (said !== 'OK') refused++;
    else {
      const ok = !!core.frame_checksums_ok(at);
      assert.is(
        layers.every(l => l.fields.checksumOk !== false),
        ok,
        `frame ${i + 1}: ${printLine(f)}`,
      );
      if (!ok) wrongSums++;
    }
  }
  // Only the frames that were malformed on purpose, and no traffic of the kernel.
  assert.ok(
    refused > 15 && refused + wrongSums < 41,
    `${refused} refused, ${wrongSums} with wrong checksums`,
  );
});

const FIELDS = [
  'ip.src',
  'ip.dst',
  'ip.ttl',
  'ip.id',
  'ipv6.src',
  'ipv6.dst',
  'ipv6.hlim',
  'tcp.srcport',
  'tcp.dstport',
  'tcp.seq_raw',
  'tcp.ack_raw',
  'tcp.flags',
  'tcp.window_size_value',
  'tcp.len',
  'udp.srcport',
  'udp.dstport',
  'udp.length',
  'icmp.type',
  'icmp.code',
  'icmpv6.type',
  'arp.opcode',
  'arp.src.proto_ipv4',
  'vlan.id',
];

test(
  'the printers read every sound frame of the real capture as tshark does',
  () => {
    const rows = run('tshark', [
      '-n',
      '-r',
      REAL,
      '-o',
      'ip.defragment:FALSE',
      '-o',
      'ipv6.defragment:FALSE',
      '-T',
      'fields',
      '-E',
      'occurrence=f',
      ...FIELDS.flatMap(f => ['-e', f]),
    ]).split('\n');
    let compared = 0;
    for (const [i, frame] of frames.entries()) {
      const layers = dissect(frame);
      const theirs = Object.fromEntries(rows[i].split('\t').map((v, k) => [FIELDS[k], v]));
      // Errors quote the packet they are about; ours and tshark's opinions on damaged frames may differ.
      if (layers.at(-1)!.problem || Object.values(theirs).includes(MALFORMED_BY[0])) continue;
      const of = (name: string): Record<string, unknown> | undefined =>
        layers.find(l => l.name === name)?.fields;
      const [eth, v4, v6, tcp, udp, icmp, icmp6, arp] = [
        'eth',
        'ipv4',
        'ipv6',
        'tcp',
        'udp',
        'icmp',
        'icmpv6',
        'arp',
      ].map(of);
      const flags =
        tcp &&
        `0x${(((frame[layers.at(-1)!.at + 12] & 15) << 8) | Number(tcp.flags)).toString(16).padStart(4, '0')}`;
      const ours = [
        v4?.src,
        v4?.dst,
        v4?.ttl,
        v4 && `0x${Number(v4.id).toString(16).padStart(4, '0')}`,
        v6?.src,
        v6?.dst,
        v6?.hopLimit,
        tcp?.srcPort,
        tcp?.dstPort,
        tcp?.seq,
        tcp?.ack,
        flags,
        tcp?.window,
        tcp?.length,
        udp?.srcPort,
        udp?.dstPort,
        udp?.length,
        icmp?.type,
        icmp?.code,
        icmp6?.type,
        arp?.oper,
        arp?.spa,
        eth?.vlans && String(eth.vlans).split(',').at(-1),
      ];
      // An ICMP error quotes an IP packet, whose fields tshark lists too: with `occurrence=f` only where ours are empty.
      const quoting = icmp || icmp6;
      for (const [k, mine] of ours.entries()) {
        if (mine === undefined && quoting) continue;
        assert.is(String(mine ?? ''), theirs[FIELDS[k]], `frame ${i + 1} ${FIELDS[k]}: ${printLine(frame)}`);
      }
      compared++;
    }
    assert.ok(compared > 3000, `${compared} compared`);
  },
  { missing: missingTool('tshark'), timeoutMs: 60_000 },
);

test('addresses are written as RFC 5952 wants', () => {
  const text = (h: string): string => ipv6Text(hex(h));
  assert.is(text('20010db8000000000000000000000001'), '2001:db8::1');
  assert.is(text('20010db8000000010001000100010001'), '2001:db8:0:1:1:1:1:1', 'one group is not shortened');
  assert.is(text('20010000000000010000000000000001'), '2001:0:0:1::1', 'the longest run');
  assert.is(text('20010db8000000000001000000000001'), '2001:db8::1:0:0:1', 'the first of equals');
  assert.is(text('00000000000000000000000000000000'), '::');
});

test('one line a packet, as in the golden file', () => {
  const golden = readFileSync(new URL('./trace.golden.md', import.meta.url), 'utf8');
  const wanted = [...golden.matchAll(/^## (.+)\n\n```\n([\s\S]*?)\n```\n\n```\n([\s\S]*?)\n```/gm)];
  assert.ok(wanted.length >= 15);
  for (const [, claim, bytes, text] of wanted) {
    const frame = hex(bytes);
    assert.is(`${printLine(frame)}\n${printNested(frame)}`, text, claim);
  }
});

test('a dump shows every byte', () => {
  const text = printNested(hex('02000000000b02000000000a88b568692100'), true);
  assert.is(
    text,
    'eth 02:00:00:00:00:0a > 02:00:00:00:00:0b, type 0x88b5\n' +
      '    0000  02 00 00 00 00 0b 02 00 00 00 00 0a 88 b5 68 69  ..............hi\n' +
      '    0010  21 00                                            !.',
  );
});

test('every prefix of every kind of frame is printed without a throw', () => {
  const kinds = new Map<string, Uint8Array>();
  for (const { data } of readCapture(REAL))
    kinds.set(
      dissect(data)
        .map(l => l.name + (l.problem ?? ''))
        .join(),
      data,
    );
  assert.ok(kinds.size > 20);
  for (const frame of kinds.values())
    for (let n = 0; n <= Math.min(frame.length, 120); n++)
      assert.ok(printLine(frame.subarray(0, n)).length > 0);
});
