/** Neighbours: learned, used by programs, aged, asked for, forgotten. */
import { packet, read } from '../support/packets.js';
import { handMade } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';
import { arp, nd, OURS, owned, type Rig, solicitedNode, THEIRS } from './rig.js';

const test = suite('responder: neighbours');
const hex = (b: Uint8Array): string => Buffer.from(b).toString('hex');

/**
 * A router in a few lines: asks bpf_fib_lookup for the destination; found, writes both hardware addresses and sends the
 * packet back out; not found, drops it. `at` is memory for struct bpf_fib_lookup.
 */
const router = (at: number, family: 2 | 10) =>
  handMade(
    `(i64.store (i32.const ${at}) (i64.const ${family}))
     (i64.store offset=8 (i32.const ${at}) (i64.const 1))
     (v128.store offset=16 (i32.const ${at}) (v128.const i64x2 0 0))
     (v128.store offset=32 (i32.const ${at}) (v128.load offset=${family === 2 ? 30 : 38} (i32.load (local.get 0))))
     (if (i32.ne (call $xdp_fib_lookup (local.get 0) (i32.const ${at}) (i32.const 64) (i32.const 0)) (i32.const 0))
       (then (return (i64.const 1))))
     (i32.store (i32.load (local.get 0)) (i32.load offset=58 (i32.const ${at})))
     (i32.store16 offset=4 (i32.load (local.get 0)) (i32.load16_u offset=62 (i32.const ${at})))
     (i32.store offset=6 (i32.load (local.get 0)) (i32.load offset=52 (i32.const ${at})))
     (i32.store16 offset=10 (i32.load (local.get 0)) (i32.load16_u offset=56 (i32.const ${at})))
     i64.const 3`,
    { helpers: { xdp_fib_lookup: '(param i32 i32 i32 i32) (result i32)' } },
  );

/** Routes UDP only: everything else passes to the responder. */
async function routing(
  family: 2 | 10,
  options: Parameters<typeof owned>[0] = {},
): Promise<Rig & { send(): Uint8Array[] }> {
  const rig = await owned({ addresses: ['10.0.0.1/24', { address: 'fd00::1/64', dad: false }], ...options });
  const at = rig.engine.arena.scratch.alloc(64, 16);
  const route = await rig.engine.load(router(at, family));
  const attachment = rig.engine.attach(route, 'model.a');
  await rig.engine.detach(attachment);
  const frame = packet({
    protocol: 'udp',
    src: family === 2 ? '10.9.9.9' : 'fd09::9',
    dst: family === 2 ? '10.0.0.2' : 'fd00::2',
    dmac: OURS,
    smac: '02:00:00:00:00:99',
  });
  const send = (): Uint8Array[] => {
    const a = rig.engine.attach(route, 'model.a');
    const out = rig.ask(frame);
    void rig.engine.detach(a);
    return out;
  };
  return { ...rig, send };
}

for (const [name, family, question, answer] of [
  ['ARP', 2, arp({ sha: OURS, spa: '10.0.0.1', tpa: '10.0.0.2' }), arp({ oper: 2, dst: OURS, tha: OURS })],
  [
    'neighbour discovery',
    10,
    nd({ src: 'fd00::1', target: 'fd00::2', dst: solicitedNode('fd00::2'), option: OURS, smac: OURS }),
    nd({ type: 136, src: 'fd00::2', dst: 'fd00::1', target: 'fd00::2', flags: 0x60000000 }),
  ],
] as const) {
  test(`${name}: a route to a neighbour that nobody knows asks for it; the answer makes it usable`, async () => {
    const { send, ask, engine } = await routing(family);
    assert.equal(send().map(hex), [hex(question)]);
    // The question stands until it has been answered or a second is over: no second one meanwhile.
    assert.equal(send(), []);
    assert.is(engine.neighbours()[0].state, 'incomplete');
    assert.equal(ask(answer), []);
    assert.is(engine.neighbours()[0].state, 'reachable');
    const [out] = send();
    assert.equal([read(out).dmac, read(out).smac], [THEIRS, OURS]);
    assert.is((await engine.stop()).ledger.free, 256);
  });

  test(`${name}: who does not answer is asked three times a second apart, then given up`, async () => {
    const { send, pass, engine } = await routing(family);
    const seen = [...send(), ...pass(3500)];
    assert.equal(seen.map(hex), [question, question, question].map(hex));
    assert.is(engine.neighbours()[0].state, 'failed');
    assert.equal(send(), []);
    pass(1100);
    assert.equal(engine.neighbours(), []);
    assert.equal(send().map(hex), [hex(question)]);
    await engine.stop();
  });

  test(`${name}: what is reachable becomes stale, is used, asked directly, and confirmed or forgotten`, async () => {
    const { send, ask, pass, engine } = await routing(family);
    const state = (): string => engine.neighbours()[0]?.state ?? 'gone';
    send();
    ask(answer);
    pass(29_000);
    assert.is(state(), 'reachable');
    pass(1500);
    assert.is(state(), 'stale');
    // Nobody uses it: nobody asks.
    assert.equal(pass(20_000), []);
    send();
    pass(200);
    assert.is(state(), 'delay');
    const probes = pass(5000);
    assert.is(state(), 'probe');
    assert.is(probes.length, 1);
    assert.is(read(probes[0]).dmac, THEIRS);
    ask(answer);
    assert.is(state(), 'reachable');
    pass(31_000);
    send();
    assert.is(pass(9000).length, 3);
    assert.is(state(), 'gone');
    await engine.stop();
  });
}

