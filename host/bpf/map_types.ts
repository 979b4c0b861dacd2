/** Names of map types by number, the inverse of mapTypeNumbers. */
import { type MapTypeName, mapTypeNumbers } from './spec.js';

const entries = Object.entries(mapTypeNumbers) as [MapTypeName, number][];
const names = new Map<number, MapTypeName>(entries.map(([name, number]) => [number, name]));

/** Every name, in order of its number. */
export const mapTypeNames: readonly MapTypeName[] = [...entries]
  .sort((a, b) => a[1] - b[1])
  .map(([name]) => name);
export const mapTypeName = (number: number): MapTypeName | undefined => names.get(number);
export const mapTypeNumber = (name: string): number | undefined =>
  Object.hasOwn(mapTypeNumbers, name) ? mapTypeNumbers[name as MapTypeName] : undefined;
