/** The program of the AF_XDP NIC: what its rules take and what they leave, on interpreter, JIT and kernel. */
import { encodeRule, type RedirectRule } from '../../host/nic/af_xdp/rules.js';
import { fragments, icmpError } from '../forward/frames.js';
import { missingKernel } from '../support/helper_rig.js';
import { type PacketFields, packet } from '../support/packets.js';
import { programEngines } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bpf-progs: xsk_redirect');
const PASS = 2;

/** struct rule, as the program's types name its fields. */
function entry(rule: RedirectRule): Record<string, unknown> {
  const view = new DataView(encodeRule(rule).buffer);
  const words = (at: number) => [0, 4, 8, 12].map(i => view.getUint32(at + i, true));
  return {
    addr: words(0),
    mask: words(16),
    port_low: view.getUint16(32, true),
    port_high: view.getUint16(34, true),
    protocol: view.getUint8(36),
    family: view.getUint8(37),
    pad: 0,
  };
}

/** Runs packets under rules. No queue has a socket: what would be taken is counted as such and passes. */
function runner(rules: RedirectRule[], own = false) {
  const config = {
    rules: rules.map((r, key) => ({ key, value: entry(r) })),
    settings: [{ key: 0, value: { rules: rules.length, own: own ? 1 : 0 } }],
  };
  const set = programEngines('xsk_redirect', { kernel: missingKernel() === undefined, config });
  const seen = (): number[][] =>
    set.all.map(e => [0, 1, 2, 3].map(key => Number(e.contents('seen').get(`${key}`) ?? 0)));
  /** 'taken' or 'left', and whether its checksum was told as partial. */
  const fate = (data: Uint8Array): string => {
    const before = seen();
    for (const e of set.all) assert.is(e.run(data).retval, PASS, e.name);
    const fates = seen().map((now, i) => {
      const [, left, noSocket, partial] = now.map((n, k) => n - before[i][k]);
      assert.is(left + noSocket, 1, set.all[i].name);
      return `${left ? 'left' : 'taken'}${partial ? ' partial' : ''}`;
    });
    assert.is(new Set(fates).size, 1, `${set.all.map(e => e.name)}: ${fates}`);
    return fates[0];
  };
  return { ...set, fate, send: (f: PacketFields) => fate(packet(f)) };
}

test('a rule takes its protocol, address and port, and the kernel keeps the rest', () => {
  const { send, fate, close } = runner([
    { protocol: 'udp', address: '10.1.0.0/16', port: [7, 9] },
    { protocol: 'tcp', address: '2001:db8::/32', port: 80 },
    { protocol: 'icmp' },
  ]);
  const udp = (dst: string, dport: number) => send({ src: '10.9.9.9', dst, dport, protocol: 'udp' });
  assert.is(udp('10.1.2.3', 7), 'taken');
  assert.is(udp('10.1.255.255', 9), 'taken');
  assert.is(udp('10.1.2.3', 6), 'left');
  assert.is(udp('10.1.2.3', 10), 'left');
  assert.is(udp('10.2.0.0', 7), 'left');
  assert.is(send({ src: '10.9.9.9', dst: '10.1.2.3', dport: 7, protocol: 'tcp' }), 'left');
  assert.is(send({ src: 'fd00::1', dst: '2001:db8:1::1', dport: 80 }), 'taken');
  assert.is(send({ src: 'fd00::1', dst: '2001:db9::1', dport: 80 }), 'left');
  assert.is(send({ src: 'fd00::1', dst: '2001:db8:1::1', dport: 80, vlans: [7, 9] }), 'taken');
  assert.is(send({ src: 'fd00::1', dst: '2001:db8:1::1', dport: 80, vlans: [1, 2, 3] }), 'left');
  const arp = new Uint8Array(60);
  arp.set([8, 6], 12);
  assert.is(fate(arp), 'left');
  assert.is(fate(new Uint8Array(14)), 'left');
  close();
});

test('without rules nothing is taken, with own everything', () => {
  const none = runner([]);
  assert.is(none.send({ dport: 7, protocol: 'udp' }), 'left');
  none.close();
  const all = runner([], true);
  assert.is(all.send({ dport: 7, protocol: 'udp' }), 'taken');
  assert.is(all.fate(new Uint8Array(14)), 'taken');
  all.close();
});

for (const [src, dst] of [
  ['10.0.0.1', '10.0.0.2'],
  ['fd00::1', 'fd00::2'],
])
  test(`${src}: later fragments go where their first one went, and those of nobody to the kernel`, () => {
    const { fate, close } = runner([{ protocol: 'udp', port: 7 }]);
    const datagram = (dport: number, id: number) =>
      fragments(packet({ src, dst, dport, protocol: 'udp', payload: new Uint8Array(300) }), 104, id);
    const [taken, left, mixed] = [datagram(7, 1), datagram(9, 2), datagram(9, 1)];
    assert.is(fate(taken[1]), 'left', 'before its first nobody knows');
    for (const part of taken) assert.is(fate(part), 'taken');
    for (const part of left) assert.is(fate(part), 'left', 'other people’s');
    assert.is(fate(taken[1]), 'taken');
    assert.is(fate(mixed[0]), 'left', 'the number comes again');
    assert.is(fate(mixed[1]), 'left');
    close();
    const all = runner([{ protocol: 'udp', address: dst }]);
    assert.is(all.fate(taken[1]), 'taken', 'a rule without ports asks for no first fragment');
    all.close();
  });

