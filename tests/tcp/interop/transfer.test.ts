/**
 * Our TCP and the kernel's: what each of its programs sends arrives, and what we send arrives there, over AF_XDP and TUN,
 * whoever calls; with losses, marks, bottlenecks and short packets in between. The whole matrix: npm run test:interop.
 */
import { assert, suite } from '../../support/suite.js';
import { missingTool } from '../../support/tools.js';
import { Body } from './body.js';
import { record } from './capture.js';
import { missing } from './missing.js';
import { type Result, Session, type Transfer } from './session.js';
import type { WireSettings } from './wire.js';

const test = suite('tcp: the kernel as the other end');
const MB = 1_000_000;
const body = new Body(100 * MB);
process.once('exit', () => body.close());

async function on(settings: WireSettings, work: (session: Session) => Promise<void>): Promise<void> {
  const session = await Session.open(settings, body);
  try {
    await work(session);
  } finally {
    await session.close();
  }
}

async function passes(session: Session, t: Transfer): Promise<Result> {
  const r = await session.transfer(t);
  assert.equal(r.faults, [], `${t.peer} as ${t.role}`);
  return r;
}

const ROLES = ['client', 'server'] as const;

test(
  '100 MB go each way over AF_XDP, whoever calls, and nothing of it is sent twice by us',
  () =>
    on({ nic: 'af_xdp' }, async session => {
      for (const role of ROLES) {
        const r = await passes(session, { peer: 'socat', role, forth: 100 * MB, back: 100 * MB });
        assert.is(r.challenges, 0);
      }
    }),
  { missing, timeoutMs: 60_000 },
);

for (const nic of ['af_xdp', 'tun'] as const)
  test(
    `every program of the kernel is understood over ${nic}, IPv4 and IPv6`,
    () =>
      on({ nic }, async session => {
        const size = { forth: 3 * MB, back: 3 * MB };
        for (const role of ROLES) {
          for (const peer of ['socat', 'nc', 'node'] as const) await passes(session, { peer, role, ...size });
          await passes(session, { peer: 'node', role, family: 6, ...size });
          await passes(session, { peer: 'iperf3', role, forth: 1, back: 0, seconds: 1 });
          await passes(session, { peer: 'iperf3', role, forth: 0, back: 1, seconds: 1 });
        }
        await passes(session, { peer: 'curl', role: 'client', forth: 0, back: 5 * MB });
        await passes(session, { peer: 'curl', role: 'client', forth: 5 * MB, back: 0 });
      }),
    { missing, timeoutMs: 60_000 },
  );

for (const [what, settings, mb] of [
  ['1 of 1000 packets is lost', { nic: 'af_xdp', loss: 0.001 }, 10],
  ['1 of 100 is lost', { nic: 'tun', loss: 0.01 }, 5],
  ['1 of 20 is lost', { nic: 'af_xdp', loss: 0.05 }, 1],
  ['packets have 576 bytes, and 1 of 100 is lost', { nic: 'af_xdp', mtu: 576, loss: 0.01 }, 2],
] as const)
  test(
    `where ${what}, each way, all arrives`,
    () =>
      on(settings, async session => {
        for (const role of ROLES) {
          const r = await passes(session, { peer: 'socat', role, forth: mb * MB, back: mb * MB });
          assert.ok(r.lost > 0, 'something was lost');
          assert.ok(r.ours > 0 && r.kernels > 0, 'both repaired it');
        }
      }),
    { missing, timeoutMs: 60_000 },
  );

test(
  'where 1 of 5 packets is marked, senders slow down and nothing is sent twice',
  () =>
    on({ nic: 'af_xdp', ce: 0.2 }, async session => {
      const before = session.host.counters().TCPDeliveredCE ?? 0;
      const r = await passes(session, { peer: 'socat', role: 'client', forth: 5 * MB, back: 5 * MB });
      assert.ok(r.marked > 0);
      assert.is(r.ours, 0);
      assert.ok((session.host.counters().TCPDeliveredCE ?? 0) > before, 'we heard of marks');
    }),
  { missing, timeoutMs: 60_000 },
);

test(
  'a bottleneck of 10 Mbit/s is filled, and shared by both directions',
  () =>
    on({ nic: 'af_xdp', rate: 10e6 }, async session => {
      const r = await passes(session, { peer: 'socat', role: 'server', forth: 2 * MB, back: 2 * MB });
      // Two directions of 10 Mbit/s each, headers, ACKs and slow starts taken off.
      assert.ok(r.mbitPerS > 12, `${r.mbitPerS.toFixed(1)} Mbit/s`);
    }),
  { missing, timeoutMs: 60_000 },
);

test(
  'a path that is narrower than both links is found out by ICMP',
  () =>
    on({ nic: 'af_xdp', pathMtu: 1300 }, async session => {
      for (const family of [4, 6] as const)
        await passes(session, { peer: 'node', role: 'server', family, forth: 2 * MB, back: 2 * MB });
    }),
  { missing, timeoutMs: 60_000 },
);

test(
  'tshark finds nothing wrong with packets of either end',
  () =>
    on({ nic: 'af_xdp', loss: 0.01 }, async session => {
      const recording = await record(session.wire);
      await passes(session, { peer: 'nc', role: 'client', forth: 2 * MB, back: 2 * MB });
      const { packets, ours, theirs, ...wrong } = await recording.findings(session.lastPort);
      assert.ok(packets > 2000 && ours > 1000 && theirs > 1000, `${packets} packets, ${ours} ours`);
      assert.equal(wrong, { malformed: 0, checksums: 0, unseen: 0, beyondWindow: 0 });
    }),
  { missing: missing ?? missingTool('dumpcap') ?? missingTool('tshark'), timeoutMs: 60_000 },
);
