/** bpf_fib_lookup and friends against the routes that the engine holds. */

import { type Route, Routes } from '../../../host/engine/routes.js';
import { PortLayout, PortView, SkBuffLayout, XdpContextLayout } from '../../../host/layout/layout.gen.js';
import { Arena } from '../../../host/mem/arena.js';
import { instantiateCore } from '../../../host/mem/core.js';
import { parseIp } from '../../../host/wire/address.js';
import { random } from '../../support/random.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('helpers: fib_lookup');

const arena = Arena.create({ lanes: 1, frames: 16, scratchBytes: 16 << 20 });
const core = instantiateCore(arena, 1);
const params = arena.scratch.alloc(64, 64);
const ctx = arena.scratch.alloc(Math.max(XdpContextLayout.size, SkBuffLayout.size), 64);
for (const i of [1, 2, 3]) {
  const port = new PortView(arena.dv, arena.header.portsAt + i * PortLayout.size);
  port.ifindex = i;
  port.flags = 1;
  port.mtu = 1000 + i * 100;
  arena.u8.set([2, 0, 0, 0, 0, i], arena.header.portsAt + i * PortLayout.size + PortLayout.mac);
}

const RET = {
  success: 0, blackhole: 1, unreachable: 2, prohibit: 3, notForwarded: 4, disabled: 5, noNeighbour: 7, tooBig: 8, noSource: 9,
} as const; // biome-ignore format: one row
const DIRECT = 1;
const OUTPUT = 2;
const SKIP_NEIGH = 4;
const TBID = 8;
const SRC = 16;

interface Asked {
  dst: string;
  src?: string;
  port?: number;
  length?: number;
  table?: number;
  flags?: number;
  tc?: boolean;
  /** Bytes of the packet of a tc lookup without length. */
  packet?: number;
}

/** struct bpf_fib_lookup after the call. */
function ask(a: Asked) {
  const dst = parseIp(a.dst);
  const at = params;
  arena.u8.fill(0, at, at + 64);
  arena.u8[at] = dst.length === 4 ? 2 : 10;
  arena.dv.setUint16(at + 6, a.length ?? (a.tc ? 0 : 100), true);
  arena.dv.setUint32(at + 8, a.port ?? 1, true);
  if (a.src) arena.u8.set(parseIp(a.src), at + 16);
  arena.u8.set(dst, at + 32);
  arena.dv.setUint32(at + 48, a.table ?? 0, true);
  arena.dv.setUint32(ctx + SkBuffLayout.len, a.packet ?? 0, true);
  const lookup = a.tc ? core.exports.skb_fib_lookup : core.exports.xdp_fib_lookup;
  const ret = lookup(ctx, at, 64, a.flags ?? SKIP_NEIGH);
  return {
    ret,
    port: arena.dv.getUint32(at + 8, true),
    metric: arena.dv.getUint32(at + 12, true),
    mtu: arena.dv.getUint16(at + 6, true),
    family: arena.u8[at],
    src: [...arena.u8.subarray(at + 16, at + 32)],
    hop: [...arena.u8.subarray(at + 32, at + 48)],
    vlan: arena.dv.getUint32(at + 48, true),
    smac: [...arena.u8.subarray(at + 52, at + 58)],
    dmac: [...arena.u8.subarray(at + 58, at + 64)],
  };
}

/** Fresh routes over the same arena. */
function routes(...list: Route[]): Routes {
  const r = new Routes(arena);
  r.batch(() => {
    for (const route of list) r.add(route);
  });
  return r;
}

test('the longest prefix wins, then the lowest metric', () => {
  routes(
    { prefix: '0.0.0.0/0', port: 1, metric: 7 },
    { prefix: '10.0.0.0/8', port: 2, metric: 20 },
    { prefix: '10.0.0.0/8', port: 3, metric: 10 },
    { prefix: '10.1.0.0/16', port: 1, metric: 1 },
    { prefix: '255.255.255.255/32', port: 2, metric: 5 },
  );
  assert.equal(
    ['9.9.9.9', '10.0.0.0', '10.255.255.255', '10.1.2.3', '11.0.0.0', '255.255.255.255', '0.0.0.0'].map(dst => {
      const a = ask({ dst });
      return [a.ret, a.port, a.metric];
    }),
    [[0, 1, 7], [0, 3, 10], [0, 3, 10], [0, 1, 1], [0, 1, 7], [0, 2, 5], [0, 1, 7]],
  ); // biome-ignore format: pairs
});

