/**
 * Listeners that the lanes of one application share: each connection goes to the application of the lane where it arrived;
 * where that has none, to one of another lane, whose thread it then crosses.
 */
import type { ListenPlace, LoadedTransport } from '../../transports/contract.js';
import type { Requests } from '../burst/burst.js';
import type { ListenOptions } from '../burst/calls.js';

interface Shared {
  place: ListenPlace;
  /** As it was asked for. */
  key: string;
  /** Lanes that listen. */
  lanes: Set<number>;
}

const keyOf = ({ address, family, port = 0 }: ListenOptions): string => `${address ?? family ?? ''} ${port}`;

export class SharedListeners<O extends object> {
  readonly #shared = new Map<number, Shared>();

  constructor(
    readonly requests: Requests<O>,
    readonly transport: LoadedTransport<O>,
    /** Number of the application of a lane; 0: it has none. */
    readonly appOf: (lane: number) => number,
    readonly laneCount: number,
  ) {}

  /** @throws as Burst.listen */
  listen(lane: number, options: ListenOptions<O>): ListenPlace {
    const key = keyOf(options);
    const known = [...this.#shared.values()].find(s => s.key === key);
    if (known) {
      known.lanes.add(lane);
      this.#tell(known);
      return known.place;
    }
    const lanes = new Set([lane]);
    const place = this.requests.listen(options, this.appOf(lane), this.#apps(lanes));
    this.#shared.set(place.slot, { place, key, lanes });
    return place;
  }

  /** By lane: its application, or one of those that there are. */
  #apps(lanes: ReadonlySet<number>): number[] {
    const listening = [...lanes];
    return Array.from({ length: this.laneCount }, (_, lane) =>
      this.appOf(lanes.has(lane) ? lane : listening[lane % listening.length]),
    );
  }

  #tell({ place, lanes }: Shared): void {
    this.transport.setLaneApps(place.slot, this.#apps(lanes));
  }

  /** A lane listens there no more. */
  unlisten(lane: number, slot: number): void {
    const shared = this.#shared.get(slot);
    if (!shared?.lanes.delete(lane)) return;
    if (shared.lanes.size > 0) return this.#tell(shared);
    this.#shared.delete(slot);
    this.transport.unlisten(slot, true);
  }

  /** A lane has no application any more. */
  leave(lane: number): void {
    for (const slot of [...this.#shared.keys()]) this.unlisten(lane, slot);
  }
}
