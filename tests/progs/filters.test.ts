/** What each program of bpf-progs is for, packet by packet, on the interpreter and the JIT. */

import type { MapConfig } from '../../host/bpf/config.js';
import type { RingBufMap } from '../../host/bpf/maps/index.js';
import { type PacketFields, packet, read } from '../support/packets.js';
import { type ProgramEngine, programEngines, type Verdict } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bpf-progs');
const DROP = 1;
const PASS = 2;
const TX = 3;

/** Runs a packet on all engines, which must agree, and gives the outcome. */
function runner(name: string, config?: MapConfig, program?: string) {
  const set = programEngines(name, { kernel: false, config, program });
  const run = (data: Uint8Array, nowNs?: bigint): Verdict => {
    const [first, ...others] = set.all.map(e => e.run(data, nowNs));
    for (const o of others) assert.equal(o, first);
    return first;
  };
  return { ...set, run, send: (f: PacketFields, nowNs?: bigint) => run(packet(f), nowNs) };
}

const row = (engine: ProgramEngine, map: string, key: unknown): unknown =>
  engine.contents(map).get(JSON.stringify(key));

test('parse_drop drops its ports through tags and extension headers, and what lies about its length', () => {
  const { run, send, jit } = runner('parse_drop');
  assert.is(send({ dport: 22 }).retval, DROP);
  assert.is(send({ dport: 23 }).retval, PASS);
  assert.is(send({ dport: 22, protocol: 'udp' }).retval, PASS);
  assert.is(send({ dport: 4001, protocol: 'udp', vlans: [7, 9] }).retval, DROP);
  assert.is(send({ dport: 22, vlans: [1, 2, 3] }).retval, PASS, 'a third tag is not looked through');
  const v6 = packet({ src: 'fd00::1', dst: 'fd00::2', dport: 22 });
  assert.is(run(v6).retval, DROP);
  // Hop-by-hop options (8 B), then destination options (16 B), then TCP.
  const extended = Uint8Array.from([
    ...v6.subarray(0, 14 + 6), 0, 64, ...v6.subarray(14 + 8, 54),
    60, 0, 1, 4, 0, 0, 0, 0, 6, 1, 1, 12, ...new Array(12).fill(0), ...v6.subarray(54),
  ]); // biome-ignore format: bytes
  extended[19] += 24;
  assert.is(run(extended).retval, DROP);
  const late = packet({ src: 'fd00::1', dst: 'fd00::2', dport: 22 });
  late[14 + 6] = 44; // a fragment header where TCP begins: offset 0x0016, not the first
  assert.is(run(late).retval, PASS);
  const cut = packet({ dport: 80 }).subarray(0, 50);
  assert.is(run(cut).retval, DROP, 'the total length says more than there is');
  assert.is(run(Uint8Array.from([...cut.subarray(0, 12), 8, 6, ...cut.subarray(14)])).retval, PASS, 'ARP');
  assert.equal(
    [0, 1, 2, 3, 4].map(k => Number(row(jit, 'outcomes', k))),
    [2, 2, 1, 1, 4],
  );
});

