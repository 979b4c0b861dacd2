/**
 * A chain of forwarders in this process's namespace, between the interfaces `in` and `out`, until SIGTERM:
 *   tsx forwarder.ts etherloom|kernel CONFIG
 * with a forward configuration as JSON. Prints "ready: how it runs", at the end what was counted.
 */

import type * as Config from '../../../host/forward/config.js';
import type { ForwardInput } from '../../../host/forward/config.js';
import type * as Kernel from '../../../host/forward/kernel_chain.js';
import { built } from '../../harness/built.js';

const [name, json] = process.argv.slice(2);
const { forwardConfig } = await built<typeof Config>('forward/config');
const config = forwardConfig(JSON.parse(json) as ForwardInput);

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

const kinds: Record<string, () => Promise<Running>> = { kernel };
const running = await kinds[name]();
const alive = setInterval(() => {}, 1 << 30);
process.once('SIGTERM', async () => {
  await running.stop();
  clearInterval(alive);
});
console.log(`ready: ${running.how}`);
