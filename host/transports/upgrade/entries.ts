/** Entries of maps that name programs, when others take their place. */
import type { Collection } from '../../bpf/collection.js';
import type { BpfMap } from '../../bpf/maps/index.js';
import type { KeyedMap } from '../../bpf/maps/keyed.js';
import { residenceOf } from '../../bpf/residence.js';
import type { LoadedProgram } from '../../engine/program.js';

type Loaded = Collection<LoadedProgram>;

/** Takes programs that are not at work, or will not be, out of entries. */
export function emptyEntries(maps: Readonly<Record<string, BpfMap>>, collection: Loaded): void {
  const programs = new Set(Object.values(collection.programs).map(p => residenceOf(p)!));
  for (const map of Object.values(maps))
    for (const [key] of map.programs?.pointingTo(programs) ?? [])
      (map as unknown as KeyedMap<number>).delete(key);
}

/** Empties the entries of prog arrays that the old object filled, and the new one leaves empty; others' entries stay. */
export function emptyKeys(old: Loaded, next: Loaded): void {
  for (const { name, type, values = [] } of Object.values(old.spec.maps)) {
    const after = Object.hasOwn(next.spec.maps, name) ? next.spec.maps[name] : undefined;
    if (type !== 'prog_array' || !after || !Object.hasOwn(next.maps, name)) continue;
    const map = next.maps[name] as unknown as KeyedMap<number>;
    for (const { key, name: program } of values)
      if (!after.values?.some(v => v.key === key) && map.get(key) === next.programs[program]?.placed)
        map.delete(key);
  }
}
