/** One end on the kernel's TCP, or on a Unix socket, by Node's own `net`: the same applications and the same load. */
import net from 'node:net';
import type { Duplex } from 'node:stream';
import type * as Levels from '../../../host/apps/levels.js';
import type { Calling, Net } from '../../../host/apps/levels.js';
import { built } from '../../harness/built.js';
import { socketConnects } from './connects.js';
import { Calls, serviceSpec } from './part.js';
import type { KernelPlan } from './plan.js';

const { serveDuplex, callDuplex } = await built<typeof Levels>('apps/levels');

/** `net` at a path: where the applications name a port. */
const unixNet = (path: string): Net => ({
  createServer(options, onConnection) {
    const server = net.createServer(options, onConnection as (socket: Duplex) => void);
    const { listen } = server;
    server.listen = ((_port: number, _host: unknown, done: () => void) =>
      listen.call(server, path, done)) as unknown as typeof server.listen;
    return server;
  },
  connect: () => net.connect({ path }),
});

const kernelNet: Net = {
  createServer: (options, onConnection) =>
    net.createServer(options, onConnection as (socket: Duplex) => void),
  connect: options => net.connect(options),
};

/** Nothing to measure of a server but its CPU. */
export async function openKernel(plan: KernelPlan): Promise<{ calling: Calling; calls: Calls } | undefined> {
  const { side, at, app, flows, outstanding, most, spins } = plan;
  const isPath = 'path' in at;
  const used = isPath ? unixNet(at.path) : kernelNet;
  const { host, port } = isPath ? { host: '', port: 0 } : at;
  if (spins) {
    const again = (): void => void setImmediate(again);
    again();
  }
  if (side === 'server') {
    await serveDuplex(used, serviceSpec(app), { port, address: host });
    return undefined;
  }
  const calls = new Calls(app);
  const place = { host, port, flows, outstanding, most };
  const calling = app === 'connects' ? socketConnects(used, place) : callDuplex(used, calls.spec, place);
  await calls.begin(calling, flows);
  return { calling, calls };
}
