/** Each helper against the real kernel: the same calls in both, results, buffers, packets and contexts equal. */

import {
  frame,
  type HelperCase,
  missingKernel,
  runHere,
  runInKernel,
  type Step,
  show,
} from '../../support/helper_rig.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('helpers against the kernel');
const missing = missingKernel();

const bytes = (...b: number[]): Uint8Array => Uint8Array.from(b);
const text = (s: string): Uint8Array => new TextEncoder().encode(`${s}\0`);
/** u64 arguments one behind the other. */
function words(...values: (number | bigint)[]): Uint8Array {
  return new Uint8Array(BigUint64Array.from(values.map(v => BigInt.asUintN(64, BigInt(v)))).buffer);
}
const joined = (...parts: Uint8Array[]): Uint8Array => Uint8Array.from(parts.flatMap(p => [...p]));

/** IPv4/UDP with right checksums is not needed: helpers look at what they are told. */
const ip4 = frame(98, 0x0800);
ip4.set(bytes(0x45, 0, 0, 84, 0, 1, 0, 0, 64, 17, 0x12, 0x34, 10, 0, 0, 1, 10, 0, 0, 2), 14);
const ip6 = frame(98, 0x86dd);
ip6.set(bytes(0x60, 0x10, 0, 0, 0, 44, 17, 64), 14);
const vlan = frame(98, 0x8100);
vlan.set(bytes(0x20, 0x05, 0x08, 0x00), 14);
const vlan2 = frame(98, 0x88a8);
vlan2.set(bytes(0x20, 0x05, 0x81, 0x00, 0x00, 0x07, 0x86, 0xdd), 14);

/** Compares one case; the kernel's verifier must take it. */
function same(c: HelperCase): void {
  const kernel = runInKernel(c);
  const here = runHere(c);
  if (typeof kernel === 'string') {
    // The kernel's verifier reads constant formats at load; here the call itself refuses them.
    assert.match(kernel, /Invalid format string|call bpf_snprintf/);
    assert.is(here.results[0], -22n);
    return;
  }
  // The kernel gives a socket filter's link header back as zeros.
  if (c.type === 'socket_filter') here.packet.fill(0, 0, 14);
  assert.is(
    show(here),
    show(kernel),
    c.steps.map(s => `${s.helper}(${(s.args ?? []).map(String).join(', ')})`).join('; '),
  );
}

const step = (helper: string, ...args: NonNullable<Step['args']>): Step => ({ helper, args });

test(
  'xdp_adjust_head moves the start within headroom and packet, metadata along',
  () => {
    for (const by of [0, 14, -14, 49, 50, 51, 64, 100, -216, -217, -256, 0x7fffffff, -0x80000000])
      same({ steps: [step('xdp_adjust_head', 'ctx', by)] });
    for (const by of [-8, 8, -200, -204, -205])
      same({ steps: [step('xdp_adjust_meta', 'ctx', -8), step('xdp_adjust_head', 'ctx', by)] });
    same({ steps: [step('xdp_adjust_head', 'ctx', -20), step('xdp_adjust_head', 'ctx', 20)] });
  },
  { missing },
);

test(
  'xdp_adjust_meta keeps to multiples of four and the room before the packet',
  () => {
    for (const by of [0, -4, -8, -2, -32, -36, -216, -220, -252, -255, -256, 4, 8, 0x7fffffff, -0x80000000])
      same({ steps: [step('xdp_adjust_meta', 'ctx', by)] });
    same({ steps: [step('xdp_adjust_meta', 'ctx', -16), step('xdp_adjust_meta', 'ctx', 8)] });
    same({ steps: [step('xdp_adjust_meta', 'ctx', -16), step('xdp_adjust_meta', 'ctx', 20)] });
  },
  { missing },
);

test(
  'xdp_adjust_tail cuts down to an Ethernet header and grows by zeros',
  () => {
    for (const by of [0, -1, -50, -51, -64, 1, 100, 3456, 3457, 0x7fffffff, -0x80000000])
      same({ steps: [step('xdp_adjust_tail', 'ctx', by)] });
    same({ steps: [step('xdp_adjust_tail', 'ctx', -20), step('xdp_adjust_tail', 'ctx', 10)] });
  },
  { missing },
);

