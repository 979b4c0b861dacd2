/**
 * UDP's programs on what applications write into shared memory that is no datagram, beside honest sockets and neighbours
 * that answer late or never: no trap, no frame lost, nothing sent that is unsound or another's, and the honest are served.
 * tests/udp/fuzz says what an input orders.
 */
import type { FuzzTarget } from '../../support/fuzz.js';
import { Field } from '../../udp/fuzz/field.js';

let field: Field;

export const target: FuzzTarget = {
  name: 'udp',
  stateful: true,
  begin: async () => {
    field = await Field.create();
  },
  seeds: () => [new Uint8Array(60)],
  maxBytes: Field.maxBytes,
  // Some inputs are followed by seconds of everybody's timers.
  maxMs: 30_000,
  make: rng => field.make(rng),
  run: input => field.run(input),
  end: async () => {
    await field.end();
    if (field.delivered === 0) throw new Error('nothing of an honest socket left');
  },
};
