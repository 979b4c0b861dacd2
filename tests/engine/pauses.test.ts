/** Pauses of worker lanes: while work is done that needs them still, every lane stands still. */
import { Engine } from '../../host/engine/engine.js';
import { LanePhase } from '../../host/layout/layout.gen.js';
import { HostNic } from '../../host/nic/index.js';
import type { NicEnv } from '../../host/nic/nic.js';
import type { Port } from '../../host/nic/port.js';
import { assert, suite } from '../support/suite.js';

const test = suite('engine: pauses');

/** A NIC that keeps what it was opened with. */
class PausingNic extends HostNic {
  given: NicEnv | undefined;

  override open(env: NicEnv): Port {
    this.given = env;
    return super.open(env);
  }
}

/** Longer than a lane sleeps: who does not stand still is seen to move. */
const LOOK_MS = 25;

test(
  'pauses that follow each other at once: no lane runs in any of them, though it has not woken from the one before',
  async () => {
    const nic = new PausingNic();
    const lanes = 2;
    const engine = await Engine.create({ nics: [nic], lanes, frames: 256, mapBytes: 4096, warmMs: 0 });
    await engine.start();
    const states = Array.from({ length: lanes }, (_, i) => engine.arena.lane(i));
    const phases = (): string => states.map(s => s.phase).join();
    const still = Array.from({ length: lanes }, () => LanePhase.PAUSED).join();
    const from = performance.now();
    try {
      for (let i = 0; i < 40; i++) {
        await nic.given!.paused(() => {});
        await nic.given!.paused(() => {
          for (const begun = performance.now(); performance.now() - begun < LOOK_MS; )
            if (phases() !== still) assert.unreachable(`time ${i}: phases ${phases()}, expected ${still}`);
        });
      }
      assert.ok(performance.now() - from < 20_000, 'and none is waited for that nobody has told');
    } finally {
      await engine.stop();
    }
  },
  { timeoutMs: 60_000 },
);
