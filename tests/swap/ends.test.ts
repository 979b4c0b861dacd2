/** Upgrades at bad moments: before the start, two at a time, while the stack closes, the engine stops, a lane is given up. */
import { Engine } from '../../host/engine/engine.js';
import { EtherloomError } from '../../host/errors.js';
import { Stack } from '../../host/net/stack.js';
import { HostNic, modelLink } from '../../host/nic/index.js';
import { TCP_OBJECT } from '../../host/transports/tcp/control.js';
import { AT, addresses, B, echo, pattern, Sender, until, wired } from '../stack/rig.js';
import { handMade, udpFrame } from '../support/programs.js';
import { assert, suite } from '../support/suite.js';
import { missingClang, version } from './objects.js';

const test = suite('swap: bad moments');
const NAMED = { a: { name: 'a' }, b: { name: 'b' } };
const THREADS = { inline: false, clock: 'real', lanes: 2 } as const;

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work;
    return 'none';
  } catch (error) {
    if (error instanceof EtherloomError) return error.code;
    throw error;
  }
};

test('before the start: no lane has to stand still, and all begin with the new programs', async () => {
  const { a, b } = modelLink({ name: 'wire', packets: 1024 });
  const engine = await Engine.create({ nics: [a, b], streams: { count: 16, bytes: 4 << 20 } });
  const stack = await Stack.create({ engine, ports: { 'wire.b': { addresses: addresses(B) } } });
  const report = await engine.transports.upgrade('tcp', TCP_OBJECT);
  assert.equal([report.generation, report.pausesNs], [2, []]);
  await engine.start();
  const running = await engine.transports.upgrade('tcp', TCP_OBJECT);
  assert.equal([running.generation, running.pausesNs.length], [3, 1]);
  await stack.close();
  assert.equal(engine.transports.list(), []);
  assert.is(await codeOf(engine.transports.upgrade('tcp', TCP_OBJECT)), 'ERR_TRANSPORT_UNKNOWN');
  await engine.stop();
});

test('of the same transport one after another, whatever came between', () =>
  wired(async ({ engine }) => {
    const many = await Promise.all([
      ...Array.from({ length: 4 }, () => engine.transports.upgrade('a/tcp', TCP_OBJECT)),
      codeOf(engine.transports.upgrade('a/tcp', new Uint8Array(4))),
      engine.transports.upgrade('b/tcp', TCP_OBJECT),
    ]);
    assert.equal(
      many.map(r => (typeof r === 'string' ? r : r.generation)),
      [2, 3, 4, 5, 'ERR_ELF_MAGIC', 2],
    );
  }, NAMED));

for (const [what, engine] of [
  ['of an inline engine', {}],
  ['with worker lanes', THREADS],
] as const)
  test(
    `a stack ${what} that is closed waits for an upgrade under way, and takes no other`,
    () =>
      wired(
        async ({ a, engine: e }) => {
          const before = e.arena.maps.usedBytes;
          const under = codeOf(e.transports.upgrade('a/tcp', TCP_OBJECT));
          const closing = a.stack.close();
          const late = codeOf(e.transports.upgrade('a/tcp', TCP_OBJECT));
          await closing;
          assert.is(await under, 'none');
          assert.ok(['none', 'ERR_STACK_CLOSED'].includes(await late), await late);
          assert.equal(
            e.transports.list().map(t => t.stack),
            ['b', 'b'],
          );
          assert.ok(e.arena.maps.usedBytes < before);
        },
        { ...NAMED, engine },
      ),
    { timeoutMs: 60_000 },
  );

test(
  'an engine that is stopped in the middle: the upgrade ends, one way or the other, and nothing hangs',
  async () => {
    for (let i = 0; i < 6; i++) {
      const { a, b } = modelLink({ name: 'wire', packets: 1024 });
      const engine = await Engine.create({
        ...{ nics: [a, b], lanes: 2, streams: { count: 16, bytes: 4 << 20 } },
      });
      const stack = await Stack.create({ engine, ports: { 'wire.b': { addresses: addresses(B) } } });
      await engine.start();
      const under = codeOf(engine.transports.upgrade('tcp', TCP_OBJECT));
      await new Promise(next => setTimeout(next, i * 2));
      const stopping = engine.stop();
      assert.ok(['none', 'ERR_ENGINE_STATE'].includes(await under), await under);
      await stopping;
      await stack.close();
    }
  },
  { timeoutMs: 120_000 },
);

/** Traps on what comes in by queue 1: rx_queue_index of struct xdp_md. */
const trap = handMade('(if (i32.load offset=16 (local.get 0)) (then unreachable)) i64.const 1', {
  name: 'trap',
});

for (const [when, upgradesBefore] of [
  ['in the first of', 0],
  ['in the fourth of', 3],
] as const)
  test(
    `a lane that is given up ${when} many upgrades: the other goes on with the new programs`,
    () => {
      const killer = new HostNic({ name: 'killer' });
      return wired(
        async ({ a, b, engine }) => {
          engine.attach(await engine.load(trap), 'killer');
          b.onAccept = echo;
          b.stack.burst.listen({ port: 7 });
          let generation = 1;
          const upgrade = async (): Promise<void> => {
            const code = await codeOf(engine.transports.upgrade('a/tcp', TCP_OBJECT));
            if (code === 'none') generation++;
            assert.is(engine.transports.get('a/tcp').generation, generation, code);
          };
          for (let i = 0; i < upgradesBefore; i++) await upgrade();
          const failed = new Promise<unknown>(done => engine.once('failed', done));
          const under = upgrade();
          for (let flow = 0; flow < 64; flow++) killer.send(udpFrame(flow));
          await Promise.all([under, failed]);
          assert.equal(engine.lostLanes, [1]);
          const before = generation;
          for (let i = 0; i < 3; i++) await upgrade();
          assert.is(generation, before + 3, 'the lane that lives is all that is asked');
          // A connection both of whose ends are in the lane that lives.
          for (let n = 0, port = 20_000; n < 1; port++) {
            const c = a.connect({ host: AT.b[4], port: 7, localPort: port });
            const s = new Sender(c, pattern(100_000, 1));
            a.hear(c, s.heard);
            await until([a, b], () => s.ended || c.closed || c.info().retransmits > 0, 20_000);
            if (s.ended) {
              assert.is(s.verdict, 'same');
              n++;
            } else c.abort();
          }
        },
        { ...NAMED, engine: { ...THREADS, restarts: 0 }, nics: [killer] },
      );
    },
    { timeoutMs: 120_000 },
  );

test(
  'an object of other constants, again and again: those of before are given back',
  () =>
    wired(async ({ engine }) => {
      const other = (n: number): Buffer =>
        version('tcp', [
          {
            ...{ file: 'tcp.bpf.c', from: 'license("Dual MIT/GPL");' },
            to: `const volatile __u32 number = ${n};\nSEC("xdp_egress")\nint told(struct xdp_md *ctx) { return number; }\nlicense("Dual MIT/GPL");`,
          },
        ]);
      const used: number[] = [];
      for (let i = 0; i < 12; i++) {
        const report = await engine.transports.upgrade('a/tcp', other(i % 6));
        assert.equal(report.newMaps, []);
        used.push(engine.arena.maps.usedBytes);
      }
      assert.is(used.at(-1), used[5], used.join(' '));
    }, NAMED),
  { missing: missingClang, timeoutMs: 120_000 },
);