test(
  'xdp_load_bytes, xdp_store_bytes and xdp_get_buff_len know the packet’s end',
  () => {
    for (const [offset, len] of [
      [0, 16],
      [48, 16],
      [49, 16],
      [63, 1],
      [64, 1],
      [0xffff, 1],
      [0x10000, 1],
      [0xffffffff, 16],
    ]) {
      same({
        steps: [step('xdp_load_bytes', 'ctx', offset, { buf: 8 }, len), step('xdp_get_buff_len', 'ctx')],
      });
      same({
        steps: [step('xdp_store_bytes', 'ctx', offset, { buf: 0 }, len)],
        buf: bytes(9, 8, 7, 6, 5, 4, 3, 2, 1),
      });
    }
  },
  { missing },
);

test(
  'csum_diff adds, removes and replaces',
  () => {
    const buf = Uint8Array.from({ length: 192 }, (_, i) => (i * 73 + 11) & 0xff);
    for (const seed of [0, 1, 0xffff, 0x12345678, 0xffffffff])
      for (const [from, to] of [
        [0, 4],
        [4, 0],
        [4, 4],
        [16, 64],
        [64, 20],
        [0, 0],
        [128, 128],
      ])
        same({ steps: [step('csum_diff', { buf: 0 }, from, { buf: 60 }, to, seed)], buf });
    same({
      steps: [step('csum_diff', 0, 0, { buf: 0 }, 8, 5), step('csum_diff', { buf: 0 }, 8, 0, 0, 5)],
      buf,
    });
    same({ steps: [step('csum_diff', { buf: 0 }, 8, { buf: 0 }, 8, 0)], buf });
    for (const [from, to] of [
      [3, 4],
      [4, 5],
      [2, 2],
      [1, 0],
      [0, 7],
    ])
      same({ steps: [step('csum_diff', { buf: 0 }, from, { buf: 60 }, to, 7)], buf });
  },
  { missing },
);

test(
  'l3_csum_replace follows the field size and refuses what is outside',
  () => {
    for (const [offset, from, to, flags] of [
      [24, 0x1234, 0x4321, 2],
      [24, 0x11223344, 0x44332211, 4],
      [24, 0, 0x8765, 0],
      [24, 0, 0xffff8765, 0],
      [24, 1, 0x8765, 0],
      [24, 0xffffffff12, 0x1ffff0001, 2],
      [24, 0xffffffff12, 0x1ffff0001, 4],
      [24, 1, 2, 3],
      [24, 1, 2, 0x14],
      [25, 1, 2, 2],
      [96, 1, 2, 2],
      [98, 1, 2, 2],
      [0xffff, 1, 2, 2],
      [0x10000, 1, 2, 2],
    ])
      same({ type: 'tc', packet: ip4, steps: [step('l3_csum_replace', 'ctx', offset, from, to, flags)] });
  },
  { missing },
);

test(
  'l4_csum_replace keeps to its flags, mangled zero included',
  () => {
    const none = ip4.slice();
    none.fill(0, 40, 42);
    for (const packet of [ip4, none])
      for (const flags of [0x2, 0x4, 0x12, 0x14, 0x22, 0x24, 0x34, 0x62, 0x74, 0x84, 0x94, 0x3, 0x100, 0x8])
        for (const [from, to] of [
          [0x1234, 0x4321],
          [0x11223344, 0x44332211],
          [0xffff, 0],
        ])
          same({ type: 'tc', packet, steps: [step('l4_csum_replace', 'ctx', 40, from, to, flags)] });
    for (const flags of [0, 0x10, 0x20, 0x90])
      for (const from of [0, 5])
        same({
          type: 'tc',
          packet: ip4,
          steps: [step('l4_csum_replace', 'ctx', 40, from, 0xfedcba98, flags)],
        });
    for (const offset of [41, 96, 97, 98, 0x10000])
      same({ type: 'tc', packet: ip4, steps: [step('l4_csum_replace', 'ctx', offset, 1, 2, 2)] });
  },
  { missing },
);

test(
  'csum_update and csum_level answer as for a packet without offloads',
  () => {
    for (const level of [0, 1, 2, 3, 4])
      same({
        type: 'tc',
        packet: ip4,
        steps: [step('csum_level', 'ctx', level), step('csum_update', 'ctx', 77)],
      });
  },
  { missing },
);

test(
  'skb_load_bytes clears the buffer on failure, skb_store_bytes leaves the packet',
  () => {
    const buf = Uint8Array.from({ length: 32 }, (_, i) => 200 + i);
    for (const type of ['tc', 'socket_filter'] as const)
      for (const [offset, len] of [
        [0, 16],
        [82, 16],
        [83, 16],
        [84, 1],
        [97, 1],
        [98, 1],
        [0x7fffffff, 4],
        [0x80000000, 4],
        [0xffffffff, 4],
      ])
        same({ type, packet: ip4, buf, steps: [step('skb_load_bytes', 'ctx', offset, { buf: 4 }, len)] });
    for (const flags of [0, 1, 2, 3, 4])
      for (const offset of [0, 14, 90, 95, 0x7fffffff, 0x80000000])
        same({
          type: 'tc',
          packet: ip4,
          buf,
          steps: [step('skb_store_bytes', 'ctx', offset, { buf: 0 }, 8, flags)],
        });
  },
  { missing },
);

