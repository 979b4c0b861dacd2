/** What of a flow lanes fetch ahead of a burst: see struct tcp_flow in bpf-progs/transports/tcp/flow.h. */
import type { BpfMap } from '../../bpf/maps/map.js';
import type { Engine } from '../../engine/engine.js';
import { fetchAhead } from '../../streams/ahead.js';

const PROTOCOL = 6;
/** Lines 0 to 6, and that of the options. */
const FLOW_LINES = 0b10_0111_1111;
/** What is in flight of a short exchange stands in the board's first. */
const BOARD_LINES = 1;
const CLOCK_LINES = 1;

/** `map` finds a map of the object by name. Returns what ends it. */
export function fetchFlowsAhead(engine: Engine, map: (name: string) => BpfMap): () => void {
  return fetchAhead(engine.arena, {
    protocol: PROTOCOL,
    parts: [
      [map('tcp_flows'), FLOW_LINES],
      [map('tcp_boards'), BOARD_LINES],
      [map('tcp_clocks'), CLOCK_LINES],
    ],
    tables: [map('tcp4'), map('tcp6')],
  });
}
