/** Numbers and names of map types: BPF_MAP_TYPE_* in lower case, from the layout schema's one list. */
import { MapType } from '../layout/layout.gen.js';
import type { MapTypeName } from './spec.js';

const names = new Map<number, MapTypeName>(
  Object.entries(MapType)
    .filter(([name]) => name !== 'UNSPEC')
    .map(([name, number]) => [number, name.toLowerCase() as MapTypeName]),
);
const numbers = new Map<string, number>([...names].map(([number, name]) => [name, number]));

/** Every name, in order of its number. */
export const mapTypeNames: readonly MapTypeName[] = [...names.values()];
export const mapTypeName = (number: number): MapTypeName | undefined => names.get(number);
export const mapTypeNumber = (name: string): number | undefined => numbers.get(name);
