/** State whose layout changes: values go through a program that the upgrade brings, and whoever reads them follows. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { EtherloomError } from '../../host/errors.js';
import { RecordTable } from '../../host/transports/records.js';
import { TCP_OBJECT } from '../../host/transports/tcp/control.js';
import type { TcpShared } from '../../host/transports/tcp/view.js';
import { AT, echo, pattern, Sender, until, type Wired, wired } from '../stack/rig.js';
import { MAIN } from '../support/attached.js';
import { assert, suite } from '../support/suite.js';
import { FAILING, MIGRATING, missingClang, version, WIDER, WIDER_LINES } from './objects.js';

const test = suite('swap: migration');
const NAMED = { a: { name: 'a' }, b: { name: 'b' } };
const WIDE = [WIDER, WIDER_LINES];

function transfers({ a, b }: Wired, n: number, bytes: number): Sender[] {
  b.onAccept = echo;
  b.stack.burst.listen({ port: 7 });
  return Array.from({ length: n }, (_, i) => {
    const c = a.connect({ host: AT.b[i & 1 ? 6 : 4], port: 7 });
    const s = new Sender(c, pattern(bytes, i));
    a.hear(c, s.heard);
    return s;
  });
}

const moved = (senders: readonly Sender[]): number => senders.reduce((sum, s) => sum + s.bytes, 0);

async function refusal(work: () => Promise<unknown>): Promise<EtherloomError> {
  try {
    await work();
  } catch (error) {
    return error as EtherloomError;
  }
  throw new Error('it was not refused');
}

test(
  '`etherloom verify` verifies a program that migrates as an upgrade does',
  () => {
    const folder = mkdtempSync(join(tmpdir(), 'etherloom-verify-'));
    try {
      const file = join(folder, 'wide.bpf.o');
      writeFileSync(file, version('tcp', [...WIDE, MIGRATING]));
      const { status, stdout } = spawnSync(process.execPath, [MAIN, 'verify', file, '--json'], {
        encoding: 'utf8',
      });
      const { programs } = JSON.parse(stdout) as { programs: { section: string; verdict: string }[] };
      const found = programs.filter(p => p.section.startsWith('migrate/'));
      assert.equal(
        [status, ...found.map(p => `${p.section} ${p.verdict}`)],
        [0, 'migrate/tcp_flows accepted'],
      );
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  { missing: missingClang, timeoutMs: 120_000 },
);

for (const [what, engine] of [
  ['in virtual time', { mapBytes: 64 << 20 }],
  ['on two worker lanes', { mapBytes: 64 << 20, inline: false, clock: 'real', lanes: 2 } as const],
] as const)
  test(
    `${what}: TCP’s flows get one more member under transfers; views follow; nothing is sent again`,
    () =>
      wired(
        async w => {
          const { a, b } = w;
          const senders = transfers(w, 4, 3_000_000);
          await until([a, b], () => moved(senders) >= 3_000_000, 60_000);
          const [{ connection }] = senders;
          const flows = new RecordTable(w.engine.arena, (a.stack.transport.shared as TcpShared).flows);
          assert.throws(() => flows.get(1, 'upgrades'), /no field upgrades/);
          const before = connection.info();
          const wide = version('tcp', [...WIDE, MIGRATING]);
          const report = await w.engine.transports.upgrade('a/tcp', wide);
          assert.equal(report.migrated, [{ map: 'tcp_flows', values: 64 }]);
          assert.is(report.pausesNs.length, w.engine.laneCount);
          const marked = Array.from({ length: 64 }, (_, id) => flows.get(id, 'upgrades')).filter(
            n => n === 7,
          );
          assert.is(marked.length, 4, 'open flows');
          assert.is(connection.info().mss, before.mss);
          assert.ok(connection.info().bytesAcked >= before.bytesAcked);
          connection.set({ congestion: 'reno' });
          await until([a, b], () => moved(senders) >= 6_000_000, 60_000);
          // The old programs cannot read that any more, and the new ones go on.
          const back = await refusal(() => w.engine.transports.upgrade('a/tcp', TCP_OBJECT));
          assert.is(back.code, 'ERR_UPGRADE_LAYOUT');
          const again = await w.engine.transports.upgrade('a/tcp', wide);
          assert.equal(again.migrated, []);
          await until([a, b], () => senders.every(s => s.ended || s.error), 60_000);
          assert.equal(
            senders.map(s => s.verdict),
            senders.map(() => 'same'),
          );
          for (const host of [a, b]) {
            const { RetransSegs = 0, TCPLossProbes = 0 } = host.stack.counters();
            assert.ok(RetransSegs <= TCPLossProbes, `${RetransSegs} of ${TCPLossProbes}`);
          }
          // The last may be on the wire.
          await until([a, b], () => a.stack.counters().OutSegs === b.stack.counters().InSegs);
          const late = a.connect({ host: AT.b[4], port: 7 });
          await until([a, b], () => late.connected);
        },
        { ...NAMED, engine },
      ),
    { missing: missingClang, timeoutMs: 120_000 },
  );

test(
  'a migration that fails leaves everything as it was; one that cannot be undone takes no probation',
  () =>
    wired(
      async w => {
        const { a, b, engine } = w;
        const senders = transfers(w, 2, 400_000);
        await until([a, b], () => moved(senders) >= 200_000, 60_000);
        const used = engine.arena.maps.usedBytes;
        const upgrade = (object: Buffer, options = {}) =>
          refusal(() => engine.transports.upgrade('a/tcp', object, options));
        const error = await upgrade(version('tcp', [...WIDE, FAILING]));
        assert.is(error.code, 'ERR_UPGRADE_MIGRATION');
        assert.match(error.message, /widen at element \d+ of map "tcp_flows": it returned -5/);
        const wide = version('tcp', [...WIDE, MIGRATING]);
        assert.is((await upgrade(wide, { probationMs: 100 })).code, 'ERR_UPGRADE_OPTIONS');
        assert.is(engine.arena.maps.usedBytes, used);
        assert.is(engine.transports.get('a/tcp').generation, 1);
        await until([a, b], () => senders.every(s => s.ended || s.error), 60_000);
        assert.equal(
          senders.map(s => s.verdict),
          ['same', 'same'],
        );
        assert.is(a.stack.counters().RetransSegs, undefined);
      },
      { ...NAMED, engine: { mapBytes: 64 << 20 } },
    ),
  { missing: missingClang, timeoutMs: 120_000 },
);

test(
  'without memory for both layouts it is refused, and all goes on',
  () =>
    wired(
      async w => {
        const { a, b, engine } = w;
        const senders = transfers(w, 2, 400_000);
        await until([a, b], () => moved(senders) >= 200_000, 60_000);
        const { maps } = engine.arena;
        // What is left is less than the flows take.
        const taken: number[] = [];
        for (let bytes = 1 << 24; bytes >= 32_768; bytes >>= 1)
          for (;;)
            try {
              taken.push(maps.alloc(bytes));
            } catch {
              break;
            }
        const used = maps.usedBytes;
        const error = await refusal(() =>
          engine.transports.upgrade('a/tcp', version('tcp', [...WIDE, MIGRATING])),
        );
        assert.is(error.code, 'ERR_ARENA_FULL');
        assert.is(maps.usedBytes, used);
        for (const at of taken) maps.free(at);
        await until([a, b], () => senders.every(s => s.ended || s.error), 60_000);
        assert.equal(
          senders.map(s => s.verdict),
          ['same', 'same'],
        );
      },
      { ...NAMED },
    ),
  { missing: missingClang, timeoutMs: 120_000 },
);