test(
  'skb_load_bytes_relative starts at the link or network header',
  () => {
    for (const type of ['tc', 'socket_filter'] as const)
      for (const start of [0, 1, 2])
        for (const [offset, len] of [
          [0, 8],
          [76, 8],
          [77, 8],
          [90, 8],
          [91, 8],
          [0xffff, 1],
          [0x10000, 1],
        ])
          same({
            type,
            packet: ip4,
            steps: [step('skb_load_bytes_relative', 'ctx', offset, { buf: 0 }, len, start)],
          });
  },
  { missing },
);

test(
  'skb_pull_data knows the length',
  () => {
    for (const len of [0, 1, 98, 99, 0xffffffff])
      same({ type: 'tc', packet: ip4, steps: [step('skb_pull_data', 'ctx', len)] });
  },
  { missing },
);

test(
  'skb_vlan_push and skb_vlan_pop keep one tag out of band',
  () => {
    const push = (proto: number, tci: number): Step => step('skb_vlan_push', 'ctx', proto, tci);
    const pop = step('skb_vlan_pop', 'ctx');
    for (const packet of [ip4, vlan, vlan2])
      for (const steps of [
        [push(0x0081, 5)],
        [push(0xa888, 0x1fff)],
        [push(0x1234, 7)],
        [pop],
        [pop, pop],
        [pop, pop, pop],
        [push(0x0081, 5), pop],
        [push(0x0081, 5), push(0xa888, 6)],
        [push(0x0081, 5), push(0xa888, 6), pop],
        [push(0x0081, 5), push(0xa888, 6), push(0x0081, 7), pop, pop],
      ])
        same({ type: 'tc', packet, steps });
  },
  { missing },
);

test(
  'skb_change_proto makes and removes the difference of the headers',
  () => {
    for (const packet of [ip4, ip6, vlan])
      for (const proto of [0x0008, 0xdd86, 0x0081])
        for (const flags of [0, 1])
          same({ type: 'tc', packet, steps: [step('skb_change_proto', 'ctx', proto, flags)] });
    same({
      type: 'tc',
      packet: ip4,
      steps: [step('skb_change_proto', 'ctx', 0xdd86, 0), step('skb_change_proto', 'ctx', 0x0008, 0)],
    });
  },
  { missing },
);

test(
  'skb_change_type takes the known types only',
  () => {
    for (const type of [0, 1, 2, 3, 4, 0xffffffff])
      same({ type: 'tc', packet: ip4, steps: [step('skb_change_type', 'ctx', type)] });
  },
  { missing },
);

test(
  'skb_adjust_room grows and shrinks after the link and the network header',
  () => {
    for (const packet of [ip4, ip6, vlan])
      for (const mode of [0, 1, 2])
        for (const by of [0, 8, 20, 40, -8, -20, -44, -64, -65, -84, 100, 0x1000, -0x1000])
          same({ type: 'tc', packet, steps: [step('skb_adjust_room', 'ctx', by, mode, 0)] });
    for (const flags of [1, 2, 4, 6, 2 | 8, 4 | 16, 2 | 24, 32, 2 | 64, 128, 256, 384, 512, 1024])
      for (const by of [20, 40, -20, -40])
        same({ type: 'tc', packet: ip4, steps: [step('skb_adjust_room', 'ctx', by, 1, flags)] });
    const l2 = (len: bigint): bigint => (len << 56n) | 2n | 64n;
    for (const len of [13n, 14n, 40n])
      same({ type: 'tc', packet: ip4, steps: [step('skb_adjust_room', 'ctx', 34, 1, l2(len))] });
    same({
      type: 'tc',
      packet: ip4,
      steps: [step('skb_adjust_room', 'ctx', 20, 1, 2), step('skb_adjust_room', 'ctx', 20, 1, 2)],
    });
    same({
      type: 'tc',
      packet: ip4,
      steps: [
        step('skb_adjust_room', 'ctx', 40, 1, 4),
        step('skb_change_tail', 'ctx', 60, 0),
        step('skb_adjust_room', 'ctx', -40, 1, 128),
      ],
    });
  },
  { missing },
);

