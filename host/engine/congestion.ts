/**
 * A user's congestion control at work: the programs of a struct_ops map, registered under a number that transports know
 * algorithms by. Connections choose it by that number (TCP: option `congestion`), at any time.
 *
 *   Collection.load ─▶ StructOpsMap ── registerCongestion ──▶ ArenaHeader.ccOps[n − 16] ◀── el_cc_init, el_cc_event
 */
import { StructOpsMap } from '../bpf/maps/struct_ops.js';
import { EtherloomError } from '../errors.js';
import { ARENA_HEADER_AT, ArenaHeaderLayout, CC_USERS, CcAlgorithm } from '../layout/layout.gen.js';
import type { Engine } from './engine.js';

export interface CongestionOptions {
  /** A number from 16 to 31. Default: the first that is free. */
  algorithm?: number;
}

export class CongestionControl {
  #map: StructOpsMap | undefined;
  /** How whoever wants to unload its programs is told of it. */
  readonly #holder: { name: string; type: string };

  /** @internal Called by registerCongestion. */
  constructor(
    readonly engine: Engine,
    /** What connections choose it by. */
    readonly algorithm: number,
    map: StructOpsMap,
  ) {
    this.#map = map;
    this.#holder = { name: map.name, type: `registered as congestion control ${algorithm}` };
    for (const program of map.residences) program.hold(this.#holder, 1);
    map.hold(1);
  }

  /** Name that its object gave it. */
  get name(): string {
    return this.#map?.text ?? '';
  }

  /**
   * Takes the number back. Connections that have it go on with Reno's arithmetic, from the window that they have; new ones
   * get Reno.
   */
  unregister(): void {
    const map = this.#map;
    if (!map) return;
    this.#map = undefined;
    publish(this.engine, this.algorithm, 0);
    for (const program of map.residences) program.hold(this.#holder, -1);
    map.hold(-1);
  }

  [Symbol.dispose](): void {
    this.unregister();
  }
}

const wordOf = (algorithm: number): number =>
  (ARENA_HEADER_AT + ArenaHeaderLayout.ccOps + (algorithm - CcAlgorithm.USER) * 4) >> 2;

/** Lanes read it at the next event of a flow. */
function publish(engine: Engine, algorithm: number, at: number): void {
  Atomics.store(engine.arena.u32, wordOf(algorithm), at);
}

const taken = (engine: Engine, algorithm: number): boolean =>
  Atomics.load(engine.arena.u32, wordOf(algorithm)) !== 0;

/**
 * Puts a struct_ops map of type el_cc_ops to use. Its programs stay loaded until it is unregistered.
 * @throws EtherloomError ERR_CONGESTION_MAP for another map, or one without a program that it needs;
 * ERR_CONGESTION_NUMBER for a number that is not a user's, or is taken, or when none is left
 */
export function registerCongestion(
  engine: Engine,
  map: unknown,
  { algorithm }: CongestionOptions = {},
): CongestionControl {
  if (!(map instanceof StructOpsMap) || map.arena !== engine.arena || map.ops.name !== 'el_cc_ops')
    throw new EtherloomError(
      'ERR_CONGESTION_MAP',
      'what is registered is no congestion control of this engine',
      {
        expected: 'a map of type struct_ops that was loaded from a struct el_cc_ops',
      },
    );
  const missing = map.ops.members.find(m => m.needed && !map.get(m.index));
  if (missing)
    throw new EtherloomError('ERR_CONGESTION_MAP', `${map.name} has no program for ${missing.name}`, {
      expected: missing.prototype,
    });
  const numbers = Array.from({ length: CC_USERS }, (_, i) => CcAlgorithm.USER + i);
  const number = algorithm ?? numbers.find(n => !taken(engine, n));
  if (number === undefined || !numbers.includes(number) || taken(engine, number))
    throw new EtherloomError(
      'ERR_CONGESTION_NUMBER',
      number === undefined
        ? 'all numbers are taken'
        : `algorithm ${number} is ${numbers.includes(number) ? 'taken' : 'not a user’s'}`,
      {
        expected: `a number from ${numbers[0]} to ${numbers[numbers.length - 1]} that nothing is registered under`,
      },
    );
  const control = new CongestionControl(engine, number, map);
  publish(engine, number, map.valueAt);
  return control;
}
