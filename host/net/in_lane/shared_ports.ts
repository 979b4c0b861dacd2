/** Ports of calls that the lanes of one application share, as listeners are (shared_listeners.ts). */
import type { LoadedMessages } from '../../transports/messages.js';
import { canonicalIp } from '../../wire/address.js';

export class SharedPorts {
  /** Lanes, by port. */
  readonly #ports = new Map<number, Set<number>>();

  constructor(
    readonly messages: LoadedMessages,
    /** Number of the application of a lane; 0: it has none. */
    readonly appOf: (lane: number) => number,
    readonly laneCount: number,
  ) {}

  /** @throws as LoadedMessages.serve */
  serve(lane: number, port: number, address: string | undefined): void {
    const known = this.#ports.get(port);
    if (known) {
      known.add(lane);
      this.messages.setLaneApps(port, this.#apps(known));
      return;
    }
    const lanes = new Set([lane]);
    const own = address === undefined ? undefined : canonicalIp(address);
    this.messages.serve({ port, address: own, app: this.appOf(lane), laneApps: this.#apps(lanes) });
    this.#ports.set(port, lanes);
  }

  /** By lane: its application, or one of those that there are. */
  #apps(lanes: ReadonlySet<number>): number[] {
    const serving = [...lanes];
    return Array.from({ length: this.laneCount }, (_, lane) =>
      this.appOf(lanes.has(lane) ? lane : serving[lane % serving.length]),
    );
  }

  /** A lane has no application any more. */
  leave(lane: number): void {
    for (const [port, lanes] of [...this.#ports]) {
      if (!lanes.delete(lane)) continue;
      if (lanes.size > 0) this.messages.setLaneApps(port, this.#apps(lanes));
      else {
        this.#ports.delete(port);
        this.messages.unserve(port);
      }
    }
  }
}