test('firewall: denied prefixes first, then exact rules, services and the default, all counted', () => {
  const { send, run, jit } = runner('firewall', {
    settings: [{ key: 0, value: { default_action: 1, fragments: 1, not_ip: 0 } }],
    deny4: [
      { key: { prefixlen: 8, addr: '10.0.0.0' }, value: 10 },
      { key: { prefixlen: 32, addr: '192.0.2.9' }, value: 11 },
    ],
    deny6: [{ key: { prefixlen: 64, addr: 'fd00:bad::' }, value: 12 }],
    rules: [
      {
        key: { dst: ['198.51.100.1'], dport: 'be16:443', protocol: 6, family: 2 },
        value: { id: 20, action: 0 },
      },
      {
        key: {
          src: ['192.0.2.7'],
          dst: ['198.51.100.1'],
          sport: 'be16:5000',
          dport: 'be16:443',
          protocol: 6,
          family: 2,
        },
        value: { id: 21, action: 1 },
      },
      { key: { dst: 'fd00::2', dport: 'be16:53', protocol: 17, family: 10 }, value: { id: 22, action: 0 } },
    ],
  });
  const https = { dst: '198.51.100.1', dport: 443 };
  assert.is(send({ ...https, src: '10.1.2.3' }).retval, DROP);
  assert.is(send({ ...https, src: '192.0.2.9' }).retval, DROP);
  assert.is(send({ ...https, src: '192.0.2.8' }).retval, PASS);
  assert.is(send({ ...https, src: '192.0.2.7', sport: 5000 }).retval, DROP, 'the exact rule wins');
  assert.is(send({ ...https, src: '192.0.2.7', sport: 5001 }).retval, PASS);
  assert.is(send({ ...https, src: '192.0.2.7', dport: 80 }).retval, DROP, 'default');
  assert.is(send({ src: 'fd00:bad::1', dst: 'fd00::2', protocol: 'udp', dport: 53 }).retval, DROP);
  assert.is(send({ src: 'fd00::1', dst: 'fd00::2', protocol: 'udp', dport: 53 }).retval, PASS);
  assert.is(send({ ...https, src: '192.0.2.8', fragment: 0x2001 }).retval, DROP, 'a later fragment');
  assert.is(run(new Uint8Array(60)).retval, PASS, 'no IP');
  const counted = [10, 11, 20, 21, 0, 12, 22, 3, 2].map(k => {
    const c = row(jit, 'counters', k) as { packets: bigint; bytes: bigint };
    return [Number(c.packets), Number(c.bytes)];
  });
  const tcp = packet().length;
  assert.equal(counted, [
    [1, tcp], [1, tcp], [2, 2 * tcp], [1, tcp], [1, tcp], [1, tcp + 20 - 12], [1, tcp + 20 - 12], [1, tcp], [1, 60],
  ]); // biome-ignore format: pairs
});

const LB: MapConfig = {
  local: [{ key: 0, value: { addr4: '192.0.2.1', addr6: 'fd00::1', mac: '02:00:00:00:00:aa' } }],
  vips: [
    {
      key: { addr: ['203.0.113.1'], port: 'be16:80', protocol: 6, family: 2 },
      value: { number: 0, flags: 0 },
    },
    {
      key: { addr: ['203.0.113.1'], port: 'be16:53', protocol: 17, family: 2 },
      value: { number: 1, flags: 1 },
    },
    { key: { addr: 'fd00::80', port: 'be16:80', protocol: 6, family: 10 }, value: { number: 2, flags: 1 } },
  ],
  backends: [1, 2, 3]
    .map(n => ({
      key: n,
      value: { addr: [`10.9.0.${n}`], port: 'be16:8080', family: 2, up: 1, mac: `02:00:00:00:09:0${n}` },
    }))
    .concat([
      {
        key: 4,
        value: { addr: 'fd00:9::4' as never, port: 'be16:0', family: 10, up: 1, mac: '02:00:00:00:09:04' },
      },
    ]),
  returns: [1, 2, 3].map(n => ({
    key: { addr: [`10.9.0.${n}`], port: 'be16:8080', protocol: 6, family: 2 },
    value: { addr: ['203.0.113.1'], port: 'be16:80', protocol: 6, family: 2 },
  })),
  rings: [0, 1, 2].flatMap(v =>
    Array.from({ length: 251 }, (_, i) => ({ key: v * 251 + i, value: v === 2 ? 4 : 1 + (i % 3) })),
  ),
};

test('l4lb spreads connections by DNAT, keeps each with its backend, and undoes it on the way back', () => {
  const { send, all, jit } = runner('l4lb', LB);
  const chosen = new Map<string, number>();
  const flows = Array.from({ length: 90 }, (_, i) => ({
    src: `198.51.100.${i + 1}`,
    dst: '203.0.113.1',
    sport: 2000 + i,
  }));
  const backendOf: string[] = [];
  for (const f of flows) {
    const out = send({ ...f, flags: 2 });
    assert.is(out.retval, TX);
    const seen = read(out.data);
    assert.ok(seen.sound, 'every checksum holds');
    assert.is(seen.dport, 8080);
    assert.is(seen.dmac, `02:00:00:00:09:0${seen.dst.at(-1)}`);
    assert.is(seen.smac, '02:00:00:00:00:aa');
    chosen.set(seen.dst, (chosen.get(seen.dst) ?? 0) + 1);
    backendOf.push(seen.dst);
  }
  assert.equal([...chosen.keys()].sort(), ['10.9.0.1', '10.9.0.2', '10.9.0.3']);
  for (const n of chosen.values()) assert.ok(n > 15, `a fair share: ${[...chosen]}`);
  // The ring changes; connections stay, new ones follow the ring.
  for (const e of all) for (let i = 0; i < 251; i++) e.set('rings', i, 1);
  for (const [i, f] of flows.entries()) assert.is(read(send({ ...f, flags: 16 }).data).dst, backendOf[i]);
  assert.is(read(send({ ...flows[0], sport: 9, flags: 2 }).data).dst, '10.9.0.1');
  // A backend that is down loses its connections to the ring.
  for (const e of all)
    e.set('backends', 2, {
      addr: ['10.9.0.2'],
      port: 'be16:8080',
      family: 2,
      up: 0,
      mac: '02:00:00:00:09:02',
    });
  flows.forEach((f, i) => {
    if (backendOf[i] === '10.9.0.2') assert.is(read(send({ ...f, flags: 16 }).data).dst, '10.9.0.1');
  });
  const back = send({ src: '10.9.0.3', dst: '198.51.100.5', sport: 8080, dport: 2004 });
  assert.is(back.retval, PASS);
  const answer = read(back.data);
  assert.equal([answer.src, answer.sport, answer.sound], ['203.0.113.1', 80, true]);
  const stats = row(jit, 'vip_stats', 0) as { packets: bigint };
  assert.ok(Number(stats.packets) > 180);
});

