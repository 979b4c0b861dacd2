/** What callers may hand to global functions, which are verified by their types alone (tests/bpf/corpus/c/globals.c). */
import { interpret } from '../../../host/bpf/interp/interpret.js';
import { createMap, mapBinding } from '../../../host/bpf/maps/index.js';
import { VerifierError, verify } from '../../../host/bpf/verify/verify.js';
import { testPacket } from '../../../host/engine/test_run.js';
import { Arena } from '../../../host/mem/arena.js';
import { instantiateCore } from '../../../host/mem/core.js';
import { assert, suite } from '../../support/suite.js';
import { readObjects } from '../corpus/entry.js';

const test = suite('verify: arguments of global functions');
const programs = new Map(
  readObjects()
    .filter(e => e.rule === 'c_globals')
    .map(e => [e.spec.name, e.spec]),
);
const specOf = (name: string) => programs.get(name) ?? assert.unreachable(name);

const REFUSED: Record<string, readonly [string, RegExp]> = {
  null_on_one_path_a_number_on_the_other: ['global-function', /scalar 4096, expected memory/],
  global_takes_a_number_for_a_pointer: ['global-function', /expected memory/],
  global_adds_to_memory_of_unknown_alignment: ['atomic', /unknown alignment/],
  global_swaps_in_memory_of_unknown_alignment: ['atomic', /unknown alignment/],
  record_is_added_to_at_an_odd_place: ['alignment', /8 bytes at 4 are not aligned/],
  global_given_packet_bytes_shortens_the_packet: ['global-function', /points into the packet/],
  global_given_packet_bytes_pulls_data: ['global-function', /points into the packet/],
};
for (const [name, [rule, reason]] of Object.entries(REFUSED))
  test(`refused: ${name.replaceAll('_', ' ')}`, () => {
    try {
      verify(specOf(name)!);
    } catch (error) {
      assert.instance(error, VerifierError);
      assert.is((error as VerifierError).rule, rule);
      assert.match((error as VerifierError).reason, reason);
      return;
    }
    assert.unreachable('accepted');
  });

test('what is accepted runs without a bad access, whatever the packet', () => {
  const arena = Arena.create({ frames: 16, mapBytes: 1 << 18, ringBytes: 1 << 16 });
  const core = instantiateCore(arena, 1);
  let runs = 0;
  for (const [name, spec] of programs) {
    if (name in REFUSED) continue;
    try {
      verify(spec);
    } catch {
      continue; // the corpus says which
    }
    const maps = Object.entries(spec.maps).map(([key, map]) => [key, createMap(arena, core, map)]);
    for (const bytes of [14, 22, 64]) {
      const packet = testPacket(arena, spec.type, new Uint8Array(bytes));
      packet.reset();
      interpret(spec, { arena, core, ctx: packet.ctx, maps: mapBinding(Object.fromEntries(maps)) });
      packet.free();
      runs++;
    }
  }
  assert.ok(runs >= 15, `${runs} runs`);
});