test('what nobody uses for ten minutes is forgotten', async () => {
  const { ask, pass, engine } = await owned();
  ask(arp());
  pass(599_000);
  assert.is(engine.neighbours().length, 1);
  pass(2000);
  assert.equal(engine.neighbours(), []);
  await engine.stop();
});

test('a neighbour that was given by hand goes before what was learned', async () => {
  const { send, ask, engine } = await routing(2);
  ask(arp());
  assert.is(read(send()[0]).dmac, THEIRS);
  engine.routes.addNeighbour({ port: 1, address: '10.0.0.2', mac: '02:00:00:00:00:42' });
  assert.is(read(send()[0]).dmac, '02:00:00:00:00:42');
  await engine.stop();
});

test('a full table forgets who was not used longest, and never more than it must', async () => {
  const { ask, engine, pass } = await owned({ neighbours: 64 });
  const address = (i: number): string => `10.0.0.${2 + (i % 250)}`;
  for (let i = 0; i < 250; i++) {
    ask(arp({ spa: address(i), sha: `02:00:00:00:01:${i.toString(16).padStart(2, '0')}` }));
    pass(1);
  }
  const known = engine.neighbours();
  assert.ok(known.length > 48 && known.length <= 64, `${known.length}`);
  // The last one is always there.
  assert.ok(known.some(n => n.address === address(249)));
  for (const n of known)
    assert.is(n.mac.slice(-2), (Number(n.address.split('.')[3]) - 2).toString(16).padStart(2, '0'));
  await engine.stop();
});

test('an entry that a lane died over is free again after its recovery', async () => {
  const { ask, engine } = await owned();
  ask(arp());
  const { arena } = engine;
  const table = arena.dv.getUint32(arena.header.learnedAt, true);
  let torn = 0;
  for (let at = table; at < table + 1024 * 64 && !torn; at += 64)
    if (arena.u32[(at + 4) >> 2] === 1) torn = at;
  arena.u32[torn >> 2] |= 1;
  assert.equal(engine.neighbours(), []);
  // A program that traps ends its lane.
  engine.attach(await engine.load(handMade('unreachable')), 'model.a');
  assert.equal(ask(arp()), []);
  assert.is(engine.crashes.length, 1);
  assert.is(arena.u32[torn >> 2] & 1, 0);
  assert.is(arena.u32[(torn + 4) >> 2], 0);
  await engine.detach(engine.attach(await engine.load(handMade('i64.const 2')), 'model.a'));
  ask(arp());
  assert.is(engine.neighbours().length, 1);
  await engine.stop();
});

test('routes come and go with the addresses', async () => {
  const { engine, responder } = await owned();
  const prefixes = () => engine.routes.list().map(r => `${r.prefix} ${r.type} ${r.table}`);
  assert.equal(prefixes(), [
    '10.0.0.1/24 unicast 254',
    '10.0.0.1 local 255',
    'fd00::1/64 unicast 254',
    'fd00::1 local 255',
  ]);
  responder.add('10.0.0.8/24');
  responder.remove('10.0.0.1');
  assert.equal(
    prefixes().filter(p => p.startsWith('10.')),
    ['10.0.0.8/24 unicast 254', '10.0.0.8 local 255'],
  );
  responder.close();
  assert.equal(prefixes(), []);
  await engine.stop();
});
