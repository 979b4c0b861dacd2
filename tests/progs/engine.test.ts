/** Redirects as programs make them, through a whole engine: devmaps, neighbours, tags, copies, cpumaps. */
import { Collection } from '../../host/bpf/collection.js';
import { configureMaps, type MapConfig, readMapConfig } from '../../host/bpf/config.js';
import { helperId } from '../../host/bpf/helpers.js';
import type { Insn } from '../../host/bpf/insn.js';
import { compileProgram } from '../../host/bpf/jit/compile.js';
import type { ProgramSpec } from '../../host/bpf/spec.js';
import { verify } from '../../host/bpf/verify/verify.js';
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { PortView } from '../../host/layout/layout.gen.js';
import { HostNic } from '../../host/nic/index.js';
import { call, exit, mov, movImm, spec } from '../support/insns.js';
import { packet, read } from '../support/packets.js';
import { FILTERS, loadObject } from '../support/program_rig.js';
import { assert, suite } from '../support/suite.js';

const test = suite('bpf-progs in an engine');

async function engine(more: Partial<EngineOptions> = {}) {
  const nics = ['a', 'b', 'c', 'd'].map(name => new HostNic({ name }));
  const e = await Engine.create({ nics, inline: true, frames: 512, mapBytes: 64 << 20, ...more });
  return { e, nics };
}

async function withObject(name: string, program = name, config?: MapConfig) {
  const { e, nics } = await engine();
  const collection = await Collection.load(loadObject(name), e, { programs: [program] });
  configureMaps(collection.maps, config ?? readMapConfig(`${FILTERS}${name}/config.json`), collection.spec);
  const hook = collection.program(program).spec.type === 'tc' ? 'tc_ingress' : 'xdp';
  e.attach(collection.program(program).placed, 'a', hook);
  await e.start();
  return { e, nics };
}

/** A program of helper calls: `[helper, arguments]`, where `ctx` is the context; the last call's result is returned. */
function calls(type: 'xdp' | 'tc', list: [string, (number | 'ctx')[]][], ret?: number): ProgramSpec {
  const body: Insn[] = [mov(6, 1)];
  for (const [name, args] of list) {
    args.forEach((arg, i) => {
      body.push(arg === 'ctx' ? mov(i + 1, 6) : movImm(i + 1, arg));
    });
    body.push(call(helperId(name)!));
  }
  if (ret !== undefined) body.push(movImm(0, ret));
  return spec([...body, exit()], type);
}

async function withCalls(program: ProgramSpec, more: Partial<EngineOptions> = {}) {
  const { e, nics } = await engine(more);
  const loaded = await e.load(compileProgram(verify(program), {}));
  e.attach(loaded, 'a', program.type === 'tc' ? 'tc_ingress' : 'xdp');
  await e.start();
  return { e, nics };
}

function send(e: Engine, nic: HostNic, data: Uint8Array): void {
  assert.ok(nic.send(data));
  e.run();
}

/** Frames conserved: what is in flight is what the test did not fetch. */
async function stop(e: Engine): Promise<void> {
  assert.is((await e.stop()).ledger.free, 512);
}

test('router sends each packet out of the port of its next hop', async () => {
  const { e, nics } = await withObject('router');
  const out = (n: number): Uint8Array[] => nics[n].receive().map(p => p.data);
  send(e, nics[0], packet({ src: '10.10.0.1', dst: '10.10.0.2', ttl: 64 }));
  const [near] = out(1).map(d => read(d));
  assert.equal([near.ttl, near.dmac, near.sound], [63, '02:00:00:00:01:02', true]);
  send(e, nics[0], packet({ dst: '8.8.8.8' }));
  assert.is(out(2).length, 1);
  send(e, nics[0], packet({ src: 'fd00:10::1', dst: 'fd00:10::2' }));
  assert.is(out(3).length, 1);
  send(e, nics[0], packet({ dst: '10.10.0.14' }));
  send(e, nics[0], packet({ dst: '10.10.0.18' }));
  assert.equal(
    e.receive().map(p => read(p.data).dst),
    ['10.10.0.18'],
    'local packets go up, blackholed ones nowhere',
  );
  assert.is(e.counters()[0].redirect, 3);
  await stop(e);
});

test('router_fib follows the routes of the engine, live', async () => {
  const { e, nics } = await withObject('router', 'router_fib', {});
  e.routes.batch(() => {
    e.routes.add({ prefix: '10.0.0.0/8', port: 2 });
    e.routes.add({ prefix: '10.9.0.0/16', port: 3, via: '192.0.2.1' });
    e.routes.addNeighbour({ port: 2, address: '10.1.1.1', mac: '02:00:00:00:00:11' });
    e.routes.addNeighbour({ port: 3, address: '192.0.2.1', mac: '02:00:00:00:00:22' });
  });
  send(e, nics[0], packet({ src: '192.0.2.9', dst: '10.1.1.1' }));
  assert.equal(
    nics[1].receive().map(p => read(p.data).dmac),
    ['02:00:00:00:00:11'],
  );
  send(e, nics[0], packet({ src: '192.0.2.9', dst: '10.9.1.1' }));
  assert.equal(
    nics[2].receive().map(p => read(p.data).dmac),
    ['02:00:00:00:00:22'],
  );
  e.routes.add({ prefix: '10.1.1.1/32', type: 'blackhole' });
  send(e, nics[0], packet({ src: '192.0.2.9', dst: '10.1.1.1' }));
  assert.is(nics[1].receive().length, 0);
  send(e, nics[0], packet({ src: '192.0.2.9', dst: '10.2.2.2' }));
  assert.is(e.receive().length, 1, 'no neighbour: up');
  await stop(e);
});