test('10,000 random routes: every lookup agrees with a search through the list', () => {
  const next = random(7);
  const r = new Routes(arena);
  const list: { first: number; bits: number; port: number }[] = [];
  r.batch(() => {
    for (let i = 0; i < 10_000; i++) {
      const bits = 4 + (next() % 29);
      const first = bits === 32 ? next() : (next() >>> (32 - bits)) * 2 ** (32 - bits);
      const text = [24, 16, 8, 0].map(s => (first >>> s) & 255).join('.');
      if (list.some(l => l.first === first && l.bits === bits)) continue;
      const port = 1 + (next() % 3);
      list.push({ first, bits, port });
      r.add({ prefix: `${text}/${bits}`, port });
    }
  });
  list.sort((a, b) => b.bits - a.bits);
  for (let i = 0; i < 2000; i++) {
    const base = list[next() % list.length];
    const addr = i % 2 ? next() : (base.first + (next() % 2 ** (32 - base.bits)) + (i % 3) - 1) >>> 0;
    const best = list.find(l => addr >= l.first && addr < l.first + 2 ** (32 - l.bits));
    const got = ask({ dst: [24, 16, 8, 0].map(s => (addr >>> s) & 255).join('.') });
    assert.equal(got.ret === 0 ? got.port : undefined, best?.port);
  }
});

test('IPv6 prefixes of every length are told apart', () => {
  const r = new Routes(arena);
  r.batch(() => {
    r.add({ prefix: '::/0', port: 3 });
    for (let bits = 16; bits <= 128; bits += 16)
      r.add({ prefix: `2001:db8:1:2:3:4:5:6/${bits}`, port: 1 + ((bits / 16) % 2), metric: bits });
  });
  const words = ['2001', 'db8', '1', '2', '3', '4', '5', '6'];
  for (let same = 0; same <= 8; same++) {
    const dst = words.map((w, i) => (i < same ? w : 'ffff')).join(':');
    assert.is(ask({ dst: same === 0 ? '4000::1' : dst, src: '2001::1' }).metric, same * 16, dst);
  }
});

test('what is not forwarded says why', () => {
  const r = routes(
    { prefix: '10.1.0.0/16', type: 'blackhole' },
    { prefix: '10.2.0.0/16', type: 'unreachable' },
    { prefix: '10.3.0.0/16', type: 'prohibit' },
    { prefix: '10.4.0.0/16', port: 1, type: 'local', table: 255 },
    { prefix: '10.4.0.0/16', port: 2 },
    { prefix: '10.5.0.0/16', port: 2 },
    { prefix: '10.5.5.0/24', type: 'throw', table: 255 },
    { prefix: 'fe80::/64', port: 2 },
    { prefix: 'ff00::/8', port: 2 },
  );
  const ret = (dst: string, more: Partial<Asked> = {}): number => ask({ dst, ...more }).ret;
  assert.is(ret('10.1.0.1'), RET.blackhole);
  assert.is(ret('10.2.0.1'), RET.unreachable);
  assert.is(ret('10.3.0.1'), RET.prohibit);
  assert.is(ret('10.4.0.1'), RET.notForwarded, 'local');
  assert.is(ret('10.9.0.1'), RET.notForwarded, 'no route');
  assert.is(ret('10.5.5.1'), RET.success, 'throw goes on with the next table');
  assert.is(ret('fe80::1', { src: 'fd00::1' }), RET.notForwarded);
  assert.is(ret('ff02::1', { src: 'fd00::1' }), RET.notForwarded);
  assert.is(ret('10.5.0.1', { port: 99 }), -19);
  assert.is(ret('10.5.0.1', { port: 0 }), -19);
  r.setForwarding(1, 4, false);
  assert.is(ret('10.5.0.1'), RET.disabled);
  assert.is(ret('10.5.0.1', { port: 2 }), RET.success);
  r.setForwarding(1, 4, true);
  assert.is(ret('10.5.0.1'), RET.success);
});

