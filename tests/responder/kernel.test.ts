/** The kernel asks: ping, arping's packets, neighbour discovery and refused datagrams, over TAP and TUN. */
import { Engine, type EngineOptions } from '../../host/engine/engine.js';
import { native } from '../../host/native/load.js';
import { TapNic } from '../../host/nic/index.js';
import type { Responder, ResponderOptions } from '../../host/responder/index.js';
import { linkName, missingTun, Namespace } from '../support/netns.js';
import { PacketSocket } from '../support/packet_socket.js';
import { assert, suite } from '../support/suite.js';
import { arp } from './rig.js';

const test = suite('responder: the kernel as a peer');
const addon = native();
const missing = missingTun ?? (addon.ok ? undefined : addon.reason);

interface Owned {
  engine: Engine;
  nic: TapNic;
  responder: Responder;
  ns: Namespace;
}

/** An engine that owns 10.66.0.1 and fd66::1 on an interface of a namespace that has 10.66.0.2 and fd66::2. */
async function owning(
  kind: 'tap' | 'tun',
  options: Partial<ResponderOptions>,
  more: Partial<EngineOptions>,
  work: (o: Owned) => Promise<void>,
): Promise<void> {
  const ns = new Namespace('resp');
  const nic = new TapNic(kind, { name: linkName(kind) });
  const engine = await Engine.create({ nics: [nic], frames: 1024, mapBytes: 1 << 16, ...more });
  try {
    ns.adopt(nic.name, '10.66.0.2/24', 'fd66::2/64');
    const responder = engine.respond(nic.name, {
      addresses: ['10.66.0.1/24', { address: 'fd66::1/64', dad: false }],
      ...options,
    });
    await engine.start();
    await work({ engine, nic, responder, ns });
    const { ledger } = await engine.stop();
    assert.is(ledger.lost + ledger.doubled, 0);
  } finally {
    await engine.stop();
    ns.close();
  }
}

for (const kind of ['tap', 'tun'] as const)
  test(
    `ping and ping6 over ${kind} are answered by the lanes, every size, no packet in JavaScript`,
    () =>
      owning(kind, {}, { lanes: 2 }, async ({ ns, engine, responder }) => {
        for (const [address, largest] of [
          ['10.66.0.1', 1472],
          ['fd66::1', 1452],
        ] as const)
          for (const size of [0, 1, 56, largest]) {
            const p = await ns.ping(address, '-c', '3', '-s', `${size}`, '-p', 'a5c3');
            assert.is(p.received, 3, p.out);
            assert.not.match(p.out, /wrong data/);
          }
        assert.ok(responder.counters.echoAnswered >= 24);
        assert.is(responder.counters.refused, 0);
        assert.equal(
          engine.receive().filter(p => p.data[12] === 8 && p.data[13] === 0 && p.data[23] === 1),
          [],
        );
        if (kind === 'tun') return;
        const neighbours = ns.ip('neighbour', 'show');
        assert.match(neighbours, /10\.66\.0\.1 .*(REACHABLE|STALE|DELAY)/);
        assert.match(neighbours, /fd66::1 .*(REACHABLE|STALE|DELAY)/);
      }),
    { missing },
  );

test(
  'the kernel’s own duplicate detection finds our addresses, and ours finds the kernel’s',
  () =>
    owning('tap', {}, {}, async ({ ns, nic, responder }) => {
      // Without nodad the kernel asks first; our answer makes its address fail.
      ns.ip('address', 'add', 'fd66::1/64', 'dev', nic.name);
      const until = performance.now() + 5000;
      while (!/fd66::1.*dadfailed/.test(ns.ip('address', 'show')) && performance.now() < until)
        await new Promise(r => setTimeout(r, 50));
      assert.match(ns.ip('address', 'show'), /fd66::1.*dadfailed/);

      const told: string[] = [];
      responder.on('conflict', c => told.push(`${c.address} ${c.duplicate}`));
      responder.add('fd66::2/64');
      const late = performance.now() + 5000;
      while (!responder.ready && performance.now() < late) await new Promise(r => setTimeout(r, 20));
      assert.is(responder.addresses.find(a => a.address === 'fd66::2')?.state, 'duplicate');
      assert.ok(told.includes('fd66::2 true'));
    }),
  { missing },
);

test(
  'announcements correct what the kernel believed; arping’s request gets one reply',
  () =>
    owning('tap', { announce: false }, {}, async ({ ns, nic, responder }) => {
      ns.ip(
        'neighbour',
        'replace',
        '10.66.0.9',
        'lladdr',
        '02:00:00:00:00:de',
        'dev',
        nic.name,
        'nud',
        'stale',
      );
      const mac = [...nic.port.mac].map(b => b.toString(16).padStart(2, '0')).join(':');
      responder.add('10.66.0.9/24');
      // The announcement of a new address, as after a move of a virtual address.
      responder.options.announce = true;
      responder.add('10.66.0.10/24');
      ns.ip(
        'neighbour',
        'replace',
        '10.66.0.10',
        'lladdr',
        '02:00:00:00:00:de',
        'dev',
        nic.name,
        'nud',
        'stale',
      );
      const until = performance.now() + 4000;
      while (
        !ns.ip('neighbour').includes(`10.66.0.10 dev ${nic.name} lladdr ${mac}`) &&
        performance.now() < until
      )
        await new Promise(r => setTimeout(r, 50));
      assert.match(ns.ip('neighbour'), new RegExp(`10.66.0.10 .*lladdr ${mac}`));

      const wire = new PacketSocket(ns, nic.name);
      try {
        wire.send(arp({ sha: '02:00:00:00:00:77', spa: '10.66.0.77', tpa: '10.66.0.1' }));
        const replies: string[] = [];
        const end = performance.now() + 300;
        while (performance.now() < end) {
          for (let f = wire.receive(); f; f = wire.receive())
            if (f[12] === 8 && f[13] === 6 && f[21] === 2) replies.push(Buffer.from(f).toString('hex'));
          await new Promise(r => setTimeout(r, 5));
        }
        const expected = arp({
          oper: 2,
          sha: mac,
          spa: '10.66.0.1',
          tha: '02:00:00:00:00:77',
          tpa: '10.66.0.77',
          dst: '02:00:00:00:00:77',
        });
        assert.equal(replies, [Buffer.from(expected).toString('hex')]);
      } finally {
        wire.close();
      }
    }),
  { missing },
);

test(
  'a datagram to a port without application is refused: the kernel tells its sender',
  () =>
    owning('tap', { unreachable: true }, {}, async ({ ns, responder }) => {
      for (const target of ['UDP4:10.66.0.1:9', 'UDP6:[fd66::1]:9']) {
        const r = await ns.run(
          'sh',
          '-c',
          `(echo a; sleep 0.2; echo b; sleep 0.2) | socat -t 1 STDIO ${target}`,
        );
        assert.match(r.err, /Connection refused/, target);
      }
      assert.ok(responder.counters.unreachableSent >= 2);
    }),
  { missing },
);