test(
  'skb_change_tail and skb_change_head set length and room',
  () => {
    for (const len of [0, 13, 14, 60, 97, 98, 99, 300, 0xffff, 0xffffffff])
      for (const flags of [0, 1])
        same({ type: 'tc', packet: ip4, steps: [step('skb_change_tail', 'ctx', len, flags)] });
    for (const room of [0, 1, 14, 64, 0x7fffffff, 0x80000000])
      for (const flags of [0, 1])
        same({ type: 'tc', packet: ip4, steps: [step('skb_change_head', 'ctx', room, flags)] });
    same({
      type: 'tc',
      packet: ip4,
      steps: [
        step('skb_change_head', 'ctx', 14, 0),
        step('skb_load_bytes_relative', 'ctx', 0, { buf: 0 }, 8, 1),
        step('skb_change_tail', 'ctx', 20, 0),
        step('skb_adjust_room', 'ctx', 8, 1, 0),
      ],
    });
  },
  { missing },
);

test(
  'tunnel keys are kept with the packet, read back from the other side',
  () => {
    const key = joined(
      bytes(0x44, 0x33, 0x22, 0x11), // id
      bytes(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), // remote
      bytes(0x10, 64, 0, 0), // tos, ttl, ext
      bytes(0x78, 0x56, 0x34, 0x12), // label
      bytes(21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36), // local
    );
    const plain = key.slice();
    plain.fill(0, 24, 28);
    const ext = plain.slice();
    ext[22] = 1;
    const at = { buf: 0 };
    for (const buf of [key, plain, ext])
      for (const flags of [0, 1, 2, 4, 6, 8, 16, 32])
        for (const size of [44, 28, 24, 22, 8, 4, 40])
          same({
            type: 'tc',
            packet: ip4,
            buf,
            steps: [
              step('skb_set_tunnel_key', 'ctx', at, size, flags),
              step('skb_get_tunnel_key', 'ctx', { buf: 48 }, 44, flags & 1),
              step('skb_get_tunnel_key', 'ctx', { buf: 96 }, size, flags & 1),
            ],
          });
    same({ type: 'tc', packet: ip4, buf: key, steps: [step('skb_get_tunnel_key', 'ctx', at, 44, 0)] });
    same({
      type: 'tc',
      packet: ip4,
      buf: key,
      steps: [
        step('skb_set_tunnel_key', 'ctx', at, 44, 1),
        step('skb_get_tunnel_key', 'ctx', { buf: 48 }, 44, 0),
      ],
    });
  },
  { missing },
);

test(
  'set_hash is what get_hash_recalc gives, zero included',
  () => {
    for (const hash of [0, 1, 0xdeadbeef])
      same({
        type: 'tc',
        packet: ip4,
        steps: [step('set_hash', 'ctx', hash), step('get_hash_recalc', 'ctx')],
      });
  },
  { missing },
);

test(
  'skb_ecn_set_ce marks ECN-capable packets and mends the checksum',
  () => {
    for (const tos of [0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff])
      for (const check of [
        [0x12, 0x34],
        [0, 0],
        [0, 1],
        [0, 2],
        [0xff, 0xff],
        [0xff, 0xfe],
      ]) {
        const packet = ip4.slice();
        packet[15] = tos;
        packet.set(check, 24);
        same({ type: 'tc', packet, steps: [step('skb_ecn_set_ce', 'ctx')] });
      }
    for (const traffic of [0, 0x10, 0x20, 0x30, 0xff]) {
      const packet = ip6.slice();
      packet[15] = traffic;
      same({ type: 'tc', packet, steps: [step('skb_ecn_set_ce', 'ctx')] });
    }
  },
  { missing },
);

test(
  'skb_set_tstamp takes IP packets and the three clocks',
  () => {
    for (const packet of [ip4, vlan])
      for (const clock of [0, 1, 2, 3])
        for (const stamp of [0, 12345])
          same({ type: 'tc', packet, steps: [step('skb_set_tstamp', 'ctx', stamp, clock)] });
  },
  { missing },
);

test(
  'redirect helpers answer with verdicts',
  () => {
    for (const flags of [0, 1, 2, 8, 1n << 32n]) {
      same({ type: 'xdp', steps: [step('redirect', 1, flags)] });
      same({ type: 'tc', packet: ip4, steps: [step('redirect', 1, flags)] });
      same({ type: 'tc', packet: ip4, steps: [step('redirect_peer', 1, flags)] });
      same({ type: 'tc', packet: ip4, steps: [step('redirect_neigh', 1, 0, 0, flags)] });
    }
    for (const size of [1, 19, 20, 40])
      same({ type: 'tc', packet: ip4, steps: [step('redirect_neigh', 1, { buf: 0 }, size, 0)] });
    same({
      type: 'tc',
      packet: ip4,
      steps: [step('clone_redirect', 'ctx', 1, 2), step('clone_redirect', 'ctx', 250, 0)],
    });
  },
  { missing },
);

