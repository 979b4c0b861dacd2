/**
 * THE helper table: number, name, verifier prototype and Wasm export of every helper, once (DESIGN §4.3).
 * The verifier, both engines, the assembler, the disassembler, bpf-progs/include/helpers.gen.h and the
 * README's list all read it. Entries stand in helpers/ by family.
 */
import { eventHelpers } from './helpers/events.js';
import type { Helper } from './helpers/helper.js';
import { mapHelpers } from './helpers/maps.js';
import { kernelHelperNames } from './helpers/names.js';
import { packetHelpers } from './helpers/packet.js';
import { skbHelpers } from './helpers/skb.js';
import { systemHelpers } from './helpers/system.js';
import { timerHelpers } from './helpers/timers.js';

export type { ArgType, Helper, HelperArg, HelperWasm, RetType } from './helpers/helper.js';
export { helperExport, helperExports } from './helpers/helper.js';
export { kernelHelperNames } from './helpers/names.js';

/** In order of their numbers. */
export const helpers: readonly Helper[] = [
  ...mapHelpers,
  ...packetHelpers,
  ...skbHelpers,
  ...eventHelpers,
  ...systemHelpers,
  ...timerHelpers,
].sort((x, y) => x.id - y.id);

export const helperById: ReadonlyMap<number, Helper> = new Map(helpers.map(h => [h.id, h]));
export const helperByName: ReadonlyMap<string, Helper> = new Map(helpers.map(h => [h.name, h]));

/** Name of helper `id`, provided here or not; `helper#N` for a number that no kernel has. */
export const helperName = (id: number): string =>
  (id > 0 ? kernelHelperNames[id] : undefined) ?? `helper#${id}`;

/** Number of the helper with kernel name `name` (with or without `bpf_`), provided here or not. */
export function helperId(name: string): number | undefined {
  const id = kernelHelperNames.indexOf(name.replace(/^bpf_/, ''));
  return id > 0 ? id : undefined;
}

/** The README's table of helpers: one row each, in order of their names. */
export function helperListMarkdown(): string {
  const rows = [...helpers]
    .sort((x, y) => (x.name < y.name ? -1 : 1))
    .map(h => `| \`${h.name}\` | ${h.id} | ${h.types.join(', ')} | ${h.gpl ? 'GPL' : ''} | ${h.doc} |`);
  return [
    '| helper | number | programs | licence | what it does |',
    '|---|--:|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}
