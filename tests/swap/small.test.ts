/** A small object of one's own: hooks, tail calls, timers, variables and settings after an upgrade. */
import type { ArrayMap } from '../../host/bpf/maps/index.js';
import { Engine } from '../../host/engine/engine.js';
import type { EtherloomError } from '../../host/errors.js';
import { HostNic } from '../../host/nic/index.js';
import { LiveObject } from '../../host/transports/upgrade/live_object.js';
import { assert, suite } from '../support/suite.js';
import { missingClang, small } from './objects.js';

const test = suite('swap: a small object');
const NEEDS = { missing: missingClang };
const MS = 1_000_000n;

interface Rig {
  engine: Engine;
  live: LiveObject;
  /** What became of a packet: the verdict that was counted. */
  packet(tail: number, timer?: boolean): string;
  clock(): { fired: number; by: number; setting: number };
  packets(): number;
}

async function rig(work: (r: Rig) => Promise<void>): Promise<void> {
  const nic = new HostNic({ name: 'p' });
  const engine = await Engine.create({ nics: [nic], inline: true, clock: 'virtual', warmMs: 0 });
  const live = await LiveObject.load(
    { engine, apps: undefined as never, table: 300, stack: 'here' },
    {
      ...{ name: 'small', object: small(1), sizes: {}, globals: { '.rodata': { setting: 77 } } },
      ...{ counters: 'small_counters', errors: [] },
    },
  );
  const attachment = engine.attach(live.program('small').placed, 'p');
  await engine.start();
  const verdicts = (): Record<string, number> => ({ ...engine.counters()[0].verdicts });
  const packet = (tail: number, timer = false): string => {
    const before = verdicts();
    const frame = new Uint8Array(64);
    frame[0] = tail;
    frame[1] = timer ? 1 : 0;
    assert.ok(nic.send(frame));
    engine.run({ untilNs: engine.now() });
    engine.receive();
    nic.receive();
    const after = verdicts();
    return Object.keys(after)
      .filter(name => after[name] !== (before[name] ?? 0))
      .join(' ');
  };
  const clock = () =>
    live.map<ArrayMap>('small_clocks').get(0) as unknown as { fired: number; by: number; setting: number };
  const packets = (): number => (live.map<ArrayMap>('.bss').get(0) as unknown as { packets: number }).packets;
  await work({ engine, live, packet, clock, packets });
  await engine.detach(attachment);
  live.map('small_clocks').cancelTimers();
  engine.run({ untilNs: engine.now() + MS });
  await live.close();
  assert.is(engine.arena.maps.usedBytes, 0);
  await engine.stop();
}

const codeOf = async (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    error => (error as EtherloomError).code,
  );

test(
  'the hook, tail calls and an armed timer go to the new programs; variables and settings stay',
  () =>
    rig(async ({ engine, live, packet, clock, packets }) => {
      assert.equal([packet(0, true), packet(1), packet(2)], ['drop', 'drop', 'pass']);
      engine.run({ untilNs: engine.now() + 5n * MS });
      const first = clock();
      assert.equal([first.by, first.setting, first.fired >= 4], [1, 77, true]);
      const report = await live.upgrade(small(2));
      assert.equal(report.newMaps, ['small_extra']);
      // Key 1 leads nowhere any more, 2 does, and 0 to the program of that name.
      assert.equal([packet(0), packet(1), packet(2)], ['tx', 'pass', 'drop']);
      assert.is(packets(), 6);
      assert.equal(live.counters(), { Seen: 6 });
      engine.run({ untilNs: engine.now() + 5n * MS });
      const second = clock();
      assert.equal([second.by, second.setting, second.fired >= first.fired + 4], [2, 77, true]);
      assert.is(
        (live.map<ArrayMap>('small_extra').get(0) as unknown as bigint) ?? 0n,
        0n,
        'not the callback of that number',
      );
      // And back, with the map that only the second had kept for it.
      live.map<ArrayMap>('small_extra').set(1, 9n);
      await live.upgrade(small(1));
      assert.equal([packet(0), packet(1), packet(2)], ['drop', 'drop', 'pass']);
      engine.run({ untilNs: engine.now() + 3n * MS });
      assert.is(clock().by, 1);
      const again = await live.upgrade(small(2));
      assert.equal([again.newMaps, live.map<ArrayMap>('small_extra').get(1)], [[], 9n]);
    }),
  NEEDS,
);

test(
  'without a function that timers call it is refused; the timer goes on',
  () =>
    rig(async ({ engine, live, packet, clock }) => {
      packet(0, true);
      assert.is(await codeOf(live.upgrade(small(3))), 'ERR_SUPERSEDE');
      engine.run({ untilNs: engine.now() + 5n * MS });
      assert.equal([clock().by, live.generation], [1, 1]);
      assert.equal([packet(0), packet(1), packet(2)], ['drop', 'drop', 'pass']);
    }),
  NEEDS,
);
