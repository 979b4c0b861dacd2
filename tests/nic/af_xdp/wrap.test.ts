/** Wrappers around AF_XDP, against the kernel over veth: what is captured, traced and harmed is what the wire carried. */

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine, EngineOptions } from '../../../host/engine/engine.js';
import type { EngineReport } from '../../../host/engine/report.js';
import { type AfXdpNic, afXdp, capture, faults, trace } from '../../../host/nic/index.js';
import type { Nic } from '../../../host/nic/nic.js';
import { assert, suite } from '../../support/suite.js';
import { missingTool, run } from '../../support/tools.js';
import { Veth } from '../../support/veth.js';
import { missing, nicOptions, reflecting, stepping } from './rig.js';

const test = suite('nic: af_xdp, wrapped');
/** Lanes of their own on two queues, and one that the host steps. */
const WAYS: [string, Partial<EngineOptions>][] = [
  ['two worker lanes', { lanes: 2 }],
  ['inline', { lanes: 1, inline: true }],
];

interface Wrapped<N extends Nic> {
  veth: Veth;
  nic: AfXdpNic;
  wrapper: N;
  engine: Engine;
}

/** An engine that reflects behind a wrapper; afterwards, when nothing is under way, every frame must be free. */
async function behind<N extends Nic>(
  wrap: (nic: Nic) => N,
  options: Partial<EngineOptions>,
  work: (rig: Wrapped<N>) => Promise<void>,
): Promise<EngineReport> {
  const veth = await Veth.create({ queues: options.lanes ?? 1 });
  try {
    const nic = afXdp(nicOptions(veth));
    const wrapper = wrap(nic);
    const engine = await reflecting([wrapper], options);
    const stop = engine.inline ? stepping(engine) : undefined;
    try {
      await work({ veth, nic, wrapper, engine });
      if (!engine.inline) await engine.idle({ timeoutMs: 5000 });
    } finally {
      await stop?.();
      await engine.stop();
    }
    const report = await engine.stop();
    assert.equal(report.ledger.inFlight, {});
    assert.is(report.ledger.free, 4096);
    return report;
  } finally {
    veth.close();
  }
}

for (const [how, options] of WAYS)
  test(
    `tshark reads what was captured: each datagram once in each direction, checksums right; ${how}`,
    async () => {
      const folder = mkdtempSync(join(tmpdir(), 'etherloom-wrap-'));
      try {
        const file = join(folder, 'wire.pcap');
        await behind(
          nic => capture(nic, { file }),
          options,
          async ({ veth, nic }) => {
            for (const to of [veth.nearAddress, veth.nearAddress6]) {
              const r = await veth.udp({ to, count: 300, sizes: [0, 1452], sockets: 4, window: 2 });
              assert.equal([r.same, r.lost, r.wrong], [300, 0, 0], to);
            }
            assert.is(nic.seen.taken, 600);
          },
        );
        const fields = ['udp.srcport', 'udp.dstport', 'udp.checksum.status'].flatMap(f => ['-e', f]);
        const read = run('tshark', [
          '-n',
          '-r',
          file,
          '-o',
          'udp.check_checksum:TRUE',
          '-T',
          'fields',
          ...fields,
        ]);
        const lines = read
          .trim()
          .split('\n')
          .map(l => l.split('\t'));
        assert.is(lines.length, 1200);
        assert.is(lines.filter(([, to]) => to === '7').length, 600);
        assert.is(lines.filter(([from]) => from === '7').length, 600);
        assert.ok(
          lines.every(([, , status]) => status === '1'),
          'good, says tshark',
        );
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    { missing: missing ?? missingTool('tshark'), timeoutMs: 40_000 },
  );

for (const [how, options] of WAYS)
  test(
    `packets are lost, doubled and corrupted as often as the wrapper says, and no frame with them; ${how}`,
    async () => {
      const harm = { rx: { loss: 0.1, duplicate: 0.2 }, tx: { corrupt: 0.1 } };
      await behind(
        nic => faults(nic, harm),
        options,
        async ({ veth, nic, wrapper, engine }) => {
          const r = await veth.udp({ count: 600, sizes: [64, 1400], sockets: 4, window: 2, waitMs: 100 });
          if (!engine.inline) await engine.idle({ timeoutMs: 5000 });
          const { lost, corrupted, duplicated } = wrapper.stats;
          assert.ok(lost > 20 && corrupted > 20 && duplicated > 50, JSON.stringify(wrapper.stats));
          // A flipped bit is found by the kernel of the far end, but for one of the sender's hardware address.
          assert.ok(r.lost >= lost && r.lost <= lost + corrupted, JSON.stringify([r, wrapper.stats]));
          assert.equal([r.sent, r.same + r.lost, r.wrong], [600, 600, 0]);
          const [{ rxPackets, txPackets, drops }] = engine.counters();
          assert.is(rxPackets, nic.seen.taken - lost + duplicated);
          assert.equal([txPackets, drops], [rxPackets, {}]);
        },
      );
    },
    { missing, timeoutMs: 40_000 },
  );

test(
  'a trace names the packets of both directions; wrappers go around wrappers',
  async () => {
    const lines: string[] = [];
    await behind(
      nic => trace(faults(nic, {}), { print: l => lines.push(l), limit: 10 }),
      {},
      async ({ veth, nic, wrapper }) => {
        assert.is((await veth.udp({ count: 5, sizes: [8, 8] })).same, 5);
        const from = `${veth.nearAddress.replace(/1$/, '2')}.`.replaceAll('.', '\\.');
        const to = veth.nearAddress.replaceAll('.', '\\.');
        const head = `^\\d+\\.\\d{9} ${nic.name}`;
        const came = lines.filter(l =>
          new RegExp(`${head} < IP ${from}\\d+ > ${to}\\.7: UDP length 8$`).test(l),
        );
        const went = lines.filter(l =>
          new RegExp(`${head} > IP ${to}\\.7 > ${from}\\d+: UDP length 8$`).test(l),
        );
        assert.equal([came.length, went.length, lines.length], [5, 5, 10], lines.join('\n'));
        assert.equal([wrapper.printed, wrapper.suppressed], [10, 0]);
      },
    );
  },
  { missing },
);

test(
  'behind a wrapper, too: an interface that is deleted is taken again, a lane that is killed replaced',
  async () => {
    await behind(
      nic => trace(nic, { filter: () => false }),
      { lanes: 2 },
      async ({ veth, nic, engine }) => {
        assert.is((await veth.udp({ count: 100, sockets: 4 })).same, 100);
        veth.remove();
        for (const from = performance.now(); nic.status.attached && performance.now() - from < 2000; )
          await sleep(5);
        const { free, lost, doubled } = engine.ledger();
        assert.equal([free, lost, doubled], [4096, 0, 0], 'every frame is back');
        await veth.connect();
        for (const from = performance.now(); !nic.status.attached && performance.now() - from < 2000; )
          await sleep(5);
        assert.is(nic.status.reopened, 1);
        assert.is((await veth.udp({ count: 100, sockets: 4 })).same, 100);
        const crashed = once(engine, 'crash');
        engine.killLane(0);
        await crashed;
        await engine.settled();
        assert.is(engine.crashes.length, 1);
        assert.is((await veth.udp({ count: 100, sockets: 8 })).same, 100);
      },
    );
  },
  { missing, timeoutMs: 40_000 },
);
