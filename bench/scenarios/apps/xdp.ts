/**
 * A server of ours on a veth end, for clients of the kernel: AF_XDP, one thread. In-lane it is a lane; Duplex sockets are on an
 * inline engine, whose steps the event loop makes.
 */
import type * as Levels from '../../../host/apps/levels.js';
import type * as Cpus from '../../../host/engine/cpus.js';
import type * as Engines from '../../../host/engine/engine.js';
import type * as Stacks from '../../../host/net/stack.js';
import type * as Nics from '../../../host/nic/index.js';
import { built } from '../../harness/built.js';
import { HOUR_MS } from '../tcp/hosts.js';
import { serviceSpec } from './part.js';
import type { XdpPlan } from './plan.js';

const { Engine } = await built<typeof Engines>('engine/engine');
const { keepTo } = await built<typeof Cpus>('engine/cpus');
const { Stack } = await built<typeof Stacks>('net/stack');
const { afXdp } = await built<typeof Nics>('nic/index');
const { serve } = await built<typeof Levels>('apps/levels');

const RING = 64 << 10;
const CPU = 0;

export async function openXdp(plan: XdpPlan): Promise<undefined> {
  const { level, app, flows, address, port, spinUs } = plan;
  const count = 2 * flows + 64;
  const engine = await Engine.create({
    nics: [afXdp({ interface: plan.interface, own: true })],
    ...(level === 'lane' ? { cpus: [CPU], spinUs } : { inline: true }),
    ...{ pass: 'count', frames: 8192, hangMs: HOUR_MS },
    mapBytes: (12 << 20) + count * 8192,
    streams: { count, bytes: 4 * flows * RING + count * 10240 + (8 << 20), apps: 16, slots: 2048 },
  });
  const stack = await Stack.create({ engine, ports: { [plan.interface]: { addresses: [`${address}/24`] } } });
  await engine.start();
  keepTo(CPU);
  await serve(stack, level, serviceSpec(app), { port, backlog: flows + 1 });
  return undefined;
}
