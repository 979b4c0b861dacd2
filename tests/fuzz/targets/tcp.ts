/**
 * TCP's programs on hostile segments, next to connections that carry bytes: no trap, no frame lost, no program that aborts,
 * every packet sound, and what is carried has the sha256 of what was sent. tests/tcp/fuzz says how segments are made.
 * Ten million: npm run fuzz -- tcp 10000000
 */
import type { FuzzTarget } from '../../support/fuzz.js';
import { Field } from '../../tcp/fuzz/field.js';

let field: Field;

export const target: FuzzTarget = {
  name: 'tcp',
  stateful: true,
  begin: async () => {
    field = await Field.create();
  },
  seeds: () => [new Uint8Array(60)],
  maxBytes: 1700,
  // Some inputs are followed by a minute of everybody's timers.
  maxMs: 30_000,
  make: rng => field.make(rng),
  repair: frame => field.repair(frame),
  run: frame => field.run(frame),
  end: async () => {
    if (field.transfers === 0) throw new Error('no transfer came to its end');
    await field.end();
  },
};