test('l4lb encapsulates: the inner packet is untouched, the outer header is right', () => {
  const { run, send } = runner('l4lb', LB);
  const inner4 = packet({ src: '198.51.100.7', dst: '203.0.113.1', protocol: 'udp', sport: 999, dport: 53 });
  const out4 = run(inner4);
  assert.is(out4.retval, TX);
  const outer4 = read(out4.data);
  assert.equal([outer4.src, outer4.protocol, outer4.sound], ['192.0.2.1', 4, true]);
  assert.match(outer4.dst, /^10\.9\.0\.[123]$/);
  assert.equal(outer4.l4, inner4.slice(14));
  const inner6 = packet({ src: 'fd00::5', dst: 'fd00::80', flags: 2 });
  const outer6 = read(run(inner6).data);
  assert.equal(
    [outer6.src, outer6.dst, outer6.protocol, outer6.dmac],
    ['fd00::1', 'fd00:9::4', 41, '02:00:00:00:09:04'],
  );
  assert.equal(outer6.l4, inner6.slice(14));
  assert.is(send({ dst: '203.0.113.1', fragment: 0x2000 }).retval, PASS, 'fragments go up');
  assert.is(send({ dst: '203.0.113.9' }).retval, PASS, 'no VIP');
});

const NAT: MapConfig = {
  settings: [
    {
      key: 0,
      value: {
        external: '203.0.113.1',
        inside: '192.168.0.0',
        mask: '255.255.0.0',
        first_port: 20000,
        last_port: 20099,
      },
    },
  ],
  forwards: [{ key: { port: 'be16:443', protocol: 6 }, value: { addr: '192.168.7.7', port: 'be16:8443' } }],
};

for (const protocol of ['tcp', 'udp', 'icmp'] as const)
  test(`nat: a ${protocol} connection from inside gets an external port and its answers come back`, () => {
    const { run, send } = runner('nat', NAT);
    const out = read(
      send({ src: '192.168.1.5', dst: '198.51.100.1', protocol, sport: 5555, dport: 80 }).data,
    );
    assert.is(out.src, '203.0.113.1');
    assert.ok(out.sport >= 20000 && out.sport <= 20099, `port ${out.sport}`);
    assert.ok(out.sound);
    const again = read(
      send({ src: '192.168.1.5', dst: '198.51.100.1', protocol, sport: 5555, dport: 80 }).data,
    );
    assert.is(again.sport, out.sport, 'the mapping stays');
    const answer: PacketFields =
      protocol === 'icmp'
        ? { protocol, src: '198.51.100.1', dst: '203.0.113.1', type: 0, sport: out.sport }
        : { protocol, src: '198.51.100.1', dst: '203.0.113.1', sport: 80, dport: out.sport };
    const back = read(run(packet(answer)).data);
    assert.equal(
      [back.dst, protocol === 'icmp' ? back.sport : back.dport, back.sound],
      ['192.168.1.5', 5555, true],
    );
    const stranger = packet({ ...answer, src: '198.51.100.2' });
    assert.equal(run(stranger), { retval: PASS, data: stranger }, 'another sender has no mapping');
  });

