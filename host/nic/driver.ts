/**
 * The part of a NIC that runs in lanes: what only a system call can move, once a step, between two bursts. Made in the
 * lane's own thread from a plan, which travels there as plain data.
 *
 *   pull ─▶ loop_run (Wasm: bursts, verdicts, rings) ─▶ push          sleep: poll(2) on `fds` and the lane's eventfd
 */
import type { Arena } from '../mem/arena.js';
import type { Core } from '../mem/core.js';
import { type Native, native } from '../native/load.js';
import { AfXdpDriver } from './af_xdp/driver.js';
import { TapDriver, type TapPlan } from './tap/driver.js';

export interface AfXdpPlan {
  kind: 'af_xdp';
  /** Address of the Port. */
  portAt: number;
}

/** What a lane's thread makes its driver from. */
export type DriverPlan = AfXdpPlan | TapPlan;

export interface LaneDriver {
  /**
   * Descriptors that become readable when there is work, as they are now: a NIC that reopens has others. Always as many;
   * -1 stands for none.
   */
  readonly fds: readonly number[];
  /** What came is known only to `pull`: no ring shows it. */
  readonly fetches: boolean;
  /** The kernel did not take all that was to be sent, and nothing wakes the lane when it has room. */
  readonly pending: boolean;
  /** Moves what came into receive rings. */
  pull(): void;
  /** Sends what the step has published. */
  push(): void;
}

/** Drivers of one lane: of the ports whose plan it is and that it owns a queue of. */
export function makeDrivers(arena: Arena, core: Core, plans: readonly DriverPlan[]): LaneDriver[] {
  const loaded = native();
  // A plan is made by a NIC that is open: there was an addon.
  if (!loaded.ok) return [];
  return plans.flatMap(plan => makeDriver(loaded.native, arena, core, plan) ?? []);
}

function makeDriver(native: Native, arena: Arena, core: Core, plan: DriverPlan): LaneDriver | undefined {
  if (plan.kind === 'tap') return TapDriver.create(native, arena, core, core.lane, plan);
  return AfXdpDriver.create(native, arena, core.lane, plan.portAt);
}