test('nat translates between two ports and back', async () => {
  const { e, nics } = await withObject('nat');
  send(e, nics[0], packet({ src: '10.10.0.17', dst: '198.51.100.1', sport: 1234 }));
  const [out] = nics[1].receive().map(p => read(p.data));
  assert.equal([out.src, out.sound], ['10.10.0.2', true]);
  send(e, nics[0], packet({ src: '198.51.100.1', dst: '10.10.0.2', sport: 80, dport: out.sport }));
  const [back] = nics[2].receive().map(p => read(p.data));
  assert.equal([back.dst, back.dport, back.sound], ['10.10.0.17', 1234, true]);
  await stop(e);
});

test('l4lb bounces packets to their backends on the port that they came from', async () => {
  const { e, nics } = await withObject('l4lb');
  for (let i = 0; i < 50; i++)
    send(e, nics[0], packet({ src: '10.10.0.1', dst: '10.10.0.2', sport: 100 + i, flags: 2 }));
  const out = nics[0].receive().map(p => read(p.data));
  assert.is(out.length, 50);
  for (const p of out) assert.ok(p.sound && p.dport === 8080 && p.dst.startsWith('10.20.0.'));
  assert.ok(new Set(out.map(p => p.dst)).size === 4);
  await stop(e);
});

test('tc_edge: one configuration serves both programs; the tag of tc_vlan reaches the host', async () => {
  const { e, nics } = await withObject('tc_edge', 'tc_vlan');
  send(e, nics[0], packet({ src: '10.10.0.17' }));
  send(e, nics[0], packet({ src: '10.10.0.1' }));
  assert.equal(
    e.receive().map(p => read(p.data).vlans),
    [[300], []],
  );
  await stop(e);
});

test('bpf_redirect of XDP and tc leave by another port', async () => {
  for (const type of ['xdp', 'tc'] as const) {
    const { e, nics } = await withCalls(calls(type, [['redirect', [3, 0]]]));
    const data = packet();
    send(e, nics[0], data);
    assert.equal(
      nics[2].receive().map(p => p.data),
      [data],
    );
    await stop(e);
  }
});

test('bpf_redirect with BPF_F_INGRESS brings the packet in by the other port', async () => {
  const { e, nics } = await withCalls(calls('tc', [['redirect', [2, 1]]]));
  const data = packet();
  send(e, nics[0], data);
  assert.equal(
    e.receive().map(p => [p.ifindex, p.data]),
    [[2, data]],
  );
  await stop(e);
});

test('bpf_clone_redirect sends a copy and goes on', async () => {
  const { e, nics } = await withCalls(calls('tc', [['clone_redirect', ['ctx', 2, 0]], ['clone_redirect', ['ctx', 3, 1]]], 0));
  const data = packet();
  send(e, nics[0], data);
  assert.equal(nics[1].receive().map(p => p.data), [data]);
  assert.equal(e.receive().map(p => [p.ifindex, p.data]).sort(), [[1, data], [3, data]]);
  await stop(e);
}); // biome-ignore format: pairs

test('bpf_redirect_neigh fills in both addresses; without a neighbour the packet is dropped and counted', async () => {
  const { e, nics } = await withCalls(calls('tc', [['redirect_neigh', [2, 0, 0, 0]]]));
  e.routes.add({ prefix: '10.0.0.0/8', port: 2, via: '10.0.0.254' });
  send(e, nics[0], packet());
  assert.is(nics[1].receive().length, 0);
  e.routes.addNeighbour({ port: 2, address: '10.0.0.254', mac: '02:00:00:00:00:fe' });
  send(e, nics[0], packet());
  const [out] = nics[1].receive().map(p => read(p.data));
  assert.equal([out.dmac, out.dst], ['02:00:00:00:00:fe', '10.0.0.2']);
  await stop(e);
});

test('a pushed tag is in the frame on the wire, in copies and at the host', async () => {
  const list: [string, (number | 'ctx')[]][] = [
    ['skb_vlan_push', ['ctx', 0x0081, 300]],
    ['clone_redirect', ['ctx', 2, 0]],
  ];
  const { e, nics } = await withCalls(calls('tc', [...list, ['redirect', [3, 0]]]));
  send(e, nics[0], packet());
  for (const n of [1, 2])
    assert.equal(
      nics[n].receive().map(p => read(p.data).vlans),
      [[300]],
    );
  await stop(e);
  const up = await withCalls(calls('tc', list, 0));
  send(up.e, up.nics[0], packet());
  assert.equal(
    up.e.receive().map(p => read(p.data).vlans),
    [[300]],
  );
  up.nics[1].receive();
  await stop(up.e);
});