test('nat: a forwarded port leads inside, its answers leave from the external address', () => {
  const { send } = runner('nat', NAT);
  const inbound = read(
    send({ src: '198.51.100.3', dst: '203.0.113.1', sport: 777, dport: 443, flags: 2 }).data,
  );
  assert.equal([inbound.dst, inbound.dport, inbound.sound], ['192.168.7.7', 8443, true]);
  const back = read(
    send({ src: '192.168.7.7', dst: '198.51.100.3', sport: 8443, dport: 777, flags: 18 }).data,
  );
  assert.equal([back.src, back.sport, back.sound], ['203.0.113.1', 443, true]);
});

test('nat: ports run out with an error, not with a mix-up', () => {
  const { send } = runner('nat', {
    ...NAT,
    settings: [
      {
        key: 0,
        value: {
          external: '203.0.113.1',
          inside: '192.168.0.0',
          mask: '255.255.0.0',
          first_port: 30000,
          last_port: 30003,
        },
      },
    ],
  });
  const seen = new Set<number>();
  for (let i = 0; i < 4; i++)
    seen.add(read(send({ src: '192.168.1.1', dst: '198.51.100.1', sport: 100 + i }).data).sport);
  assert.is(seen.size, 4, 'four connections to one place, four ports');
  assert.is(send({ src: '192.168.1.1', dst: '198.51.100.1', sport: 200 }).retval, DROP);
  const other = read(send({ src: '192.168.1.1', dst: '198.51.100.2', sport: 200 }).data);
  assert.ok(seen.has(other.sport), 'to another place the same port serves again');
});

test('nat: ICMP errors about a connection are translated with the packet that they quote', () => {
  for (const protocol of ['udp', 'tcp'] as const) {
    const { send, run } = runner('nat', NAT);
    const sent = send({ src: '192.168.1.5', dst: '198.51.100.1', protocol, sport: 5555, dport: 80 }).data;
    const error = packet({
      src: '198.51.100.254', dst: '203.0.113.1', protocol: 'icmp', type: 3, code: 3, sport: 0, payload: sent.slice(14, 14 + 28),
    }); // biome-ignore format: fields
    const back = read(run(error).data);
    assert.equal([back.dst, back.sound], ['192.168.1.5', true], protocol);
    const quoted = back.l4.slice(8);
    assert.equal([...quoted.subarray(12, 16)], [192, 168, 1, 5]);
    assert.is((quoted[20] << 8) | quoted[21], 5555);
    let sum = 0;
    for (let i = 0; i < 20; i += 2) sum += (quoted[i] << 8) | quoted[i + 1];
    assert.is((sum & 0xffff) + (sum >>> 16), 0xffff, 'the quoted header checksum holds');
  }
});

test('router ages packets, rewrites both addresses, and sends up what it may not forward', () => {
  const hop = (port: number, mtu: number, n: number) => ({
    kind: 0, port, mtu, smac: `02:00:00:00:${n}1:01`, dmac: `02:00:00:00:${n}1:02`,
  }); // biome-ignore format: one hop
  const { send, run } = runner('router', {
    nexthops: [
      { key: 1, value: hop(0, 1500, 1) },
      { key: 2, value: hop(1, 100, 2) },
      { key: 3, value: { kind: 2, mtu: 1500 } },
      { key: 4, value: { kind: 1, mtu: 1500 } },
    ],
    routes4: [
      { key: { prefixlen: 8, addr: '10.0.0.0' }, value: 1 },
      { key: { prefixlen: 16, addr: '10.1.0.0' }, value: 2 },
      { key: { prefixlen: 24, addr: '10.1.1.0' }, value: 3 },
      { key: { prefixlen: 32, addr: '10.1.1.1' }, value: 4 },
    ],
    routes6: [{ key: { prefixlen: 32, addr: 'fd00::' }, value: 1 }],
  });
  const dst = (d: string, more: PacketFields = {}) => send({ src: '192.0.2.1', dst: d, ...more });
  for (let ttl = 2; ttl < 256; ttl++) {
    const out = read(dst('10.9.9.9', { ttl }).data);
    assert.equal(
      [out.ttl, out.sound, out.smac, out.dmac],
      [ttl - 1, true, '02:00:00:00:11:01', '02:00:00:00:11:02'],
    );
  }
  const same = (data: Uint8Array): void => assert.equal(run(data), { retval: PASS, data });
  same(packet({ dst: '10.9.9.9', ttl: 1 }));
  same(packet({ dst: '11.0.0.1' }));
  same(packet({ dst: '10.1.1.1' }));
  same(packet({ dst: '10.1.2.1', payload: new Uint8Array(100) }));
  same(packet({ dst: '10.9.9.9', dmac: 'ff:ff:ff:ff:ff:ff' }));
  assert.is(read(dst('10.1.2.1').data).dmac, '02:00:00:00:21:02');
  assert.is(dst('10.1.1.7').retval, DROP, 'blackhole');
  const v6 = read(send({ src: 'fd01::1', dst: 'fd00::77', ttl: 9 }).data);
  assert.equal([v6.ttl, v6.dmac], [8, '02:00:00:00:11:02']);
  same(packet({ src: 'fd01::1', dst: 'fd01::77' }));
});

