/** What becomes of a live transport's maps when another object comes: taken over, begun anew, or rewritten. */
import type { BpfMap } from '../../bpf/maps/index.js';
import { refusesReuse } from '../../bpf/maps/reuse.js';
import type { MapSpec } from '../../bpf/spec.js';
import { EtherloomError } from '../../errors.js';
import { mapDifferences } from './layouts.js';
import { immovable } from './migration.js';
import type { PreparedObject } from './prepared.js';

/** Differences of one upgrade that are told. */
const MOST_DIFFERENCES = 12;
/** Types whose entries the control plane or the object writes, and no migration could. */
const NAMING: ReadonlySet<string> = new Set([
  'prog_array',
  'cpumap',
  'devmap',
  'devmap_hash',
  'xskmap',
  'struct_ops',
]);

/** A transport at work. */
export interface LiveMaps {
  readonly name: string;
  /** Those that the programs at work use, and what former ones had. */
  readonly maps: Readonly<Record<string, BpfMap>>;
  /** All that end with it: constants of former objects, too. */
  readonly owned: Iterable<BpfMap>;
}

/** What becomes of the maps. */
export interface MapPlan {
  /** Those that the new programs take over. */
  given: Record<string, BpfMap>;
  /** Names of those that begin anew. */
  fresh: string[];
  /** Names of those whose values a program of the object rewrites. */
  migrated: string[];
}

/** Which maps the new programs take over. @throws EtherloomError ERR_UPGRADE_LAYOUT with every reason against; ERR_UPGRADE_OPTIONS */
export function planMaps(live: LiveMaps, next: PreparedObject, freshNames: readonly string[]): MapPlan {
  const given: Record<string, BpfMap> = {};
  const fresh: string[] = [];
  const migrated: string[] = [];
  const against: string[] = [];
  for (const name of freshNames)
    if (!Object.hasOwn(next.spec.maps, name) && !Object.hasOwn(live.maps, name))
      throw new EtherloomError('ERR_UPGRADE_OPTIONS', `fresh: there is no map "${name}"`, {
        ...{ file: next.label, expected: `some of ${Object.keys(next.spec.maps).join(', ')}` },
      });
  for (const wanted of Object.values(next.spec.maps)) {
    if (wanted.frozen) {
      const same = constantOf(live, wanted);
      if (same) given[wanted.name] = same;
      continue;
    }
    const map = Object.hasOwn(live.maps, wanted.name) ? live.maps[wanted.name] : undefined;
    if (!map) continue;
    // One for each lane, whatever their number.
    if (wanted.maxEntries === 0) wanted.maxEntries = map.maxEntries;
    const differences = mapDifferences(map.spec, wanted);
    if (!differences.length) given[wanted.name] = map;
    else if (next.migrations.has(wanted.name)) {
      const why = immovable(map.spec, wanted);
      if (why) against.push(`map "${wanted.name}": ${why}`);
      else migrated.push(wanted.name);
    } else if (freshNames.includes(wanted.name) && !NAMING.has(wanted.type)) fresh.push(wanted.name);
    else against.push(...differences.map(text => `map "${wanted.name}": ${text}`));
  }
  if (against.length) {
    const more = against.length - MOST_DIFFERENCES;
    const told = against.slice(0, MOST_DIFFERENCES).join('; ');
    throw new EtherloomError(
      'ERR_UPGRADE_LAYOUT',
      `the state of ${live.name} lies otherwise in it: ${told}${more > 0 ? `; and ${more} more` : ''}`,
      { file: next.label, expected: 'the maps and records of the object at work' },
    );
  }
  return { given, fresh, migrated };
}

/** Constants are the object's own: a map with the very same, of whichever object. */
function constantOf({ owned }: LiveMaps, wanted: MapSpec): BpfMap | undefined {
  for (const map of owned)
    if (map.spec.frozen && map.name === wanted.name && !refusesReuse(map, wanted)) return map;
  return undefined;
}
