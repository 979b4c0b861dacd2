/**
 * A chain of forwarders in this process's namespace, between the interfaces `in` and `out`, until SIGTERM:
 *   tsx forwarder.ts etherloom|kernel CONFIG
 * with a forward configuration as JSON. Prints "ready: how it runs", at the end what was counted.
 */

import type * as Chain from '../../../host/forward/chain.js';
import type * as Config from '../../../host/forward/config.js';
import type { ForwardInput } from '../../../host/forward/config.js';
import type * as Kernel from '../../../host/forward/kernel_chain.js';
import type * as Nics from '../../../host/nic/index.js';
import { built } from '../../harness/built.js';

const [name, json] = process.argv.slice(2);
const { forwardConfig } = await built<typeof Config>('forward/config');
const config = forwardConfig(JSON.parse(json) as ForwardInput);

/** The engine's default: with two CPUs, a lane that never slept would take one from client and server. */
const SPIN_US = 50;

interface Running {
  how: string;
  stop(): void | Promise<void>;
}

async function kernel(): Promise<Running> {
  const { KernelForwarder } = await built<typeof Kernel>('forward/kernel_chain');
  const chain = await KernelForwarder.create({ config, in: 'in', out: 'out' });
  return {
    how: `the same object, attached ${chain.attach}, devmaps between veth pairs`,
    stop: () => chain.close(),
  };
}

async function etherloom(): Promise<Running> {
  const { Forwarder } = await built<typeof Chain>('forward/chain');
  const { afXdp } = await built<typeof Nics>('nic/index');
  const [entry, exit] = ['in', 'out'].map(name => afXdp({ interface: name, own: true }));
  const chain = await Forwarder.create({ config, in: entry, out: exit, engine: { spinUs: SPIN_US } });
  await chain.start();
  const { mode, copy } = entry.status;
  return {
    how: `one lane that spins for ${SPIN_US} µs before it sleeps, AF_XDP ${mode}, ${copy}`,
    stop: async () => void (await chain.stop()),
  };
}

const kinds: Record<string, () => Promise<Running>> = { kernel, etherloom };
const running = await kinds[name]();
const alive = setInterval(() => {}, 1 << 30);
process.once('SIGTERM', async () => {
  await running.stop();
  clearInterval(alive);
});
console.log(`ready: ${running.how}`);