test(
  'strtol and strtoul read numbers as the kernel does',
  () => {
    const inputs = [
      '0', '42', '-42', '+42', '  17x', '\t\n 9', '0x1F', '0X1f', '0x', '0xg', '017', '08', '7fffffff', '-0x10', '', ' ',
      '-', '--1', '18446744073709551615', '18446744073709551616', '9223372036854775807', '9223372036854775808',
      '-9223372036854775808', '-9223372036854775809', '99999999999999999999999', '12 34', 'abc', 'ff', '00', '0 ',
      '0000000000000000000000000000000000000000000000000000000000000000001',
    ]; // biome-ignore format: a list
    for (const input of inputs)
      for (const base of [0, 8, 10, 16, 7, 32, 0x20])
        for (const helper of ['strtol', 'strtoul'])
          same({
            buf: joined(new Uint8Array(8).fill(0xee), text(input)),
            steps: [step(helper, { buf: 8 }, Math.max(1, input.length), base, { buf: 0 })],
          });
    for (const len of [1, 2, 3, 4])
      same({
        buf: joined(new Uint8Array(8), text('-123')),
        steps: [step('strtol', { buf: 8 }, len, 10, { buf: 0 })],
      });
  },
  { missing, timeoutMs: 60_000 },
);

test(
  'strncmp stops at the length, at NUL and at the first difference',
  () => {
    for (const mine of ['abc', 'abd', 'abb', 'ab', 'abcd', '', '\x80bc'])
      for (const len of [1, 3, 4, 8])
        same({ buf: text(mine), text: 'abc', steps: [step('strncmp', { buf: 0 }, len, { text: 0 })] });
  },
  { missing },
);

test(
  'snprintf formats and refuses what the kernel does',
  () => {
    const args = words(-5, 0xdeadbeefcafef00dn, 'A'.charCodeAt(0));
    const formats = [
      'plain', '%d', '%i', '%u', '%x', '%X', '%ld', '%lu', '%lx', '%lld', '%llu', '%llx', '%llX', '%d|%llx|%c', '%%', '100%% %d',
      '%5d|', '%-5d|', '%05d|', '%+d', '% d', '%+05d|', '%-+8d|', '%20llx|', '%020llX|', '%3c|', '%-3c|', '%1d', '%d %d %d',
      '%d %d %d %d', '%', '%z', '%hd', '%l', '%lc', '%5', '%.3d', '%o', '%f', '% ', '\x01', '\x7f', 'a\tb\n', '%-05d|', '%0-5d|', '%5%',
    ]; // biome-ignore format: a list
    for (const format of formats)
      for (const room of [0, 1, 8, 64])
        same({
          buf: joined(args, new Uint8Array(64).fill(0xaa)),
          text: format,
          steps: [step('snprintf', { buf: 24 }, room, { text: 0 }, { buf: 0 }, 24)],
        });
    for (const size of [0, 8, 16, 7, 12, 104])
      same({
        buf: args,
        text: '%d',
        steps: [step('snprintf', { buf: 104 }, 32, { text: 0 }, { buf: 0 }, size)],
      });
    same({ buf: args, text: 'x', steps: [step('snprintf', 0, 0, { text: 0 }, 0, 0)] });
  },
  { missing, timeoutMs: 60_000 },
);

test(
  'trace_printk and trace_vprintk return the length of the line',
  () => {
    const line = (format: string, ...args: number[]): void =>
      same({
        buf: text(format),
        steps: [step('trace_printk', { buf: 0 }, format.length + 1, ...args)],
      });
    line('hello');
    line('%d %x %lld', -1, 255, -1);
    line('%d %d %d', 1, 2, 3);
    line('%q', 1, 2, 3);
    same({ buf: text('no end'), steps: [step('trace_printk', { buf: 0 }, 4, 0, 0, 0)] });
    for (const size of [0, 8, 24, 7])
      same({
        buf: joined(words(1, 2, 3), text('%d')),
        steps: [step('trace_vprintk', { buf: 24 }, 3, { buf: 0 }, size)],
      });
  },
  { missing },
);

test(
  'helpers that need nothing return what they must',
  () => {
    same({ steps: [step('get_numa_node_id')] });
    same({ type: 'tc', packet: ip4, steps: [step('csum_level', 'ctx', 0)] });
  },
  { missing },
);