test('arguments that the kernel refuses are refused', () => {
  const { xdp_fib_lookup, skb_fib_lookup } = core.exports;
  for (const lookup of [xdp_fib_lookup, skb_fib_lookup]) {
    arena.u8[params] = 2;
    assert.is(lookup(ctx, params, 63, 0), -22);
    assert.is(lookup(ctx, params, 64, 64), -22);
    arena.u8[params] = 7;
    assert.is(lookup(ctx, params, 64, 0), -97);
  }
});

test('MTU: of the route, of the port, and of a tc packet without length', () => {
  routes({ prefix: '10.0.0.0/8', port: 2 }, { prefix: '10.1.0.0/16', port: 2, mtu: 500 });
  assert.equal(
    [ask({ dst: '10.0.0.1', length: 1200 }).ret, ask({ dst: '10.0.0.1', length: 1200 }).mtu],
    [0, 1200],
  );
  const big = ask({ dst: '10.0.0.1', length: 1201 });
  assert.equal([big.ret, big.mtu, big.port], [RET.tooBig, 1200, 1]);
  assert.equal(
    [ask({ dst: '10.1.0.1', length: 501 }).ret, ask({ dst: '10.1.0.1', length: 501 }).mtu],
    [RET.tooBig, 500],
  );
  assert.is(ask({ dst: '10.0.0.1', tc: true, packet: 1200 + 18 }).ret, 0);
  const long = ask({ dst: '10.0.0.1', tc: true, packet: 1200 + 19 });
  assert.equal([long.ret, long.mtu], [RET.tooBig, 1200]);
});

test('gateways and neighbours fill in the next hop', () => {
  const r = routes(
    { prefix: '10.0.0.0/8', port: 2, via: '192.0.2.1' },
    { prefix: '11.0.0.0/8', port: 3, via: 'fd00::1' },
    { prefix: '12.0.0.0/8', port: 2, source: '12.0.0.9' },
    { prefix: 'fd01::/16', port: 2, via: 'fd00::2' },
  );
  r.addNeighbour({ port: 2, address: '192.0.2.1', mac: '02:11:22:33:44:55' });
  r.addNeighbour({ port: 3, address: 'fd00::1', mac: '02:66:77:88:99:aa' });
  const v4 = ask({ dst: '10.1.1.1', flags: 0 });
  assert.equal(
    [v4.ret, v4.hop.slice(0, 4), v4.dmac, v4.smac],
    [0, [192, 0, 2, 1], [2, 0x11, 0x22, 0x33, 0x44, 0x55], [2, 0, 0, 0, 0, 2]],
  );
  const via6 = ask({ dst: '11.1.1.1', flags: 0 });
  assert.equal([via6.ret, via6.family, via6.hop[15], via6.dmac[1]], [0, 10, 1, 0x66]);
  assert.is(ask({ dst: '12.0.0.1', flags: 0 }).ret, RET.noNeighbour);
  assert.is(ask({ dst: '12.0.0.1', flags: 0 }).port, 2, 'the port is told even then');
  assert.is(ask({ dst: '12.0.0.1' }).ret, 0);
  assert.equal(ask({ dst: '12.0.0.1', flags: SKIP_NEIGH | SRC }).src.slice(0, 4), [12, 0, 0, 9]);
  assert.is(ask({ dst: 'fd01::1', src: 'fd02::1', flags: SKIP_NEIGH | SRC }).ret, RET.noSource);
  assert.ok(r.deleteNeighbour(2, '192.0.2.1'));
  assert.is(ask({ dst: '10.1.1.1', flags: 0 }).ret, RET.noNeighbour);
});

test('tables: main and local by default, one by number with DIRECT and TBID', () => {
  routes(
    { prefix: '10.0.0.0/8', port: 1 },
    { prefix: '10.0.0.0/8', port: 2, table: 100 },
    { prefix: '10.7.0.0/16', port: 3, table: 255, type: 'local' },
  );
  assert.is(ask({ dst: '10.1.1.1' }).port, 1);
  const other = ask({ dst: '10.1.1.1', flags: SKIP_NEIGH | DIRECT | TBID, table: 100 });
  assert.equal(
    [other.ret, other.port, other.vlan],
    [0, 2, 0],
    'the table number is cleared for the VLAN fields',
  );
  assert.is(ask({ dst: '10.1.1.1', flags: SKIP_NEIGH | DIRECT | TBID, table: 101 }).ret, RET.notForwarded);
  assert.is(ask({ dst: '10.7.1.1' }).ret, RET.notForwarded);
  assert.is(ask({ dst: '10.7.1.1', flags: SKIP_NEIGH | DIRECT }).port, 1, 'DIRECT looks in main only');
});

