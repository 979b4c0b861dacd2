/** AF_XDP against the kernel over veth: what is asked for goes through the engine and back, the rest is untouched. */
import { cpus, release } from 'node:os';
import { Engine } from '../../../host/engine/engine.js';
import { afXdp } from '../../../host/nic/index.js';
import { PacketSocket } from '../../support/packet_socket.js';
import { type PacketFields, packet } from '../../support/packets.js';
import { handMade } from '../../support/programs.js';
import { assert, suite } from '../../support/suite.js';
import { Veth } from '../../support/veth.js';
import { missing, nicOptions, onVeth } from './rig.js';

const test = suite('nic: af_xdp, traffic');

for (const mode of ['native', 'generic'] as const)
  for (const inline of [true, false])
    test(
      `UDP of every size comes back byte by byte: ${mode}, ${inline ? 'inline' : 'a worker lane'}`,
      async () => {
        const report = await onVeth({ nic: { mode }, engine: { inline } }, async ({ veth, nic, engine }) => {
          for (const to of [veth.nearAddress, veth.nearAddress6]) {
            const most = to.includes(':') ? 1452 : 1472;
            const r = await veth.udp({ to, count: 500, sizes: [0, most], sockets: 3, window: 5 });
            assert.equal([r.same, r.lost, r.wrong], [500, 0, 0], to);
          }
          assert.is(nic.seen.taken, 1000);
          assert.is(nic.status.mode, mode);
          assert.equal(nic.status.copy, 'copy');
          const [{ rxPackets, txPackets, drops }] = engine.counters();
          assert.equal([rxPackets, txPackets, drops], [1000, 1000, {}]);
          const ledger = engine.ledger();
          assert.is(ledger.lost + ledger.doubled, 0);
          assert.is(ledger.inFlight[`fill ${nic.name}/0`], nic.status.ringSlots);
        });
        assert.is(report.ledger.free, 4096);
      },
      { missing },
    );

for (const ringSlots of [64, 2048])
  test(
    `a kick sends as much as kernel and ring allow: rings of ${ringSlots}`,
    () =>
      onVeth({ nic: { ringSlots } }, async ({ veth, nic }) => {
        const [major, minor] = release().split('.').map(Number);
        const raised = major > 6 || (major === 6 && minor >= 17);
        assert.is(nic.status.kickPackets, raised ? Math.min(256, ringSlots) : 32);
        assert.is((await veth.udp({ count: 300, window: 40 })).same, 300);
      }).then(() => {}),
    { missing },
  );

test(
  'ping and other ports stay with the kernel, and change at once with the rules',
  () =>
    onVeth({}, async ({ veth, nic }) => {
      for (const address of [veth.nearAddress, veth.nearAddress6])
        assert.is((await veth.far.ping(address, '-c', '3')).received, 3);
      const seen = nic.seen;
      assert.is(seen.taken, 0);
      assert.ok(seen.left >= 6);
      assert.is((await veth.udp({ count: 5, port: 9 })).same, 0, 'nobody answers there');
      nic.setRules([{ protocol: 'udp', port: 9 }]);
      assert.is((await veth.udp({ count: 5, port: 9 })).same, 5);
      assert.is((await veth.udp({ count: 2, port: 7 })).same, 0);
    }).then(() => {}),
  { missing },
);

test(
  'a lane whose queue the interface cannot send on hands its packets over, and that is told',
  async () => {
    const report = await onVeth(
      { veth: { queues: 2, txQueues: 1 }, engine: { lanes: 2 } },
      async ({ veth, nic, engine }) => {
        assert.match(nic.status.warnings.join(), /sends on 1 of its queues: 1 lanes hand over/);
        const r = await veth.udp({ count: 400, sockets: 32, window: 2 });
        assert.equal([r.same, r.lost], [400, 0]);
        const { blocks } = engine.counters()[0];
        for (const lane of [0, 1])
          assert.ok(
            blocks.some(b => b.lane === lane && b.rxPackets > 0),
            `lane ${lane} received`,
          );
      },
    );
    assert.is(report.ledger.free, 4096);
  },
  { missing },
);

test(
  'two queues on two lanes share one packet area, and both carry traffic',
  async () => {
    const report = await onVeth(
      { veth: { queues: 2 }, engine: { lanes: 2 } },
      async ({ veth, nic, engine }) => {
        const r = await veth.udp({ count: 4000, sockets: 32, window: 2 });
        assert.equal([r.same, r.lost, r.wrong], [4000, 0, 0]);
        assert.is(nic.status.queues, 2);
        const { blocks } = engine.counters()[0];
        for (const lane of [0, 1]) {
          const rx = blocks.filter(b => b.lane === lane).reduce((n, b) => n + b.rxPackets, 0);
          assert.ok(rx > 200, `lane ${lane} received ${rx}`);
        }
      },
    );
    assert.is(report.ledger.free, 4096);
  },
  { missing },
);

