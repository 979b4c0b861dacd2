/** The in-lane level of a load: each lane has its part of the connections, and counts in memory that the host reads. */
import type { LaneModule } from '../net/in_lane/lane_app.js';
import { BurstLoad } from './load/burst.js';
import { Tally } from './load/tally.js';
import { type CallSpec, callersOf } from './specs.js';

export interface LaneLoad {
  spec: CallSpec;
  host: string;
  port: number;
  outstanding: number;
  /** As CallPlace has it. */
  most: number | undefined;
  /** By lane: connections, and memory of the tally. */
  flows: Readonly<Record<number, number>>;
  memory: Readonly<Record<number, SharedArrayBuffer>>;
}

const call: LaneModule = (app, data) => {
  const { spec, host, port, outstanding, most, flows, memory } = data as LaneLoad;
  const load = new BurstLoad(new Tally(memory[app.lane]), most);
  const callers = callersOf(spec, app.lane + 1);
  for (let i = 0; i < flows[app.lane]; i++)
    app.connect({ host, port, data: undefined, options: { noDelay: true } });
  let waits = !callers.started;
  let told = 0;
  return {
    news(events, n) {
      for (let i = 0; i < n; i++) {
        const { connection, connected, closed, error } = events[i];
        if (connected) load.begin(connection, callers.next(), outstanding);
        else if (closed && connection.data === undefined) load.failed(connection, error ?? 'not connected');
      }
      load.news(events, n);
    },
    tick() {
      if (waits && callers.started) {
        waits = false;
        load.goOn();
      }
      for (; told < load.errors.length; told++) app.tell({ error: load.errors[told] });
    },
    close: () => load.close(),
  };
};

export default call;
