/** What an engine's lanes are told, in worker threads or inline, and what is known of them then. */
import { EtherloomError } from '../errors.js';
import type { Alive } from './alive.js';
import type { ControlAck } from './control.js';
import type { Fabric } from './fabric.js';
import type { InlineLanes } from './inline_lanes.js';
import { Stops, standstill } from './stops.js';
import type { Supervisor } from './supervisor.js';
import type { Lanes, ProgramOrder } from './swap.js';
import { sleep } from './worker.js';

/** The engine, as it is at the time. */
export interface ToldEngine {
  readonly state: 'new' | 'starting' | 'running' | 'stopped';
  /** Its start and its end, while they are under way and after. */
  readonly starting: Promise<void> | undefined;
  readonly stopping: Promise<unknown> | undefined;
  /** One of the two, once it is started. */
  readonly supervisor: Supervisor | undefined;
  readonly inline: InlineLanes | undefined;
  readonly laneCount: number;
  readonly fabric: Fabric;
  readonly alive: Alive;
  readonly hangMs: number;
}

export class ToldLanes implements Lanes {
  constructor(readonly env: ToldEngine) {}

  stopped(): boolean {
    return this.env.state === 'stopped';
  }

  carries(slot: number): boolean {
    return !this.stopped() && this.env.fabric.carries(slot);
  }

  /** All change at one time: `still` and `publish` are called while they stand. */
  async changeTogether(
    publish: () => void,
    pairs: ReadonlyMap<number, number>,
    still: () => void,
  ): Promise<Stops> {
    const change = (): void => {
      still();
      publish();
    };
    const order: ProgramOrder = { kind: 'alias', slots: [...pairs].flat() };
    await this.env.starting;
    if (this.env.supervisor && this.env.state === 'running')
      return standstill(await this.env.alive.during(this.env.supervisor.changed(change, order)));
    const from = performance.now();
    change();
    const [told] = await this.tell([order]);
    const ns = Math.round((performance.now() - from) * 1e6);
    return standstill(told.byLane.map(() => ns));
  }

  /** Says it to every running lane; resolves when all have done it, with how long they stood still for each order. */
  async tell(orders: readonly ProgramOrder[]): Promise<Stops[]> {
    await this.env.starting;
    const stops = orders.map(() => new Stops());
    if (this.env.state !== 'running') return stops;
    const send = (_: unknown, i: number): Promise<ControlAck[]> => this.env.supervisor!.sendAll(i, orders);
    const lanes = this.env.supervisor
      ? await this.env.alive.during(Promise.all(Array.from({ length: this.env.laneCount }, send)))
      : this.env.inline!.tell(orders);
    const bad = lanes.flat().find(a => a.error);
    if (bad) throw new EtherloomError('ERR_PROGRAM_INSTANCE', bad.error!);
    for (const [lane, acks] of lanes.entries())
      for (const [i, ack] of acks.entries()) stops[i].add(lane, ack.stops);
    return stops;
  }

  /** Resolves when no lane can still be inside a program that was taken from its hook. */
  async grace(): Promise<void> {
    // Lanes that are being stopped end at a burst boundary: their end is the grace period.
    if (this.env.state === 'stopped') await this.env.stopping?.catch(() => {});
    else await this.env.supervisor?.grace();
  }

  /** Waits until no packet between lanes names the slot. Inline lanes take none before `step()`: they are not waited for. */
  async drained(slot: number): Promise<boolean> {
    const limitMs = this.env.hangMs;
    const until = performance.now() + limitMs;
    for (;;) {
      if (this.env.state === 'stopped' || !this.env.fabric.carries(slot)) return true;
      // A lossless lane whose outputs nobody empties takes nothing in.
      if (!this.env.supervisor || performance.now() > until) return false;
      await sleep(1);
    }
  }
}
