/**
 * A process of the apps bench: tsx actor.ts PLAN. Says "ready" when its load is under way, then answers an order a line, until
 * its input ends. Between orders it stands still (SIGSTOP).
 */
import { createInterface } from 'node:readline';
import { measure } from './part.js';
import type { Answer, Order, Plan } from './plan.js';

const plan = JSON.parse(process.argv[2]) as Plan;
const open = {
  pair: async (p: Plan) => (await import('./pair.js')).openPair(p as Extract<Plan, { be: 'pair' }>),
  xdp: async (p: Plan) => (await import('./xdp.js')).openXdp(p as Extract<Plan, { be: 'xdp' }>),
  idle: async (p: Plan) => (await import('./idle.js')).openIdle(p as Extract<Plan, { be: 'idle' }>),
  kernel: async (p: Plan) => (await import('./kernel.js')).openKernel(p as Extract<Plan, { be: 'kernel' }>),
};
const load = await open[plan.be](plan);
const say = (what: string | Answer): void =>
  void process.stdout.write(`${typeof what === 'string' ? what : JSON.stringify(what)}\n`);
const orders = createInterface({ input: process.stdin });
orders.on('line', line => void measure(JSON.parse(line) as Order, load).then(say));
// Whatever is open goes with the process.
orders.once('close', () => process.exit(0));
say('ready');