test('port_knock opens after three right knocks in time, per source, and closes again', () => {
  const second = 1_000_000_000n;
  const { send } = runner('port_knock', {
    settings: [
      {
        key: 0,
        value: { step_ns: 5_000_000_000, open_ns: 20_000_000_000, knocks: [7001, 8001, 9001], guarded: 22 },
      },
    ],
  });
  const peer = (src: string): string => (src.includes(':') ? 'fd00::22' : '10.0.0.22');
  const knock = (src: string, dport: number, at: bigint, protocol: 'tcp' | 'udp' = 'tcp') =>
    send({ src, dst: peer(src), dport, protocol, flags: 2 }, at * second);
  const ssh = (src: string, at: bigint) => send({ src, dst: peer(src), dport: 22 }, at * second).retval;
  const a = '192.0.2.1';
  assert.is(ssh(a, 1n), DROP);
  for (const [i, port] of [7001, 8001, 9001].entries()) {
    assert.is(knock(a, port, 2n + BigInt(i)).retval, DROP, 'nothing answers a knock');
    assert.is(ssh(a, 2n + BigInt(i)), i === 2 ? PASS : DROP);
  }
  assert.is(ssh('192.0.2.2', 5n), DROP, 'another source');
  assert.is(ssh(a, 24n), PASS, 'each packet keeps it open');
  assert.is(ssh(a, 43n), PASS);
  assert.is(ssh(a, 64n), DROP, 'idle for too long');
  const b = 'fd00::9';
  for (const port of [7001, 9001, 8001]) knock(b, port, 70n);
  assert.is(ssh(b, 71n), DROP, 'wrong order');
  for (const port of [7001, 8001, 9001]) knock(b, port, 72n, 'udp');
  assert.is(ssh(b, 73n), PASS, 'UDP knocks count');
  const c = '192.0.2.3';
  knock(c, 7001, 80n);
  knock(c, 8001, 86n);
  knock(c, 9001, 87n);
  assert.is(ssh(c, 88n), DROP, 'too slow');
});

test('flow_stats counts each flow and samples its first and every n-th packet', () => {
  const { send, jit, interp } = runner('flow_stats', { settings: [{ key: 0, value: { sample_every: 4 } }] });
  for (let i = 0; i < 9; i++) send({ sport: 1000, flags: i === 0 ? 2 : 16 }, BigInt(i + 1));
  send({ src: 'fd00::1', dst: 'fd00::2', protocol: 'udp', dport: 53 }, 99n);
  const flows = [...jit.contents('flows').values()] as {
    packets: bigint;
    first_ns: bigint;
    last_ns: bigint;
    tcp_flags: number;
  }[];
  const tcp = flows.find(f => f.packets === 9n)!;
  assert.equal([tcp.first_ns, tcp.last_ns, tcp.tcp_flags], [1n, 9n, 18]);
  for (const engine of [jit, interp]) {
    const samples = engine.map<RingBufMap>('samples').poll();
    assert.is(samples.length, 4, 'packets 1, 4 and 8 of the one, 1 of the other');
  }
});

test('tc_mark sets DSCP and mends the checksum, tc_vlan tags by source', () => {
  const config: MapConfig = {
    classes: [{ key: 53, value: 46 }],
    vlans: [{ key: { prefixlen: 24, addr: '10.7.0.0' }, value: 300 }],
  };
  const mark = runner('tc_edge', config, 'tc_mark');
  const out = mark.send({ protocol: 'udp', dport: 53 });
  assert.equal([out.retval, out.data[15], read(out.data).sound], [0, 46 << 2, true]);
  const plain = packet({ protocol: 'udp', dport: 54 });
  assert.equal(mark.run(plain).data, plain);
});
