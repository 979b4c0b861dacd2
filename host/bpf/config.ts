/**
 * Map contents from a JSON file: `etherloom run --config FILE`, the demo, the benchmarks.
 *
 *   { "deny4":   [ { "key": { "prefixlen": 8, "addr": "10.9.0.0" }, "value": 8 } ],   entries of a map
 *     ".rodata": { "verbose": 1 } }                                                    global variables
 *
 * Keys and values are typed through BTF, as in the maps' own access. Text stands for what has a usual spelling, in
 * network order: an IPv4 address (one 32-bit number), an IPv6 address (four of them), a MAC address (six bytes),
 * "be16:80" and "be32:1". Per-CPU maps take one value for every copy.
 */
import { readFileSync } from 'node:fs';
import { isIPv4, isIPv6 } from 'node:net';
import { EtherloomError } from '../errors.js';
import type { KernelCollection } from './kernel/collection.js';
import { possibleCpus } from './kernel/map.js';
import { keyCodec, valueCodec } from './maps/codec.js';
import { type BpfMap, KeyedMap } from './maps/index.js';
import type { CollectionSpec, MapSpec } from './spec.js';

export interface MapEntry {
  key: unknown;
  value: unknown;
}
/** By map name: entries, or global variables by name for .rodata, .data and .bss. */
export type MapConfig = Readonly<Record<string, readonly MapEntry[] | Readonly<Record<string, unknown>>>>;

/** @throws EtherloomError ERR_CONFIG_READ, ERR_CONFIG_FORM with the JSON path */
export function readMapConfig(file: string): MapConfig {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new EtherloomError('ERR_CONFIG_READ', (cause as Error).message, {
      file,
      cause,
      expected: 'a readable JSON file',
    });
  }
  return checkMapConfig(json, file);
}

/** @throws EtherloomError ERR_CONFIG_FORM */
export function checkMapConfig(json: unknown, file?: string): MapConfig {
  const wrong = (path: string, expected: string): never => {
    throw new EtherloomError('ERR_CONFIG_FORM', `${path} is not as it must be`, { file, expected });
  };
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    wrong('the file', 'an object by map name');
  for (const [name, entries] of Object.entries(json as object)) {
    if (typeof entries !== 'object' || entries === null)
      wrong(name, 'an array of {"key", "value"}, or variables by name');
    if (Array.isArray(entries))
      entries.forEach((e, i) => {
        if (typeof e !== 'object' || e === null || !('key' in e) || !('value' in e))
          wrong(`${name}[${i}]`, '{"key": …, "value": …}');
      });
  }
  return json as MapConfig;
}

const littleEndian = (bytes: readonly number[]): number =>
  (bytes[0] | (bytes[1] << 8) | (bytes[2] << 16) | (bytes[3] << 24)) >>> 0;

function ipv6Words(text: string): number[] {
  const [head, tail] = text.split('::');
  const groups = (part: string | undefined): number[] =>
    part
      ? part.split(':').flatMap(g => {
          if (!g.includes('.')) return [Number.parseInt(g, 16)];
          const [a, b, c, d] = g.split('.').map(Number);
          return [(a << 8) | b, (c << 8) | d];
        })
      : [];
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return [0, 2, 4, 6].map(i => littleEndian([all[i] >> 8, all[i] & 255, all[i + 1] >> 8, all[i + 1] & 255]));
}

/** Replaces text that has a usual spelling by what it stands for. */
export function resolveText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(resolveText);
  if (typeof value === 'object' && value !== null && !(value instanceof Uint8Array))
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolveText(v)]));
  if (typeof value !== 'string') return value;
  if (isIPv4(value)) return littleEndian(value.split('.').map(Number));
  if (isIPv6(value)) return ipv6Words(value);
  if (/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(value)) return value.split(':').map(b => Number.parseInt(b, 16));
  const be = /^be(16|32):(\d+)$/.exec(value);
  if (be) {
    const n = Number(be[2]);
    return be[1] === '16'
      ? ((n & 255) << 8) | (n >> 8)
      : littleEndian([n >>> 24, (n >> 16) & 255, (n >> 8) & 255, n & 255]);
  }
  return value;
}