test(
  'one lane serves two queues, and a lane without queue hands over what it transmits',
  async () => {
    for (const [queues, lanes] of [
      [2, 1],
      [1, 2],
    ]) {
      const report = await onVeth({ veth: { queues }, engine: { lanes } }, async ({ veth }) => {
        const r = await veth.udp({ count: 1000, sockets: 16, window: 2 });
        assert.equal([r.same, r.lost], [1000, 0]);
      });
      assert.is(report.ledger.free, 4096);
    }
  },
  { missing },
);

test(
  'a datagram behind two VLAN tags is taken by its port and goes back with them',
  async () => {
    await onVeth({}, async ({ veth, nic, engine }) => {
      const socket = new PacketSocket(veth.far, veth.farLink);
      const to: PacketFields = { dst: veth.nearAddress, dport: 7, protocol: 'udp', vlans: [7, 9] };
      for (let i = 0; i < 10; i++) socket.send(packet(to));
      socket.send(packet({ ...to, dport: 8 }));
      const from = performance.now();
      while (engine.counters()[0].txPackets < 10 && performance.now() - from < 2000)
        await new Promise(done => setTimeout(done, 5));
      socket.close();
      const [{ rxPackets, txPackets, txBytes }] = engine.counters();
      assert.equal([rxPackets, txPackets, txBytes], [10, 10, 10 * packet(to).length]);
      assert.is(nic.seen.taken, 10);
    });
  },
  { missing },
);

/** Sends everything out of the other of ports 1 and 2. */
const cross = handMade(
  `(call $redirect_set (i32.const 1) (i32.sub (i32.const 3) (i32.load offset=12 (local.get 0))) (i32.const 0) (i32.const 0) (i64.const 0))
   i64.const 4`,
  { helpers: { redirect_set: '(param i32 i32 i32 i32 i64)' } },
);

test(
  'an engine that owns two interfaces is a wire between two kernels: ARP, ND, ICMP and UDP',
  async () => {
    const [left, right] = [await Veth.create(), await Veth.create()];
    // The far ends are neighbours, by way of the engine.
    left.far.ip('address', 'add', '10.89.0.1/24', 'dev', left.farLink);
    right.far.ip('address', 'add', '10.89.0.2/24', 'dev', right.farLink);
    const nics = [left, right].map(v => afXdp(nicOptions(v, { own: true })));
    const engine = await Engine.create({ nics, lanes: 2, frames: 4096, mapBytes: 1 << 20 });
    try {
      for (const nic of nics) engine.attach(await engine.load(cross), nic.name);
      await engine.start();
      // What came before is the kernel's: it joins its groups.
      const { left: before } = nics[0].seen;
      assert.is((await left.far.ping('10.89.0.2', '-c', '5')).received, 5);
      assert.is((await right.far.ping('10.89.0.1', '-c', '5', '-s', '1472')).received, 5);
      assert.is(nics[0].seen.left, before);
      assert.is((await left.far.ping(left.nearAddress, '-c', '1', '-W', '1')).received, 0, 'owned');
    } finally {
      const { ledger } = await engine.stop();
      left.close();
      right.close();
      // Owned interfaces may have been sent something after the last burst.
      assert.equal([ledger.lost, ledger.doubled], [0, 0]);
      assert.ok(Object.keys(ledger.inFlight).every(place => place.startsWith('rx ')));
    }
  },
  { missing },
);

test(
  'an engine that owns its interface looks for partial checksums at 4,096 packets of each CPU, then at one in 64',
  () =>
    onVeth({ veth: { offload: true }, nic: { own: true } }, async ({ veth, nic }) => {
      const count = 12_000;
      // The engine answers no ARP here.
      veth.far.ip(
        'neighbour',
        'replace',
        veth.nearAddress,
        'lladdr',
        '02:00:00:00:00:07',
        'dev',
        veth.farLink,
      );
      await veth.udp({ count, sockets: 4, window: 64, waitMs: 1 });
      const { taken, partial } = nic.seen;
      assert.ok(taken >= count, `${taken} taken`);
      assert.ok(partial >= 4096 && partial <= cpus().length * 4096 + count / 64, `${partial} told`);
      assert.ok(partial < taken, `${partial} of ${taken}`);
      assert.match(nic.status.warnings.join(), /came with partial checksums, of those looked at/);
    }).then(() => {}),
  { missing },
);

test(
  'partial checksums of a veth peer are told',
  () =>
    onVeth({ veth: { offload: true } }, async ({ veth, nic }) => {
      // The first try of somebody who wonders.
      await veth.udp({ count: 1, waitMs: 20 });
      assert.match(nic.status.warnings.join(), /(^|,)1 packet came with partial checksums.*ethtool -K/);
      const r = await veth.udp({ count: 19, waitMs: 20 });
      assert.is(r.same, 0, 'the kernel drops what comes back');
      assert.match(nic.status.warnings.join(), /20 packets came with partial checksums.*ethtool -K/);
    }).then(() => {}),
  { missing },
);
