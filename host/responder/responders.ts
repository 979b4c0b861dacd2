/** All responders of an engine, their routes and the neighbours that they learned: what the engine polls. */
import { EtherloomError } from '../errors.js';
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { Retired } from '../mem/retired.js';
import type { Port } from '../nic/port.js';
import { createNeighbourTable, type LearnedNeighbour, learnedNeighbours } from './neighbours.js';
import { Responder, type ResponderOptions, type RouteTable } from './responder.js';

/** How often neighbours age. */
const TICK_NS = 100_000_000n;
const NEVER = 0xffffffffffffffffn;

export class Responders {
  readonly #byPort = new Map<number, Responder>();
  readonly #retired: Retired;
  #nextNs = 0n;
  /** When a request to a neighbour falls due. */
  #solicitNs: bigint | undefined;

  constructor(
    readonly arena: Arena,
    readonly core: Core,
    readonly routes: RouteTable,
    readonly now: () => bigint,
  ) {
    this.#retired = new Retired(arena);
  }

  /** @throws EtherloomError ERR_RESPONDER when the port has one, ERR_ADDRESS, ERR_ARENA_FULL */
  open(port: Port, options: ResponderOptions): Responder {
    if (this.#byPort.has(port.ifindex))
      throw new EtherloomError('ERR_RESPONDER', `${port.name} has a responder already`, {
        expected: 'its close() first',
      });
    createNeighbourTable(this.arena, options);
    const { core, routes, now } = this;
    const closed = (): void => {
      this.#byPort.delete(port.ifindex);
    };
    const responder = new Responder(port, options, { core, routes, now, retired: this.#retired, closed });
    this.#byPort.set(port.ifindex, responder);
    this.#nextNs = 0n;
    return responder;
  }

  neighbours(port?: number): LearnedNeighbour[] {
    return learnedNeighbours(this.arena, port);
  }

  /** Ages neighbours ten times a second, and does what falls due. */
  poll(now: bigint): void {
    if (now < this.#nextNs || this.#byPort.size === 0) return;
    this.core.exports.clock_set(now);
    for (const r of this.#byPort.values()) r.poll(now);
    this.#retired.collect();
    const due = BigInt.asUintN(64, this.core.exports.neighbours_tick());
    this.#solicitNs = due === NEVER ? undefined : due;
    this.#nextNs = now + TICK_NS;
    const soonest = this.nextDueNs();
    if (soonest !== undefined && soonest < this.#nextNs) this.#nextNs = soonest;
  }

  /** When `poll` has something to do next, ns; undefined without responders. */
  get pollNs(): bigint | undefined {
    return this.#byPort.size === 0 ? undefined : this.#nextNs;
  }

  /** When something is sent without a packet, ns: probes, announcements, requests to neighbours. */
  nextDueNs(): bigint | undefined {
    let next = this.#solicitNs;
    for (const r of this.#byPort.values()) {
      const due = r.nextDueNs();
      if (due !== undefined && (next === undefined || due < next)) next = due;
    }
    return next;
  }
}
