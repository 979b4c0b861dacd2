/** The in-lane level of a service: the module that `stack.openInLane` has each lane load. The burst level's class does the work. */
import type { LaneModule } from '../net/in_lane/lane_app.js';
import { BurstServer } from './burst.js';
import type { ServePlace } from './levels.js';
import { limitsOf, type ServiceSpec, serviceOf } from './specs.js';

export interface LaneService {
  spec: ServiceSpec;
  place: ServePlace;
}

const serve: LaneModule = (app, data) => {
  const { spec, place } = data as LaneService;
  // Lanes share the store: each is another owner of its locks, and one that replaces another the same.
  const { news, tick } = new BurstServer(serviceOf(spec, app.lane + 1), limitsOf(spec));
  app.listen({ ...place, options: { noDelay: true } });
  app.tell({ ready: app.lane });
  return { news, tick };
};

export default serve;
