/** docs/wireshark/homa.lua: tshark reads every packet of our captures, field by field, as it was built. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PcapWriter, readCapture } from '../../host/nic/pcap/index.js';
import {
  buildHoma,
  HOMA_MARK,
  HOMA_PROTOCOL,
  HOMA_RESEND_ALL,
  type HomaAck,
  type HomaPacket,
  HomaType,
  parseHoma,
} from '../../host/wire/homa.js';
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { missingTool, run } from '../support/tools.js';
import { EACH, EDGES, homaFrame } from './packets.js';
import { inWorld } from './world.js';

const test = suite('homa: wireshark');
const SCRIPT = fileURLToPath(new URL('../../docs/wireshark/homa.lua', import.meta.url));
const missing = missingTool('tshark');

type Tree = { [name: string]: Tree | string | (Tree | string)[] };

/** All values of a field, wherever in the tree. */
function values(tree: Tree, name: string): string[] {
  return Object.entries(tree).flatMap(([key, value]) =>
    [value].flat().flatMap(v => (typeof v === 'string' ? (key === name ? [v] : []) : values(v, name))),
  );
}

/** The Homa layer of each frame, as tshark has it. */
function dissected(frames: Uint8Array[]): { homa: Tree; info: string; all: string }[] {
  const folder = mkdtempSync(join(tmpdir(), 'etherloom-homa-'));
  try {
    const file = join(folder, 'homa.pcap');
    const writer = PcapWriter.create(file);
    for (const [i, frame] of frames.entries()) writer.write(frame, BigInt(i + 1) * 1_000_000_000n);
    writer.close();
    const args = ['-X', `lua_script:${SCRIPT}`, '-r', file];
    // Two fields of a name are two members of a name without --no-duplicate-keys.
    const packets = JSON.parse(run('tshark', [...args, '-T', 'json', '--no-duplicate-keys'])) as {
      _source: { layers: Tree };
    }[];
    const infos = run('tshark', [...args, '-T', 'fields', '-e', '_ws.col.Info'])
      .trimEnd()
      .split('\n');
    return packets.map(({ _source: { layers } }, i) => ({
      homa: layers.homa as Tree,
      info: infos[i],
      all: JSON.stringify(layers),
    }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const acksOf = (p: HomaPacket): readonly HomaAck[] =>
  p.type === 'ACK' ? p.acks : p.type === 'DATA' ? [p.ack ?? { clientId: 0n, serverPort: 0 }] : [];

/** Every field that tshark must show, with all its values. */
function expected(p: HomaPacket): Record<string, (number | bigint)[]> {
  const acks = acksOf(p);
  return {
    'homa.sport': [p.sport],
    'homa.dport': [p.dport],
    'homa.sequence': [p.type === 'DATA' ? p.offset : 0],
    'homa.mark': [p.marked ? HOMA_MARK : 0],
    'homa.type': [HomaType[p.type]],
    'homa.doff': [p.type === 'DATA' ? 13 : 5],
    'homa.flags': [p.flags ?? 0],
    'homa.window': [0],
    'homa.checksum': [0],
    'homa.urgent': [0],
    'homa.sender_id': [p.senderId],
    'homa.rpc': [p.senderId & ~1n],
    'homa.ack.client_id': acks.map(a => a.clientId),
    'homa.ack.server_port': acks.map(a => a.serverPort),
    'homa.message_length': p.type === 'DATA' ? [p.messageLength] : [],
    'homa.incoming': p.type === 'DATA' ? [p.incoming] : [],
    'homa.retransmit': p.type === 'DATA' ? [p.retransmit ? 1 : 0] : [],
    'homa.data_length': p.type === 'DATA' ? [p.payload.length] : [],
    'homa.offset': 'offset' in p ? [p.offset] : [],
    'homa.length': p.type === 'RESEND' ? [p.length] : [],
    'homa.priority': 'priority' in p ? [p.priority] : [],
    'homa.unsched_cutoff': p.type === 'CUTOFFS' ? [...p.cutoffs] : [],
    'homa.cutoff_version': 'cutoffVersion' in p ? [p.cutoffVersion] : [],
    'homa.num_acks': p.type === 'ACK' ? [p.acks.length] : [],
  };
}

const PACKETS = [...EACH, ...EDGES];

for (const [how, fields] of [
  ['IPv4', {}],
  ['IPv6', { src: 'fd00::1', dst: 'fd00::2' }],
  ['an 802.1Q tag', { tagged: true, priority: 6 }],
] as const)
  test(
    `every packet type and every field, behind ${how}`,
    () => {
      const got = dissected(PACKETS.map(p => homaFrame(p, fields)));
      assert.is(got.length, PACKETS.length);
      for (const [i, packet] of PACKETS.entries()) {
        const { homa, info, all } = got[i];
        for (const [name, want] of Object.entries(expected(packet)))
          assert.equal(values(homa, name).map(BigInt), want.map(BigInt), `${packet.type}: ${name}`);
        const payload = packet.type === 'DATA' ? Buffer.from(packet.payload).toString('hex') : '';
        assert.is(values(homa, 'homa.data').join('').replaceAll(':', ''), payload);
        assert.ok(info.includes(` ${packet.type} rpc ${packet.senderId & ~1n}`), info);
        assert.not.match(all, /_ws\.(malformed|expert)|_ws\.lua\.error/i);
      }
      assert.match(got[EACH.length + 1].info, / all$/, `a RESEND of ${HOMA_RESEND_ALL} is of all`);
    },
    { missing },
  );

test(
  'what is damaged is said to be, and stops nothing: too short, no type, lengths that contradict each other',
  () => {
    const damaged = (i: number, change: (homa: Uint8Array) => Uint8Array): Uint8Array => {
      const frame = homaFrame(EACH[i]);
      const bytes = change(buildHoma(EACH[i]));
      const out = new Uint8Array(34 + bytes.length);
      out.set(frame.subarray(0, 34));
      out.set(bytes, 34);
      new DataView(out.buffer).setUint16(16, 20 + bytes.length);
      return out;
    };
    const at = (where: number, value: number) => (p: Uint8Array) => {
      p[where] = value;
      return p;
    };
    const got = dissected([
      damaged(0, p => p.subarray(0, 55)),
      damaged(3, p => p.subarray(0, 20)),
      damaged(3, at(11, 0x33)),
      damaged(0, at(53, 0xff)),
      damaged(8, at(29, 200)),
      homaFrame(EACH[1]),
    ]);
    const experts = got.map(g => /homa\.(truncated|unknown_type|bad_length)/.exec(g.all)?.[1]);
    assert.equal(experts, ['truncated', 'truncated', 'unknown_type', 'bad_length', 'bad_length', undefined]);
    for (const g of got) assert.not.match(g.all, /lua\.error/i);
  },
  { missing },
);

test(
  'what our programs send, over a wire that loses: every packet is read as what it is',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-homa-'));
    try {
      const file = join(folder, 'calls.pcap');
      await inWorld({ captured: file, loss: 0.05, delayNs: 10_000, rate: 10e9 }, w => {
        for (const family of [4, 6] as const)
          for (const n of [0, 10, 3000, 200_000]) w.call(pattern(n), { family });
      });
      const packets: HomaPacket[] = [];
      for (const { data } of readCapture(file)) {
        const v6 = data[12] === 0x86;
        if (data[v6 ? 20 : 23] !== HOMA_PROTOCOL) continue;
        const from = v6 ? 54 : 34;
        const dv = new DataView(data.buffer, data.byteOffset);
        const packet = parseHoma(data.subarray(from, v6 ? 54 + dv.getUint16(18) : 14 + dv.getUint16(16)));
        assert.not(
          'problem' in packet,
          JSON.stringify(packet, (_, v) => (typeof v === 'bigint' ? `${v}` : v)),
        );
        packets.push(packet as HomaPacket);
      }
      const args = ['-X', `lua_script:${SCRIPT}`, '-r', file, '-Y', 'homa', '-T', 'fields'];
      const lines = run('tshark', [
        ...args,
        '-e',
        'homa.type',
        '-e',
        'homa.sender_id',
        '-e',
        '_ws.expert',
      ]).trimEnd();
      const seen = lines.split('\n').map(line => line.split('\t'));
      assert.is(seen.length, packets.length);
      for (const [i, p] of packets.entries())
        assert.equal(
          [Number(seen[i][0]), BigInt(seen[i][1]), seen[i][2] ?? ''],
          [HomaType[p.type], p.senderId, ''],
        );
      const types = new Set(packets.map(p => p.type));
      for (const type of ['DATA', 'GRANT', 'RESEND', 'NEED_ACK', 'ACK'] as const)
        assert.ok(types.has(type), type);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { missing },
);
