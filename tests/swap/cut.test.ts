/** Probations that end before their time, and objects that none can be had with. */
import { loadElf } from '../../host/bpf/elf/load.js';
import { Engine } from '../../host/engine/engine.js';
import type { UpgradeReport } from '../../host/engine/transports.js';
import type { EtherloomError } from '../../host/errors.js';
import { HostNic } from '../../host/nic/index.js';
import { TCP_OBJECT } from '../../host/transports/tcp/control.js';
import { UDP_OBJECT } from '../../host/transports/udp/index.js';
import { LiveObject } from '../../host/transports/upgrade/live_object.js';
import { wired } from '../stack/rig.js';
import { assert, suite } from '../support/suite.js';
import { missingClang, small, UNSAFE, version } from './objects.js';

const test = suite('swap: probations cut short');
const HOUR = 3_600_000;

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    error => (error as EtherloomError).code,
  );

test(
  'the next upgrade ends a probation, and so does the end of the stack',
  () =>
    wired(
      async ({ a, engine }) => {
        const generation = (): number => engine.transports.get('a/tcp').generation;
        const upgrade = (options: object): Promise<UpgradeReport> =>
          engine.transports.upgrade('a/tcp', TCP_OBJECT, options);
        const changed = async (to: number): Promise<void> => {
          while (generation() < to) await new Promise(done => setTimeout(done, 5));
        };
        const first = upgrade({ probationMs: HOUR, baselineMs: 20 });
        await changed(2);
        const second = upgrade({ probationMs: HOUR, baselineMs: HOUR });
        const { probation, generation: of } = await first;
        assert.match(probation!.cutShort!, /another upgrade of tcp came/);
        assert.equal([of, probation!.rolledBack], [2, undefined]);
        // What cannot be read ends none.
        assert.is(await codeOf(engine.transports.upgrade('a/tcp', '/nowhere.o')), 'ERR_FILE_READ');
        const third = upgrade({ probationMs: HOUR, baselineMs: 20 });
        assert.is(await codeOf(second), 'ERR_UPGRADE_ENDED');
        await changed(3);
        await a.stack.close();
        assert.match((await third).probation!.cutShort!, /whose stack is closed/);
      },
      { a: { name: 'a' }, b: { name: 'b' } },
    ),
  { timeoutMs: 180_000 },
);

for (const [what, needs] of [
  ['what is no object, times, another layout', undefined],
  ['what the verifier does not allow', missingClang],
] as const)
  test(
    `an upgrade that is refused ends no probation: ${what}`,
    () =>
      wired(
        async ({ a, engine }) => {
          const upgrade = (object: string | Uint8Array, options: object): Promise<UpgradeReport> =>
            engine.transports.upgrade('a/tcp', object, options);
          const first = upgrade(TCP_OBJECT, { probationMs: HOUR, baselineMs: 20 });
          while (engine.transports.get('a/tcp').generation < 2)
            await new Promise(done => setTimeout(done, 5));
          const plain = { probationMs: 50, baselineMs: 20 };
          const refused: [string | Uint8Array, object, string][] =
            what === 'what the verifier does not allow'
              ? [[version('tcp', [UNSAFE]), {}, 'ERR_VERIFIER_PACKET_BOUNDS']]
              : [
                  [new Uint8Array(100), plain, 'ERR_ELF_MAGIC'],
                  [TCP_OBJECT, { probationMs: -1 }, 'ERR_UPGRADE_OPTIONS'],
                  [TCP_OBJECT, { ...plain, baselineMs: 0 }, 'ERR_UPGRADE_OPTIONS'],
                  [UDP_OBJECT, {}, 'ERR_UPGRADE_OBJECT'],
                ];
          for (const [object, options, code] of refused)
            assert.is(await codeOf(upgrade(object, options)), code);
          await a.stack.close();
          assert.match((await first).probation!.cutShort!, /whose stack is closed/);
        },
        { a: { name: 'a' }, b: { name: 'b' } },
      ),
    { missing: needs, timeoutMs: 180_000 },
  );

test(
  'nor does one that is refused when it is loaded: timers call what it has not, or there is no memory',
  async () => {
    const nic = new HostNic({ name: 'p' });
    const engine = await Engine.create({ nics: [nic], inline: true, clock: 'virtual', warmMs: 0 });
    const live = await LiveObject.load(
      { engine, apps: undefined as never, table: 300, stack: 'here' },
      {
        ...{ name: 'small', object: small(1), sizes: {}, globals: { '.rodata': { setting: 77 } } },
        ...{ counters: 'small_counters', errors: ['Seen'] },
      },
    );
    const attachment = engine.attach(live.program('small').placed, 'p');
    await engine.start();
    const armed = new Uint8Array(64);
    armed[1] = 1;
    assert.ok(nic.send(armed));
    engine.run({ untilNs: engine.now() });
    const first = live.upgrade(small(1), { probationMs: HOUR, baselineMs: 20 });
    while (live.generation < 2) await new Promise(done => setTimeout(done, 5));
    const large = loadElf(small(2), 'large');
    large.maps.small_extra.maxEntries = 1 << 24;
    const used = engine.arena.maps.usedBytes;
    for (const [object, code] of [
      [small(3), 'ERR_SUPERSEDE'],
      [large, 'ERR_ARENA_FULL'],
    ] as const)
      for (const options of [{}, { probationMs: 50, baselineMs: 20 }]) {
        assert.is(await codeOf(live.upgrade(object, options)), code);
        assert.equal([live.generation, engine.arena.maps.usedBytes], [2, used]);
        const over = await Promise.race([first, new Promise(done => setTimeout(done, 30))]);
        assert.is(over, undefined, 'the probation goes on');
      }
    await live.upgrade(small(2));
    assert.match((await first).probation!.cutShort!, /another upgrade of small came/);
    assert.is(live.generation, 3);
    await engine.detach(attachment);
    live.map('small_clocks').cancelTimers();
    engine.run({ untilNs: engine.now() + 1_000_000n });
    await live.close();
    assert.is(engine.arena.maps.usedBytes, 0);
    await engine.stop();
  },
  { missing: missingClang, timeoutMs: 180_000 },
);

test(
  'an object that does not count errors, or under other names, takes no probation',
  async () => {
    const engine = await Engine.create({
      ...{ nics: [new HostNic({ name: 'p' })], inline: true, clock: 'virtual', warmMs: 0 },
    });
    const live = await LiveObject.load(
      { engine, apps: undefined as never, table: 300, stack: 'here' },
      {
        ...{ name: 'small', object: small(1), sizes: {}, globals: { '.rodata': { setting: 77 } } },
        ...{ counters: 'small_counters', errors: ['Seen'] },
      },
    );
    await engine.start();
    const options = { probationMs: 50, baselineMs: 20 };
    for (const [version, code] of [
      [4, 'ERR_UPGRADE_OPTIONS'],
      // Without the map of its counters nothing says that it is one of this transport.
      [5, 'ERR_UPGRADE_OBJECT'],
    ] as const) {
      assert.is(await codeOf(live.upgrade(small(version), options)), code);
      assert.is(live.generation, 1);
    }
    assert.ok((await live.upgrade(small(2), options)).probation!.ms >= 50);
    await live.close();
    await engine.stop();
  },
  { missing: missingClang, timeoutMs: 180_000 },
);
