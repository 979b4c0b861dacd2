/**
 * The tutorial's transport (bpf-progs/transports/window) on packets of strangers, packets that come late, again or broken, and
 * bytes in a send ring that are no datagram: no trap, no frame lost, and what an honest peer and its sockets say to each
 * other arrives once and in order. tests/own/fuzz says what an input does.
 */
import { Field } from '../../own/fuzz/field.js';
import type { FuzzTarget } from '../../support/fuzz.js';

let field: Field;

export const target: FuzzTarget = {
  name: 'window',
  stateful: true,
  begin: async () => {
    field = await Field.create();
  },
  seeds: () => [new Uint8Array(60)],
  maxBytes: Field.maxBytes,
  // Some inputs are followed by everybody's timers.
  maxMs: 30_000,
  make: rng => field.make(rng),
  run: input => field.run(input),
  end: async () => {
    await field.end();
    if (field.got === 0) throw new Error('nothing of an honest peer arrived');
  },
};
