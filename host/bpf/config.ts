/**
 * Map contents from a JSON file: `etherloom run --config FILE`, the demo, the benchmarks.
 *
 *   { "deny4":   [ { "key": { "prefixlen": 8, "addr": "10.9.0.0" }, "value": 8 } ],   entries of a map
 *     ".rodata": { "verbose": 1 } }                                                    global variables
 *
 * Keys and values are typed through BTF, as in the maps' own access. Text stands for what has a usual spelling:
 * addresses, "be16:80" and "be32:1" (config_text.ts). Per-CPU maps take one value for every copy.
 */
import { EtherloomError } from '../errors.js';
import { JsonReader, readJson } from '../json.js';
import { resolveText } from './config_text.js';
import type { KernelCollection } from './kernel/collection.js';
import { isTyped, typedMap } from './kernel/map_store.js';
import { isPerCpu } from './maps/check.js';
import { valueCodec } from './maps/codec.js';
import { type BpfMap, KeyedMap } from './maps/index.js';
import type { CollectionSpec } from './spec.js';

export interface MapEntry {
  key: unknown;
  value: unknown;
}
/** By map name: entries, or global variables by name for .rodata, .data and .bss. */
export type MapConfig = Readonly<Record<string, readonly MapEntry[] | Readonly<Record<string, unknown>>>>;

const CODES = { value: 'ERR_CONFIG_FORM', member: 'ERR_CONFIG_FORM', hex: 'ERR_CONFIG_FORM' };

/** File that a configuration was read from, for errors that show only when maps are filled. */
const sources = new WeakMap<MapConfig, string>();

/** @throws EtherloomError ERR_CONFIG_READ, ERR_CONFIG_FORM with the JSON path */
export function readMapConfig(file: string): MapConfig {
  return checkMapConfig(readJson(file), file);
}

/** @throws EtherloomError ERR_CONFIG_FORM */
export function checkMapConfig(json: unknown, file?: string): MapConfig {
  const reader = new JsonReader(file, CODES);
  for (const [name, entries] of Object.entries(reader.object(json, ''))) {
    if (!Array.isArray(entries)) {
      if (typeof entries !== 'object' || entries === null)
        throw reader.fail(name, reader.show(entries), 'a list of {"key", "value"}, or variables by name');
      continue;
    }
    entries.forEach((entry: unknown, i) => {
      const path = `${name}[${i}]`;
      const known = reader.object(entry, path, ['key', 'value']);
      for (const part of ['key', 'value'])
        if (!Object.hasOwn(known, part)) throw reader.fail(`${path}.${part}`, 'nothing', `a ${part}`);
    });
  }
  const config = json as MapConfig;
  if (file !== undefined) sources.set(config, file);
  return config;
}

/** `name` among what is there. @throws EtherloomError ERR_CONFIG_MAP */
function mapNamed<M>(maps: Readonly<Record<string, M>>, name: string, config: MapConfig): M {
  if (Object.hasOwn(maps, name)) return maps[name];
  throw new EtherloomError('ERR_CONFIG_MAP', `there is no map "${name}" to fill`, {
    file: sources.get(config),
    path: name,
    expected: `one of ${Object.keys(maps).join(', ')}`,
  });
}

function failed(config: MapConfig, path: string, what: string, cause: unknown): never {
  throw new EtherloomError('ERR_CONFIG_ENTRY', `${what}: ${(cause as Error).message}`, {
    file: sources.get(config),
    path,
    cause,
  });
}

/** Sets global variables in the contents that the maps will be made with: before the collection is loaded. */
export function configureGlobals(collection: CollectionSpec, config: MapConfig): void {
  for (const [name, variables] of Object.entries(config)) {
    if (Array.isArray(variables)) continue;
    const map = mapNamed(collection.maps, name, config);
    if (!map.contents)
      throw new EtherloomError('ERR_CONFIG_MAP', `"${name}" holds no global variables`, {
        file: sources.get(config),
        path: name,
        expected: 'an array of entries',
      });
    const codec = valueCodec(map);
    const now = codec.decode(map.contents) as Record<string, unknown>;
    const bytes = new Uint8Array(map.valueSize);
    try {
      for (const key of Object.keys(variables))
        if (typeof now !== 'object' || !Object.hasOwn(now, key)) throw new Error(`no variable "${key}"`);
      codec.encode({ ...now, ...(resolveText(map, 'value', variables) as object) }, bytes);
    } catch (cause) {
      failed(config, name, `variables of "${name}"`, cause);
    }
    map.contents = bytes;
  }
}

/**
 * Fills maps of the engine. With `object`, entries of maps that the object has but no loaded program uses are left out:
 * one configuration serves every program of an object. @throws EtherloomError ERR_CONFIG_MAP for a name that is none, ERR_CONFIG_ENTRY for an entry that does not fit
 */
export function configureMaps(
  maps: Readonly<Record<string, BpfMap>>,
  config: MapConfig,
  object?: CollectionSpec,
): void {
  for (const [name, entries] of Object.entries(config)) {
    if (!Array.isArray(entries)) continue;
    if (!Object.hasOwn(maps, name) && object && Object.hasOwn(object.maps, name)) continue;
    const map = mapNamed(maps, name, config);
    if (!(map instanceof KeyedMap))
      throw new EtherloomError('ERR_CONFIG_MAP', `"${name}" is a ${map.type}: it has no entries to set`, {
        file: sources.get(config),
        path: name,
        expected: 'a map with keys',
      });
    const perCpu = isPerCpu(map.type);
    entries.forEach((entry: MapEntry, i) => {
      try {
        const key = resolveText(map.spec, 'key', entry.key);
        const value = resolveText(map.spec, 'value', entry.value);
        map.set(key, perCpu ? new Array(map.copies).fill(value) : value);
      } catch (cause) {
        failed(config, `${name}[${i}]`, `entry ${i} of map "${name}"`, cause);
      }
    });
  }
}

/** Fills maps of the real kernel with the same; redirect maps are left alone, since their targets are not there. */
export function configureKernelMaps(kernel: KernelCollection, config: MapConfig): void {
  const typed = Object.values(kernel.maps).filter(map => isTyped(map.spec.type));
  const maps = Object.fromEntries(typed.map(map => [map.spec.name, typedMap(map)]));
  configureMaps(maps, config, kernel.spec);
}
