/** What no migration can move is refused, and the reason names it. */
import { fileURLToPath } from 'node:url';
import { openObject } from '../../host/bpf/open.js';
import { HOMA_OBJECT } from '../../host/transports/homa/control.js';
import { immovable } from '../../host/transports/upgrade/migration.js';
import { assert, suite } from '../support/suite.js';

const test = suite('swap: what cannot be moved');

const OBJECTS = fileURLToPath(new URL('../bpf/corpus/c/objects.bpf.o', import.meta.url));

test('timers, locks, lists, trees and kptrs in a value are named, with their offsets', () => {
  const why = (object: string, map: string): string | undefined => {
    const { maps } = openObject(object);
    return immovable(maps[map], maps[map]);
  };
  const kept = 'keep their layout, or let them go (fresh)';
  const held = (what: string): string => `its values hold what cannot be moved (${what}): ${kept}`;
  const of = (...members: [string, number][]): string =>
    held(members.map(([name, at]) => `${name} at offset ${at}`).join(', '));
  assert.is(why(HOMA_OBJECT, 'homa_clocks'), of(['bpf_timer', 0]));
  assert.is(why(OBJECTS, 'shelves'), of(['bpf_spin_lock', 0], ['bpf_list_head', 8], ['bpf_rb_root', 24]));
  assert.is(why(OBJECTS, 'slots'), of(['kptr', 0], ['kptr', 8]));
  assert.is(why(OBJECTS, '.data.A'), of(['bpf_spin_lock', 0], ['bpf_rb_root', 8]));
  assert.is(why(HOMA_OBJECT, 'homa_lanes'), 'a cpumap cannot be migrated');
  assert.is(why(HOMA_OBJECT, 'homa_channels'), undefined);
});
