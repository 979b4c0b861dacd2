/** TCP's programs replaced under transfers: every byte arrives, nothing is sent twice because of it. */
import { readFileSync } from 'node:fs';
import type { Engine } from '../../host/engine/engine.js';
import type { UpgradeReport } from '../../host/engine/transports.js';
import { EtherloomError } from '../../host/errors.js';
import { TCP_OBJECT } from '../../host/transports/tcp/control.js';
import { AT, echo, type Host, pattern, Sender, until, wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { EAGER, missingClang, UNSAFE, version, WIDER, WIDER_LINES } from './objects.js';

const test = suite('swap: tcp');
const NAMED = { a: { name: 'a' }, b: { name: 'b' } };
const THREADS = {
  inline: false,
  clock: 'real',
  lanes: 2,
  streams: { count: 64, bytes: 64 << 20, apps: 8 },
} as const;

/** Echoes of `n` connections under way from one host to the other. */
function transfers({ a, b }: { a: Host; b: Host }, n: number, bytes: number): Sender[] {
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

const retransmissions = ({ a, b }: { a: Host; b: Host }): number =>
  (a.stack.counters().RetransSegs ?? 0) + (b.stack.counters().RetransSegs ?? 0);

/**
 * Each segment that one host sent came to the other, and none was missed: a machine that lets a lane wait brings probes of
 * its tail, and nothing else.
 */
async function nothingLost({ a, b }: { a: Host; b: Host }): Promise<void> {
  let [x, y] = [a.stack.counters(), b.stack.counters()];
  await until([a, b], () => {
    [x, y] = [a.stack.counters(), b.stack.counters()];
    return x.OutSegs === y.InSegs && y.OutSegs === x.InSegs;
  });
  for (const c of [x, y]) {
    const { RetransSegs = 0, TCPLossProbes = 0, TCPOFOQueue = 0, TCPFastRetrans = 0, TCPTimeouts = 0 } = c;
    assert.ok(RetransSegs <= TCPLossProbes, `${RetransSegs} retransmissions, ${TCPLossProbes} probes`);
    assert.is(TCPOFOQueue + TCPFastRetrans + TCPTimeouts, 0, JSON.stringify(c));
  }
}

function checkAll(senders: readonly Sender[]): void {
  assert.equal(
    senders.map(s => s.verdict),
    senders.map(() => 'same'),
  );
}

/** Table slots that are in use tell of programs that were forgotten. */
const programsOf = (engine: Engine): string[] =>
  engine.transports.list().map(t => `${t.stack}/${t.name} ${t.generation}`);

async function refusal(work: () => Promise<unknown>): Promise<EtherloomError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof EtherloomError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

test('twenty upgrades in virtual time under transfers: each byte the same, nothing retransmitted', () =>
  wired(async w => {
    const { a, b, engine } = w;
    const senders = transfers(w, 4, 1_000_000);
    const bytes = readFileSync(TCP_OBJECT);
    const reports: UpgradeReport[] = [];
    for (let i = 0; i < 20; i++) {
      await until([a, b], () => moved(senders) >= (i + 1) * 150_000, 60_000);
      reports.push(await engine.transports.upgrade(i & 1 ? 'b/tcp' : 'a/tcp', i & 2 ? bytes : TCP_OBJECT));
    }
    await until([a, b], () => senders.every(s => s.ended || s.error), 60_000);
    checkAll(senders);
    assert.is(retransmissions(w), 0);
    assert.equal(programsOf(engine), ['a/tcp 11', 'a/udp 1', 'b/tcp 11', 'b/udp 1']);
    assert.equal(reports.at(-1)!.newMaps, []);
    assert.is(reports.at(-1)!.transport, 'b/tcp');
    assert.is(reports.at(-1)!.pausesNs.length, 1);
  }, NAMED));

test(
  'another ACK policy takes effect on connections that are open, and the old one again',
  () =>
    wired(async w => {
      const { a, b, engine } = w;
      b.onAccept = c => () => {
        for (const view of c.readViews()) c.consume(view.length);
      };
      b.stack.burst.listen({ port: 7 });
      const c = a.connect({ host: AT.b[4], port: 7 });
      await until([a, b], () => c.connected);
      /** Time until a small message is acknowledged, ms. */
      const acked = async (): Promise<number> => {
        // Those of the beginning are acknowledged at once.
        let ms = 0;
        for (let i = 0; i < 40; i++) {
          const from = engine.now();
          const before = c.info().bytesAcked;
          c.write(pattern(100, i));
          await until([a, b], () => c.info().bytesAcked >= before + 100);
          ms = Number(engine.now() - from) / 1e6;
        }
        return ms;
      };
      const usual = await acked();
      await engine.transports.upgrade('b/tcp', version('tcp', [EAGER]));
      const eager = await acked();
      await engine.transports.upgrade('b/tcp', TCP_OBJECT);
      const again = await acked();
      assert.ok(usual > 30 && again > 30, `${usual} and ${again} ms: delayed acknowledgments`);
      assert.ok(eager < 1, `${eager} ms: at once`);
    }, NAMED),
  { missing: missingClang, timeoutMs: 60_000 },
);

test(
  'a state that lies otherwise is refused: which map, which member, where it was and is; all goes on',
  () =>
    wired(async w => {
      const { a, b, engine } = w;
      const senders = transfers(w, 2, 400_000);
      await until([a, b], () => moved(senders) >= 100_000, 60_000);
      const error = await refusal(() =>
        engine.transports.upgrade('a/tcp', version('tcp', [WIDER, WIDER_LINES])),
      );
      assert.is(error.code, 'ERR_UPGRADE_LAYOUT');
      assert.match(error.message, /map "tcp_flows": its value: upgrades is new, at offset 256/);
      assert.match(error.message, /map "tcp_flows": its value: mtu was at offset 256 and is at offset 264/);
      await until([a, b], () => senders.every(s => s.ended || s.error), 60_000);
      checkAll(senders);
      assert.is(retransmissions(w), 0);
      assert.equal(programsOf(engine)[0], 'a/tcp 1');
    }, NAMED),
  { missing: missingClang, timeoutMs: 60_000 },
);

test(
  'what the verifier refuses changes nothing; nor what is no object, or of another transport',
  () =>
    wired(async w => {
      const { a, b, engine } = w;
      const senders = transfers(w, 2, 400_000);
      await until([a, b], () => moved(senders) >= 100_000, 60_000);
      const used = engine.arena.maps.usedBytes;
      const tcp = (objects: string | Uint8Array): Promise<EtherloomError> =>
        refusal(() => engine.transports.upgrade('a/tcp', objects));
      if (!missingClang) assert.is((await tcp(version('tcp', [UNSAFE]))).code, 'ERR_VERIFIER_PACKET_BOUNDS');
      assert.is((await tcp(new Uint8Array(100))).code, 'ERR_ELF_MAGIC');
      assert.is((await tcp('/nowhere.bpf.o')).code, 'ERR_FILE_READ');
      const udp = TCP_OBJECT.replace(/tcp\.bpf\.o$/, 'udp.bpf.o');
      const other = await tcp(udp);
      assert.is(other.code, 'ERR_UPGRADE_OBJECT');
      assert.match(other.message, /this is no object of transport tcp/);
      const asked = (options: object): Promise<EtherloomError> =>
        refusal(() => engine.transports.upgrade('a/tcp', TCP_OBJECT, options));
      for (const [options, text] of [
        [{ probation: '5s' }, /option probation of an upgrade; expected fresh, probationMs, baselineMs/],
        [{ fresh: ['nowhere'] }, /fresh: there is no map "nowhere"/],
      ] as const) {
        const { code, message } = await asked(options);
        assert.is(code, 'ERR_UPGRADE_OPTIONS');
        assert.match(message, text);
      }
      assert.is((await refusal(() => engine.transports.upgrade('tcp', udp))).code, 'ERR_TRANSPORT_AMBIGUOUS');
      assert.is((await refusal(() => engine.transports.upgrade('homa', udp))).code, 'ERR_TRANSPORT_UNKNOWN');
      assert.is(engine.arena.maps.usedBytes, used);
      await until([a, b], () => senders.every(s => s.ended || s.error), 60_000);
      checkAll(senders);
      assert.is(retransmissions(w), 0);
    }, NAMED),
  { timeoutMs: 60_000 },
);

test(
  'fifty upgrades of both ends on worker lanes under transfers; slots and memory are given back',
  () =>
    wired(
      async w => {
        const { a, b, engine } = w;
        const senders = transfers(w, 4, 30_000_000);
        const used = engine.arena.maps.usedBytes;
        for (let i = 0; i < 50; i++) {
          const until_ = moved(senders) + 500_000;
          await until([a, b], () => moved(senders) >= until_ || senders.every(s => s.ended), 60_000);
          const report = await engine.transports.upgrade(i & 1 ? 'b/tcp' : 'a/tcp', TCP_OBJECT);
          assert.is(report.pausesNs.length, 2);
          for (const ns of report.pausesNs) assert.ok(ns > 0);
        }
        await until([a, b], () => senders.every(s => s.ended || s.error), 90_000);
        checkAll(senders);
        await nothingLost(w);
        assert.equal(programsOf(engine), ['a/tcp 26', 'a/udp 1', 'b/tcp 26', 'b/udp 1']);
        assert.is(engine.arena.maps.usedBytes, used);
        assert.equal(engine.crashes, []);
      },
      { ...NAMED, engine: THREADS },
    ),
  { timeoutMs: 180_000 },
);

test(
  'lanes killed while upgrades are under way come back with the programs of the last',
  () =>
    wired(
      async w => {
        const { a, b, engine } = w;
        const senders = transfers(w, 4, 4_000_000);
        for (let i = 0; i < 6; i++) {
          await until([a, b], () => moved(senders) >= (i + 1) * 1_000_000, 60_000);
          const upgrade = engine.transports.upgrade('a/tcp', TCP_OBJECT);
          engine.killLane(i & 1);
          await upgrade;
          await engine.settled();
        }
        await until([a, b], () => senders.every(s => s.ended || s.error), 90_000);
        checkAll(senders);
        assert.is(engine.crashes.length, 6);
        assert.equal(programsOf(engine)[0], 'a/tcp 7');
      },
      { ...NAMED, engine: THREADS },
    ),
  { timeoutMs: 180_000 },
);
