/**
 * Programs in the place of others: which table slot stands for which, and who names them. A slot in the arena is a number
 * that hooks, entries of maps, timers and packets on lane links have; each lane has a table of its own behind it. So lanes
 * change first, each at a burst boundary, by what their tables have at the old slots; the names follow one by one, and
 * which of the two a lane meets is all the same.
 *
 *   slots of the old ──┐ (table of a lane)     hook · PROG_ARRAY · cpumap · timer: old, then new
 *   slots of the new ──┴──▶ functions of the new
 */
import { type BpfMap, KeyedMap, StructOpsMap } from '../bpf/maps/index.js';
import { mapsIn, recallTimers, timersCalling } from '../bpf/maps/map.js';
import { type Residence, requireLoaded } from '../bpf/residence.js';
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { LoadedProgram } from './program.js';

/** By program: who stands in its place. */
export type Heirs = ReadonlyMap<LoadedProgram, LoadedProgram>;

/**
 * Lanes that begin anew have the new programs and every name is theirs, but not of every lane it is known that it has changed:
 * what stood there before must stay.
 */
export class UnheardError extends EtherloomError {
  constructor(cause: unknown) {
    super('ERR_SUPERSEDE_UNHEARD', `lanes did not say that they have changed: ${(cause as Error).message}`, {
      ...{
        cause,
        expected: 'another upgrade, or an end: the new programs are at work, the old ones stay loaded',
      },
    });
  }
}

/** Slots of a program before its callbacks: run and tail. */
const FIRST_CALLBACK = 2;

const refuse = (message: string, expected: string): EtherloomError =>
  new EtherloomError('ERR_SUPERSEDE', message, { expected });

/** By name: table slot of a callback. */
function callbackSlots(program: LoadedProgram): Map<string, number> {
  const { callbacks } = program.compiled;
  return new Map(callbacks.map((name, i) => [name, program.slots + FIRST_CALLBACK + i]));
}

/**
 * Pairs of slots, old → new: entries by kind, callbacks by name.
 * @throws EtherloomError ERR_SUPERSEDE for programs of other kinds, and for a function that timers call and no new program has
 */
export function slotPairs(arena: Arena, heirs: Heirs): Map<number, number> {
  const pairs = new Map<number, number>();
  const anywhere = new Map([...heirs.values()].flatMap(p => [...callbackSlots(p)]));
  for (const [old, heir] of heirs) {
    const [before, after] = [requireLoaded(old), requireLoaded(heir)];
    if (before.type !== after.type || before.attach !== after.attach)
      throw refuse(
        `${heir.name} is of type ${after.type}${after.attach ? `, to be attached at ${after.attach}` : ''}`,
        `type ${before.type}${before.attach ? ` for ${before.attach}` : ''}, as ${old.name} is`,
      );
    pairs.set(old.run, heir.run).set(old.tail, heir.tail);
    const own = callbackSlots(heir);
    for (const [name, slot] of callbackSlots(old)) {
      const to = own.get(name) ?? anywhere.get(name);
      if (to !== undefined) pairs.set(slot, to);
      // One that is set from now until the lanes have changed calls the old function, whose program stays loaded for it.
      else if (timersCalling(arena, slot, 1).length)
        throw refuse(`timers call ${name} of ${old.name}, which no new program has`, `a function ${name}`);
    }
  }
  return pairs;
}

/** Entries of all maps that name one of the old programs name its heir from now on. */
export function retarget(arena: Arena, heirs: Heirs): void {
  const next = new Map<Residence, LoadedProgram>();
  for (const [old, heir] of heirs) next.set(requireLoaded(old), heir);
  const old = new Set(next.keys());
  for (const map of mapsIn(arena))
    for (const [key, program] of map.programs?.pointingTo(old) ?? []) point(map, key, next.get(program)!);
}

/** What the host may not write keeps its slot, by which the heir is called, too: the old program stays loaded for it. */
function point(map: BpfMap, key: number, heir: LoadedProgram): void {
  // Its programs are counted by whoever registered it (engine/congestion.ts).
  if (map instanceof StructOpsMap || !(map instanceof KeyedMap)) return;
  try {
    if (map.type === 'prog_array') map.set(key, heir);
    else map.set(key, { ...(map.get(key) as object), program: heir });
  } catch (cause) {
    if (!(cause instanceof EtherloomError)) throw cause;
  }
}

/** Timers that call one of the first slots of these pairs call the second. Returns how many there were. */
export function recall(arena: Arena, pairs: ReadonlyMap<number, number>): number {
  let n = 0;
  for (const [from, to] of pairs) n += recallTimers(arena, from, to);
  return n;
}
