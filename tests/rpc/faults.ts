/** What the wire of a rig does to packets, changed while they are under way. */
import type { Engine } from '../../host/engine/engine.js';
import { LinkView } from '../../host/layout/layout.gen.js';

/** Probabilities, as LinkSettings has them. */
export interface Faults {
  loss?: number;
  duplicate?: number;
  reorder?: number;
  corrupt?: number;
}

const NAMES = ['loss', 'duplicate', 'reorder', 'corrupt'] as const;

/** Both directions of the wire of an engine from modelLink, which has a delay: one without is not looked at packet by packet. */
export function setFaults(engine: Engine, faults: Faults): { end(): void } {
  for (const name of Object.keys(faults))
    if (!NAMES.includes(name as 'loss'))
      throw new Error(`${name} of a wire is not changed while it is in use`);
  for (const { name } of engine.ports) {
    const link = new LinkView(engine.arena.dv, engine.port(name).queue(0).linkAt);
    for (const fault of NAMES) link[fault] = Math.round((faults[fault] ?? 0) * 2 ** 32);
  }
  return { end: () => setFaults(engine, {}) };
}