const isPerCpu = (spec: MapSpec): boolean => spec.type.includes('percpu');

function unknownMap(name: string, names: readonly string[]): never {
  throw new EtherloomError('ERR_CONFIG_MAP', `there is no map "${name}" to fill`, {
    expected: `one of ${names.join(', ')}`,
  });
}

function failed(name: string, index: number, cause: unknown): never {
  throw new EtherloomError(
    'ERR_CONFIG_ENTRY',
    `entry ${index} of map "${name}": ${(cause as Error).message}`,
    { cause },
  );
}

/** Sets global variables in the contents that the maps will be made with: before the collection is loaded. */
export function configureGlobals(collection: CollectionSpec, config: MapConfig): void {
  for (const [name, variables] of Object.entries(config)) {
    if (Array.isArray(variables)) continue;
    const map = Object.hasOwn(collection.maps, name)
      ? collection.maps[name]
      : unknownMap(name, Object.keys(collection.maps));
    if (!map.contents)
      throw new EtherloomError('ERR_CONFIG_MAP', `"${name}" holds no global variables`, {
        file: collection.file,
        expected: 'an array of entries',
      });
    const codec = valueCodec(map);
    const now = codec.decode(map.contents) as Record<string, unknown>;
    const bytes = new Uint8Array(map.valueSize);
    try {
      for (const key of Object.keys(variables))
        if (typeof now !== 'object' || !Object.hasOwn(now, key)) throw new Error(`no variable "${key}"`);
      codec.encode({ ...now, ...(resolveText(variables) as object) }, bytes);
    } catch (cause) {
      failed(name, 0, cause);
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
    const map = Object.hasOwn(maps, name) ? maps[name] : unknownMap(name, Object.keys(maps));
    if (!(map instanceof KeyedMap))
      throw new EtherloomError('ERR_CONFIG_MAP', `"${name}" is a ${map.type}: it has no entries to set`);
    const copies = map.arena.header.laneCount + 1;
    entries.forEach((entry: MapEntry, i) => {
      const value = resolveText(entry.value);
      try {
        map.set(resolveText(entry.key), isPerCpu(map.spec) ? new Array(copies).fill(value) : value);
      } catch (cause) {
        failed(name, i, cause);
      }
    });
  }
}

/** Fills maps of the real kernel with the same; redirect maps are left alone, since their targets are not there. */
export function configureKernelMaps(kernel: KernelCollection, config: MapConfig): void {
  for (const [name, entries] of Object.entries(config)) {
    if (!Array.isArray(entries)) continue;
    const map = Object.hasOwn(kernel.maps, name)
      ? kernel.maps[name]
      : unknownMap(name, Object.keys(kernel.maps));
    if (/^(devmap|devmap_hash|cpumap|xskmap)$/.test(map.spec.type)) continue;
    const keys = keyCodec(map.spec);
    const values = valueCodec(map.spec);
    entries.forEach((entry: MapEntry, i) => {
      try {
        const key = new Uint8Array(map.spec.keySize);
        const one = new Uint8Array(map.spec.valueSize);
        keys.encode(resolveText(entry.key), key);
        values.encode(resolveText(entry.value), one);
        const stride = (one.length + 7) & ~7;
        const value = new Uint8Array(isPerCpu(map.spec) ? stride * possibleCpus() : one.length);
        if (isPerCpu(map.spec)) for (let cpu = 0; cpu < possibleCpus(); cpu++) value.set(one, cpu * stride);
        else value.set(one);
        map.update(key, value);
      } catch (cause) {
        failed(name, i, cause);
      }
    });
  }
}
