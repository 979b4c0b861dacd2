/** Perf events, redirect maps, flow hashes, locks: helpers whose effect is not in packet or result alone. */
import { createMap, type PerfEventArrayMap } from '../../../host/bpf/maps/index.js';
import type { MapSpec } from '../../../host/bpf/spec.js';
import { testPacket } from '../../../host/engine/test_run.js';
import { arena, core } from '../../support/helper_rig.js';
import { packet } from '../../support/packets.js';
import { assert, suite } from '../../support/suite.js';

const test = suite('helpers: events, redirects, hashes');
const x = core.exports;
const CURRENT_CPU = 0xffffffffn;

const spec = <T extends MapSpec['type']>(type: T, more: Partial<MapSpec> = {}): MapSpec & { type: T } => ({
  name: type, keySize: 4, valueSize: 4, maxEntries: 4, flags: 0, ...more, type,
}); // biome-ignore format: one line of defaults

test('perf_event_output carries data and as many packet bytes as the flags ask for', () => {
  const map = createMap(arena, core, spec('perf_event_array', { maxEntries: 0 })) as PerfEventArrayMap;
  const data = arena.scratch.alloc(8, 8);
  arena.u8.set([1, 2, 3, 4, 5, 6, 7, 8], data);
  for (const type of ['xdp', 'tc'] as const) {
    const p = testPacket(arena, type, packet());
    p.reset();
    const output = type === 'xdp' ? x.xdp_event_output : x.skb_event_output;
    assert.is(output(p.ctx, map.addr, CURRENT_CPU, data, 8n), 0);
    assert.is(output(p.ctx, map.addr, CURRENT_CPU | (14n << 32n), data, 4n), 0);
    assert.is(output(p.ctx, map.addr, CURRENT_CPU | (1n << 40n), data, 4n), -14, 'more than the packet has');
    assert.is(output(p.ctx, map.addr, 1n << 52n, data, 4n), -22);
    assert.is(output(p.ctx, map.addr, 1000n, data, 4n), -7, 'past the end of the map');
    assert.is(output(p.ctx, map.addr, 0n, data, 4n), -95, "another lane's ring");
    const got = map.poll().map(s => [...s.data]);
    assert.equal(got, [
      [1, 2, 3, 4, 5, 6, 7, 8],
      [1, 2, 3, 4, ...packet().subarray(0, 14)],
    ]);
    p.free();
  }
});

test('redirect_map finds targets by key, and falls back to the verdict in its flags', () => {
  const entry = (type: 'devmap' | 'devmap_hash' | 'cpumap', key: number, value: number) => {
    const map = createMap(arena, core, spec(type, { maxEntries: type === 'cpumap' ? 2 : 4 }));
    map.set(key as never, value as never);
    return map.addr;
  };
  const dev = entry('devmap', 1, 7);
  const hash = entry('devmap_hash', 0xabcdef, 7);
  const cpu = entry('cpumap', 0, 64);
  for (const [map, there] of [[dev, 1n], [hash, 0xabcdefn], [cpu, 0n]] as const) {
    assert.is(x.redirect_map(map, there, 0n), 4);
    assert.is(x.redirect_map(map, there | (5n << 32n), 0n), 4, 'the low half of the key counts, as in the kernel');
    for (const action of [0n, 1n, 2n, 3n]) assert.is(x.redirect_map(map, 3n, action), Number(action));
    assert.is(x.redirect_map(map, 1000n, 2n), 2);
  }
  for (const map of [dev, hash]) {
    assert.is(x.redirect_map(map, 99n, 8n), 4, 'a broadcast needs no key');
    assert.is(x.redirect_map(map, 99n, 8n | 16n), 4);
    assert.is(x.redirect_map(map, 1n, 32n), 0, 'unknown flags abort');
  }
  assert.is(x.redirect_map(cpu, 0n, 8n), 0, 'no broadcast to lanes');
}); // biome-ignore format: pairs

test('the flow hash is the same both ways, differs between flows, and is kept', () => {
  const hashOf = (data: Uint8Array, again = false): number => {
    const p = testPacket(arena, 'tc', data);
    p.reset();
    const h = x.get_hash_recalc(p.ctx) >>> 0;
    if (again) assert.is(x.get_hash_recalc(p.ctx) >>> 0, h);
    p.free();
    return h;
  };
  const flow = { src: '10.0.0.1', dst: '10.0.0.2', sport: 5, dport: 6 };
  const back = { src: '10.0.0.2', dst: '10.0.0.1', sport: 6, dport: 5 };
  assert.is(hashOf(packet(flow), true), hashOf(packet(back)));
  assert.is(hashOf(packet({ ...flow, payload: new Uint8Array(50) })), hashOf(packet(flow)));
  const six = { src: 'fd00::1', dst: 'fd00::2', sport: 5, dport: 6 };
  assert.is(hashOf(packet(six)), hashOf(packet({ src: 'fd00::2', dst: 'fd00::1', sport: 6, dport: 5 })));
  const seen = new Set<number>();
  for (let i = 0; i < 2000; i++) seen.add(hashOf(packet({ ...flow, sport: 1000 + i })));
  assert.ok(seen.size > 1990, `${seen.size} of 2000 hashes`);
  assert.is(
    hashOf(packet({ ...flow, fragment: 0x2000 })),
    hashOf(packet({ ...flow, sport: 9, fragment: 0x2001 })),
  );
  assert.is(hashOf(new Uint8Array(60)), 0, 'no IP, no hash');
});

test('a spin lock is a word that names its holder while it is held', () => {
  const lock = arena.scratch.alloc(4, 4);
  arena.u32[lock >> 2] = 0;
  for (let i = 0; i < 3; i++) {
    x.spin_lock(lock);
    // Low byte: lane + 1 of the holder, so that a lock of a dead lane can be told (assembly/bpf/maps/lock.ts).
    assert.is(arena.u32[lock >> 2] & 0xff, x.get_smp_processor_id() + 1);
    x.spin_unlock(lock);
    assert.is(arena.u32[lock >> 2], 0);
  }
});

test('%s reads at most 511 bytes and nothing outside the arena', () => {
  const fmt = arena.scratch.alloc(16, 8);
  arena.u8.set(new TextEncoder().encode('%s|\0'), fmt);
  const args = arena.scratch.alloc(8, 8);
  const out = arena.scratch.alloc(1024, 8);
  const long = arena.scratch.alloc(4096, 8);
  arena.u8.fill(65, long, long + 4096);
  const print = (pointer: bigint): number => {
    arena.dv.setBigUint64(args, pointer, true);
    return x.snprintf(out, 1024, fmt, args, 8);
  };
  assert.is(print(BigInt(long)), 511 + 1 + 1);
  assert.is(print(BigInt(arena.header.totalBytes - 1)), 2);
  assert.is(print(BigInt(arena.header.totalBytes)), 2);
  assert.is(print(0xffff_ffff_ffff_ffffn), 2);
});
