/** An engine with a host at each end of the shared-memory link. */
import type * as Engines from '../../../host/engine/engine.js';
import type { Engine } from '../../../host/engine/engine.js';
import type * as Stacks from '../../../host/net/stack.js';
import type { Stack } from '../../../host/net/stack.js';
import type * as Nics from '../../../host/nic/index.js';
import type * as Tcps from '../../../host/transports/tcp/index.js';
import { built } from '../../harness/built.js';
import { HOUR_MS } from '../tcp/hosts.js';
import type { Shape } from './plan.js';

const { Engine: EngineClass } = await built<typeof Engines>('engine/engine');
const { Stack: StackClass } = await built<typeof Stacks>('net/stack');
const { modelLink } = await built<typeof Nics>('nic/index');
const { tcp } = await built<typeof Tcps>('transports/tcp/index');

export const ADDRESSES = ['10.0.0.1', '10.0.0.2'] as const;
export const PORT = 7;
/** Least bytes of each ring of a connection. */
const LEAST_RING = 16 << 10;
/** Of lanes, and of the main thread where that has applications. */
export const CPUS: Record<Shape, { lanes: number[]; main?: number }> = {
  lanes: { lanes: [0, 1] },
  split: { lanes: [1], main: 0 },
  served: { lanes: [1], main: 0 },
  inline: { lanes: [], main: 0 },
};

/** @param inFlight bytes of a connection @param spinUs of lanes; undefined: the engine's default */
export async function openHosts(
  shape: Shape,
  flows: number,
  inFlight: number,
  spinUs?: number,
): Promise<{ engine: Engine; own: Stack; far: Stack }> {
  const { lanes } = CPUS[shape];
  // What is in flight is in the rings of both ends, and some of it is acknowledged with what comes later.
  const ring = Math.max(LEAST_RING, 4 * inFlight);
  const { a, b } = modelLink({ name: 'link', queues: 1, firstLanes: [0, Math.max(0, lanes.length - 1)] });
  // Those that are closing, too.
  const count = 4 * flows + 1024;
  const engine = await EngineClass.create({
    ...(shape === 'inline' ? { inline: true } : { lanes: lanes.length, cpus: lanes }),
    ...(spinUs === undefined ? {} : { spinUs }),
    ...{ nics: [a, b], pass: 'count', frames: 8192, hangMs: HOUR_MS },
    mapBytes: (12 << 20) + count * 8192,
    streams: { count, bytes: 4 * flows * ring + count * 10240 + (8 << 20), apps: 16, slots: 2048 },
  });
  const stack = (port: string, address: string): Promise<Stack> =>
    StackClass.create({
      engine,
      transport: tcp({ defaults: { sendBuffer: ring, receiveBuffer: ring } }),
      ports: { [port]: { addresses: [`${address}/24`] } },
    });
  const own = await stack('link.a', ADDRESSES[0]);
  const far = await stack('link.b', ADDRESSES[1]);
  await engine.start();
  return { engine, own, far };
}
