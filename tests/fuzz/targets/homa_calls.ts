/**
 * Homa's programs on hostile packets of all types about calls that are under way, beside honest calls: no trap, no frame and
 * no stream lost, and honest calls are answered with what they should. tests/homa/fuzz says how packets are made.
 */

import { Field } from '../../homa/fuzz/field.js';
import { mend } from '../../homa/fuzz/forge.js';
import type { FuzzTarget } from '../../support/fuzz.js';

let field: Field;

export const target: FuzzTarget = {
  name: 'homa_calls',
  stateful: true,
  begin: async () => {
    field = await Field.create();
  },
  seeds: () => [new Uint8Array(90)],
  maxBytes: Field.maxBytes,
  // Some inputs are followed by seconds of everybody's timers.
  maxMs: 30_000,
  make: rng => field.make(rng),
  repair: mend,
  run: frame => field.run(frame),
  end: async () => {
    if (field.answered < 50) throw new Error(`${field.answered} honest calls were answered`);
    await field.end();
  },
};