test('every way to lose a packet of tc has a reason of its own', async () => {
  type Calls = [string, (number | 'ctx')[]][];
  const tag: Calls = [['skb_vlan_push', ['ctx', 0x0081, 300]]];
  /** Leaves two bytes of headroom, whatever there was. */
  const noRoom: Calls = [['skb_change_head', ['ctx', 254, 0]]];
  for (const [list, result, reason, portDown] of [
    [[['redirect_neigh', [2, 0, 0, 0]]], undefined, 'REDIRECT_NO_NEIGHBOUR'],
    [[['redirect_neigh', [2, 0, 0, 0]]], undefined, 'REDIRECT_NO_PORT', true],
    [[['redirect', [2, 1]]], undefined, 'REDIRECT_NO_PORT', true],
    [[['redirect', [2, 0]]], undefined, 'REDIRECT_NO_PORT', true],
    [[...noRoom, ...tag, ['redirect', [2, 0]]], undefined, 'NO_HEADROOM'],
    [[...noRoom, ...tag], 0, 'NO_HEADROOM'],
    [[...noRoom, ...tag, ['clone_redirect', ['ctx', 2, 0]]], 2, 'NO_HEADROOM'],
  ] as [Calls, number | undefined, string, boolean?][]) {
    const { e, nics } = await withCalls(calls('tc', list, result));
    if (portDown) new PortView(e.arena.dv, e.port(2).at).flags = 0;
    send(e, nics[0], packet());
    const { drops } = e.counters()[0];
    // The verdict of the third program drops the original, too.
    const { TC_SHOT, ...rest } = drops;
    assert.equal(rest, { [reason]: 1 }, `${list.map(([n]) => n).join(', ')}${portDown ? ', port down' : ''}`);
    assert.is(TC_SHOT, result === 2 ? 1 : undefined);
    await stop(e);
  }
});

test('a frame shorter than an Ethernet header passes every tc helper that moves headers', async () => {
  const tag: [string, (number | 'ctx')[]] = ['skb_vlan_push', ['ctx', 0x0081, 300]];
  for (const list of [
    [tag, ['clone_redirect', ['ctx', 2, 0]]],
    [tag, tag, ['skb_vlan_pop', ['ctx']], ['redirect', [2, 0]]],
    [
      ['skb_adjust_room', ['ctx', 1, 0, 0]],
      ['skb_change_tail', ['ctx', 14, 0]],
      ['redirect_neigh', [2, 0, 0, 0]],
    ],
  ] as [string, (number | 'ctx')[]][][]) {
    const { e, nics } = await withCalls(calls('tc', list));
    for (let n = 1; n <= 14; n++) send(e, nics[0], new Uint8Array(n).fill(0xff));
    e.receive();
    for (const nic of nics) nic.receive();
    assert.equal(e.crashes, []);
    await stop(e);
  }
});

test('copies for the receive side that find the lane link full count LANE_FULL', async () => {
  const list: [string, (number | 'ctx')[]][] = Array(70).fill(['clone_redirect', ['ctx', 3, 1]]);
  const { e, nics } = await withCalls(calls('tc', list, 2), { ringSlots: 64 });
  send(e, nics[0], packet());
  assert.equal(e.counters()[0].drops, { LANE_FULL: 6, TC_SHOT: 1 });
  assert.is(e.receive().length, 64);
  await stop(e);
});

test('bpf_ktime_get_tai_ns tells the time of day', async () => {
  const { e } = await engine();
  e.core.exports.clock_set(process.hrtime.bigint());
  const off = Number(e.core.exports.ktime_get_tai_ns() / 1_000_000n) - Date.now();
  assert.ok(Math.abs(off) < 2000, `${off} ms off`);
});

test('what a program prints comes out of engine.trace', async () => {
  const { e, nics } = await engine();
  const text = new TextEncoder().encode('lane %d\n\0\0\0\0\0\0\0\0');
  const words = new DataView(text.buffer);
  const program = spec([
    { op: 0x62, dst: 10, src: 0, off: -16, imm: words.getInt32(0, true) },
    { op: 0x62, dst: 10, src: 0, off: -12, imm: words.getInt32(4, true) },
    { op: 0x62, dst: 10, src: 0, off: -8, imm: words.getInt32(8, true) },
    call(helperId('get_smp_processor_id')!),
    mov(3, 0),
    mov(1, 10),
    { op: 0x07, dst: 1, src: 0, off: 0, imm: -16 },
    movImm(2, 9),
    call(helperId('trace_printk')!),
    movImm(0, 1),
    exit(),
  ]);
  const log = e.trace;
  e.attach(await e.load(compileProgram(verify(program), {})), 'a');
  await e.start();
  send(e, nics[0], packet());
  assert.equal(
    log.read().map(l => [l.lane, l.text]),
    [[0, 'lane 0\n']],
  );
  await stop(e);
});
