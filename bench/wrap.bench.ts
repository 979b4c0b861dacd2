/** Wrappers: what a packet costs the host that goes through one. Frames played by one inline lane and dropped. */
import { Engine } from '../host/engine/engine.js';
import { capture, faults, PcapWriter, ReplayNic, trace } from '../host/nic/index.js';
import type { Nic } from '../host/nic/nic.js';
import { udpFrame, verdict } from '../tests/support/programs.js';
import type { Bench } from './harness/bench.js';

const BATCH = 1 << 15;
const FRAME = 64;
const FLOWS = 64;

const WRAPPERS: Record<string, (nic: Nic) => Nic> = {
  'not wrapped': nic => nic,
  'looked at': nic => trace(nic, { filter: () => false }),
  captured: nic => capture(nic, { file: new PcapWriter(() => {}) }),
  'lost or corrupted, 1 %': nic => faults(nic, { rx: { loss: 0.01, corrupt: 0.01 } }),
  'printed, a line each': nic => trace(nic, { print: () => {} }),
};

export default async function wrap(bench: Bench): Promise<void> {
  let bare: number | undefined;
  for (const [name, wrapper] of Object.entries(WRAPPERS)) {
    const packets = Array.from({ length: FLOWS }, (_, i) => udpFrame(i, FRAME, i));
    const nic = new ReplayNic({ packets, count: 0 });
    const engine = await Engine.create({
      nics: [wrapper(nic)],
      inline: true,
      pass: 'count',
      mapBytes: 1 << 16,
    });
    engine.attach(await engine.load(verdict(1)), 1);
    await engine.start();
    const play = (count: number): void => {
      nic.again({ count });
      while (engine.busy) engine.step(64);
    };
    play(16 * BATCH);
    const s = bench.time(name, () => play(BATCH), { batch: BATCH });
    await engine.stop();
    bare ??= s.ns;
    bench.row({
      group: 'wrappers',
      name,
      conditions: `1 lane, inline, ${FRAME} B, replay → wrapper → drop`,
      unit: 'ns',
      value: s.ns,
      rme: s.rme,
      ...(name === 'not wrapped' ? {} : { peer: { name: 'not wrapped', value: bare } }),
    });
  }
}