for (const [mine, other] of [
  ['10.0.0.1', '10.0.0.2'],
  ['fd00::1', 'fd00::2'],
])
  test(`${mine}: ICMP errors about what rules take are taken, all other ICMP is left`, () => {
    const { fate, send, close } = runner([{ protocol: 'udp', address: mine, port: [7, 9] }]);
    const v6 = mine.includes(':');
    const sent = (f: PacketFields = {}) =>
      packet({ src: mine, dst: other, sport: 7, dport: 4000, protocol: 'udp', ...f });
    const error = (about: Uint8Array, f: PacketFields = {}) =>
      icmpError(about, { src: other, dst: mine, ...f });
    assert.is(fate(error(sent())), 'taken');
    assert.is(fate(error(sent(), { type: v6 ? 2 : 3, code: v6 ? 0 : 4 })), 'taken', 'too big');
    assert.is(fate(error(sent(), { type: v6 ? 3 : 11 })), 'taken', 'time exceeded');
    assert.is(fate(error(sent(), { vlans: [5] })), 'taken');
    assert.is(fate(error(sent({ sport: 10 }))), 'left', 'another port');
    assert.is(
      fate(error(sent({ sport: 10, dport: 7 }))),
      'left',
      'the far end’s port is the kernel’s affair',
    );
    assert.is(fate(error(sent({ protocol: 'tcp' }))), 'left', 'another protocol');
    assert.is(fate(error(sent({ src: v6 ? 'fd00::9' : '10.0.0.9' }))), 'left', 'not sent from here');
    assert.is(fate(error(sent(), { type: v6 ? 128 : 8 })), 'left', 'an echo that looks like it');
    assert.is(send({ src: other, dst: mine, protocol: 'icmp', ...(v6 ? { type: 128 } : {}) }), 'left');
    assert.is(fate(error(sent(), {}).subarray(0, v6 ? 100 : 60)), 'left', 'cut short');
    const [first, later] = fragments(sent({ payload: new Uint8Array(300) }), 104, 3);
    assert.is(fate(error(first)), 'taken', 'about a first fragment');
    assert.is(fate(error(later)), 'left', 'about a later one, which has no ports');
    close();
  });

test('extension headers do not hide a packet from its rule', () => {
  const { fate, close } = runner([{ protocol: 'udp', port: 7 }]);
  const v6 = packet({ src: 'fd00::1', dst: 'fd00::2', dport: 7, protocol: 'udp' });
  const extended = Uint8Array.from([
    ...v6.subarray(0, 18),
    0,
    (v6[19] + 24) & 255,
    0,
    ...v6.subarray(21, 54),
    ...[60, 0, 1, 4, 0, 0, 0, 0],
    ...[17, 1, 1, 12, ...new Array<number>(12).fill(0)],
    ...v6.subarray(54),
  ]);
  assert.is(fate(extended), 'taken');
  extended[54] = 59;
  assert.is(fate(extended), 'left', 'no next header');
  close();
});

test('a checksum that is only that of the pseudo header is told as partial', () => {
  const { fate, close } = runner([{ protocol: 'udp' }, { protocol: 'tcp' }]);
  for (const [protocol, src, dst] of [
    ['udp', '10.0.0.1', '10.0.0.2'],
    ['tcp', '10.0.0.1', '10.0.0.2'],
    ['udp', 'fd00::1', 'fd00::2'],
    ['tcp', 'fd00::1', 'fd00::2'],
  ] as const) {
    const data = packet({ src, dst, dport: 7, protocol });
    assert.is(fate(data), 'taken', `${protocol} ${src} in full`);
    const l4 = src.includes(':') ? 54 : 34;
    const addresses = src.includes(':') ? data.subarray(22, 54) : data.subarray(26, 34);
    let sum = (protocol === 'udp' ? 17 : 6) + (data.length - l4);
    for (let i = 0; i < addresses.length; i += 2) sum += (addresses[i] << 8) | addresses[i + 1];
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    data.set([sum >> 8, sum & 255], l4 + (protocol === 'udp' ? 6 : 16));
    assert.is(fate(data), 'taken partial', `${protocol} ${src}`);
  }
  close();
});

test('rules that cannot be are refused in words', () => {
  assert.throws(() => encodeRule({ protocol: 'icmp', port: 7 }), /port without a protocol/);
  assert.throws(() => encodeRule({ protocol: 'udp', port: [9, 7] }), /0 … 65535/);
  assert.throws(() => encodeRule({ protocol: 'udp', port: 65536 }), /0 … 65535/);
  assert.throws(() => encodeRule({ protocol: 'quic' as 'udp' }), /icmp, igmp, tcp, udp/);
  assert.throws(() => encodeRule({ address: '10.0.0.0/33' }), /prefix/);
});
