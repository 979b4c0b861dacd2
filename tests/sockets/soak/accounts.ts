/** Who ended what, as both sides tell it: what one has seen and no other has done is wrong. */
import { type Counted, counted } from './load.js';
import { KEPT } from './store.js';

export interface Told {
  loads: Readonly<Record<string, Counted>>;
  /** Connections that the HTTP server heard were reset, unannounced. */
  reset: readonly string[];
  /** Counters of the stacks: of connections, too, whose applications have let go of them and hear no error. */
  client: Readonly<Record<string, number>>;
  server: Readonly<Record<string, number>>;
  kills: number;
  /** Longest time that a lane was missed, or that all stood still, ms. */
  longestMs: number;
  /** Share of packets that wires lose. */
  loss: number;
  /** Of the store inside of a lane: keys that were not found, requests that were refused. */
  inLane: { misses: number; failures: number };
}

/** Who asks whether its peer is there hears nothing ten times, a second apart, before it gives up (libuv's keepalive). */
const GIVE_UP_MS = 10_000;
/** A router that asks for an address hears nothing three times, a second apart. */
const UNREACHED_MS = 3000;
/** Of datagrams sent while everybody could answer so many times more than the wires lose may be late; and a few at all. */
const LATE_FACTOR = 5;
const LATE_FEW = 20;
/** Gets of keys that an aborted connection was to set, until they are set by another. */
const UNSET = 40;

export function accounts(told: Told): string[] {
  const { loads, reset, client, server, kills, longestMs, loss, inLane } = told;
  const { answers, cut, givenUp, unreached, aborted, exposed, calm, calmLost } = sumOf(Object.values(loads));
  const of = (counters: Readonly<Record<string, number>>, name: string): number => counters[name] ?? 0;
  const wrong: string[] = [];
  if (reset.length > givenUp) wrong.push(...reset, `of those clients gave ${givenUp} up`);
  if (givenUp > 0 && longestMs < GIVE_UP_MS)
    wrong.push(`clients gave ${givenUp} connections up, and nobody was away for more than ${longestMs} ms`);
  if (unreached > 0 && longestMs < UNREACHED_MS)
    wrong.push(`${unreached} attempts found no host, and nobody was away for more than ${longestMs} ms`);
  const there = of(server, 'EstabResets');
  if (there > cut + givenUp)
    wrong.push(`${there} connections were reset, clients cut ${cut} and gave ${givenUp} up`);
  const here = of(client, 'EstabResets');
  // One that has just been closed hears nothing of a death.
  if (here > exposed + kills)
    wrong.push(`${here} connections of clients were reset, ${exposed} lived in a lane that died`);
  for (const counters of [client, server])
    for (const [name, most] of [
      ['AttemptFails', unreached],
      ['InCsumErrors', 0],
      ['TCPAbortOnTimeout', givenUp],
    ] as const)
      if (of(counters, name) > most) wrong.push(`${name}: ${of(counters, name)}`);
  if (calmLost > 2 * LATE_FACTOR * loss * calm + LATE_FEW)
    wrong.push(`${calmLost} of ${calm} datagrams were lost with everybody there`);
  const { misses, failures } = inLane;
  if (failures || misses > answers / KEPT + UNSET * (aborted + 1))
    wrong.push(`store in its lane: ${misses} not found, ${failures} refused`);
  return wrong;
}

function sumOf(loads: readonly Counted[]): Counted {
  const sum = counted();
  for (const load of loads)
    for (const key of [
      'answers',
      'cut',
      'givenUp',
      'unreached',
      'aborted',
      'exposed',
      'calm',
      'calmLost',
    ] as const)
      sum[key] += load[key];
  return sum;
}