test('OUTPUT takes the best route that leaves through the port asked for', () => {
  routes(
    { prefix: '10.0.0.0/8', port: 1, metric: 5 },
    { prefix: '10.1.0.0/16', port: 2, metric: 1 },
    { prefix: '10.1.0.0/16', port: 3, metric: 2 },
  );
  const out = (port: number): number => ask({ dst: '10.1.1.1', port, flags: SKIP_NEIGH | OUTPUT }).metric;
  assert.equal([out(1), out(2), out(3)], [5, 1, 2]);
});

test('routes come and go; the scratch region gets its memory back', () => {
  const r = routes({ prefix: '10.0.0.0/8', port: 1 });
  const before = arena.scratch.usedBytes;
  for (let i = 0; i < 50; i++) r.add({ prefix: `10.${i}.0.0/16`, port: 2 });
  assert.is(r.list().length, 51);
  assert.is(ask({ dst: '10.49.0.1' }).port, 2);
  for (let i = 0; i < 50; i++) assert.ok(r.delete({ prefix: `10.${i}.0.0/16` }));
  assert.not.ok(r.delete({ prefix: '10.49.0.0/16' }));
  assert.is(ask({ dst: '10.49.0.1' }).port, 1);
  assert.is(arena.scratch.usedBytes, before);
});

test('wrong routes are errors that say what was expected', () => {
  const r = new Routes(arena);
  for (const bad of [
    { prefix: '10.0.0.0/33', port: 1 },
    { prefix: '10.0.0/8', port: 1 },
    { prefix: '10.0.0.0/8' },
    { prefix: '10.0.0.0/8', port: 0 },
    { prefix: '10.0.0.0/8', port: 1, via: 'nobody' },
    { prefix: '10.0.0.0/8', port: 1, source: 'fd00::1' },
    { prefix: 'fd00::/8', port: 1, type: 'magic' as never },
  ])
    assert.throws(
      () => r.add(bad),
      (e: { code?: string }) => /^ERR_(ROUTE|ADDRESS)$/.test(e.code ?? ''),
    );
  assert.is(r.list().length, 0);
});

test('check_mtu compares the packet, or the length given, with a port', () => {
  const { xdp_check_mtu, skb_check_mtu } = core.exports;
  const len = params;
  const check = (port: number, given: number, diff: number, packet: number, flags = 0n): number[] => {
    arena.dv.setUint32(len, given, true);
    arena.dv.setUint32(ctx, 5000, true);
    arena.dv.setUint32(ctx + 4, 5000 + packet, true);
    arena.dv.setUint32(ctx + 12, 1, true);
    const ret = xdp_check_mtu(ctx, port, len, diff, flags);
    return [ret, arena.dv.getUint32(len, true)];
  };
  assert.equal(check(2, 0, 0, 1214), [0, 1200]);
  assert.equal(check(2, 0, 1, 1214), [1, 1200]);
  assert.equal(check(2, 0, -1, 1215), [0, 1200]);
  assert.equal(check(2, 1200, 0, 9999), [0, 1200]);
  assert.equal(check(2, 1201, 0, 60), [1, 1200]);
  assert.equal(check(0, 0, 0, 1114), [0, 1100], 'port 0: the one it came from');
  assert.is(check(50, 0, 0, 60)[0], -19);
  assert.is(check(2, 0, 0, 60, 1n)[0], -22);
  arena.u8.fill(0, ctx, ctx + SkBuffLayout.size);
  arena.dv.setUint32(ctx + SkBuffLayout.len, 1215, true);
  arena.dv.setUint32(len, 0, true);
  assert.is(skb_check_mtu(ctx, 2, len, 0, 0n), 1);
  arena.dv.setUint32(len, 5, true);
  assert.is(skb_check_mtu(ctx, 2, len, 0, 1n), -22);
});
