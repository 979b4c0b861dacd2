/** bpf_spin_lock on worker lanes: one in the section at a time, and a lane that is killed inside of it stops nobody. */
import { setTimeout as sleep } from 'node:timers/promises';
import { assembleSpec } from '../../host/bpf/asm/spec.js';
import { Collection } from '../../host/bpf/collection.js';
import type { KeyedMap } from '../../host/bpf/maps/index.js';
import { collectionOf } from '../../host/bpf/open.js';
import { Engine } from '../../host/engine/engine.js';
import { ReplayNic } from '../../host/nic/index.js';
import { mapsOf } from '../bpf/corpus/maps.js';
import { udpFrame } from '../support/programs.js';
import { random } from '../support/random.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: bpf_spin_lock');

/**
 * A long section, which a lane is in most of the time; plain loads and stores, as in the kernel.
 *   value  │ 0 lock │ 8 who is inside │ 12 somebody else was, too │ 16 sections begun │ 24 sections ended │
 */
const SECTION = `
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = map[m]
    call map_lookup_elem
    if r0 == 0 goto out
    r6 = r0
    call get_smp_processor_id
    r7 = r0
    r7 += 1
    r1 = r6
    call spin_lock
    *(u32 *)(r6 + 8) = r7
    r1 = *(u64 *)(r6 + 16)
    r1 += 1
    *(u64 *)(r6 + 16) = r1
    r8 = 0
again:
    r2 = *(u32 *)(r6 + 8)
    if r2 == r7 goto alone
    r3 = *(u32 *)(r6 + 12)
    r3 += 1
    *(u32 *)(r6 + 12) = r3
alone:
    r8 += 1
    if r8 < 600 goto again
    r1 = *(u64 *)(r6 + 24)
    r1 += 1
    *(u64 *)(r6 + 24) = r1
    r1 = r6
    call spin_unlock
out:
    r0 = 1
    exit
`;

test(
  'lanes exclude each other, also when those that hold the lock are killed',
  async () => {
    const [m] = Object.values(mapsOf(['m=array/4/lock+28/1']));
    const spec = assembleSpec(SECTION, { name: 'section', mapSpecs: { m } });
    const nic = new ReplayNic({
      packets: Array.from({ length: 64 }, (_, i) => udpFrame(i, 64, i)),
      count: 1e12,
    });
    const lanes = 2;
    const engine = await Engine.create({
      nics: [nic],
      lanes,
      frames: 2048,
      mapBytes: 1 << 20,
      seed: 7,
      pass: 'count',
    });
    try {
      const collection = await Collection.load(collectionOf(spec, 'section'), engine);
      engine.attach(collection.program(), 1);
      const map = collection.map<KeyedMap>('m');
      const look = () => {
        const [[, bytes]] = [...map.rawEntries()];
        const v = new DataView(bytes.buffer, bytes.byteOffset);
        return {
          others: v.getUint32(12, true),
          begun: v.getBigUint64(16, true),
          ended: v.getBigUint64(24, true),
        };
      };
      await engine.start();
      const next = random(11);
      const inside = (): number => Number(look().begun - look().ended);
      let kills = 0;
      // Who is inside now is one of two.
      for (; kills < 40 && (kills < 6 || inside() < 2); kills++) {
        const { ended } = look();
        for (let i = 0; i < 5000 && look().ended < ended + 1000n; i++) await sleep(1);
        assert.ok(look().ended > ended, `both wait after ${kills} deaths`);
        engine.killLane(next() % lanes);
        for (let i = 0; i < 10_000 && engine.crashes.length <= kills; i++) await sleep(1);
        await engine.settled();
      }
      await engine.stop();
      const { others, begun, ended } = look();
      assert.is(others, 0);
      const died = Number(begun - ended);
      assert.ok(died >= 2 && died <= kills, `${died} of ${kills} died inside`);
      assert.ok(ended > 6000n);
    } finally {
      await engine.stop();
    }
  },
  { timeoutMs: 60_000 },
);
