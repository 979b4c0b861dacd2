/**
 * The resident by which an application lives in a lane (host/engine/resident.ts): loads its module, and asks it after each
 * step of the lane. What the module throws ends the application in this lane, not the lane.
 */
import type { LaneSeat, Resident } from '../../engine/resident.js';
import { LaneApp, type LaneModule } from './lane_app.js';
import type { InLaneGiven } from './messages.js';

export default async function seat({ arena, lane, data }: LaneSeat): Promise<Resident> {
  const given = data as InLaneGiven;
  const app = new LaneApp(arena, lane, given);
  try {
    const { default: module } = (await import(given.module)) as { default: LaneModule };
    if (typeof module !== 'function')
      throw new TypeError(`${given.module} has no default export that can be called`);
    app.begin(await module(app, given.data));
  } catch (error) {
    app.end(error as Error);
  }
  return app;
}
