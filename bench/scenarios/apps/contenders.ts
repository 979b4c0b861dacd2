/** Who is compared: our levels in their shapes, and Node's `net`, each ready to be measured in its turn. */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Level } from '../../../host/apps/levels.js';
import { keepAwake } from '../hops/awake.js';
import { missingEthtool, stopChild } from '../hops/chain.js';
import { SPIN } from '../nic/peers.js';
import { Actor } from './actors.js';
import type { Answer, IdlePlan, KernelPlan, Load, Order, Plan, Shape } from './plan.js';
import { Veth } from './veth.js';

/** What one round found. */
export interface Figures {
  /** Messages, or requests, per second. */
  rate: number;
  p50Us: number;
  p99Us: number;
  /** CPU time a message and a side, µs. */
  cpuUs: number;
  /** How long threads were ready and had no CPU, parts of the time: work of others on this machine, which is to be none. */
  awaited: number;
}
export type Figure = Exclude<keyof Figures, 'awaited'>;

/**
 * Who never sleeps is compared with peers that are kept from it, who sleeps with those that do:
 * `awake` is a peer that sleeps in epoll while the CPUs are kept from halting.
 */
export type Rest = 'spins' | 'awake' | 'sleeps';

export interface Contender {
  readonly name: string;
  readonly rest: Rest;
  readonly ours: boolean;
  start(load: Load): Promise<Running>;
}

/** It stands still unless it is its turn. */
export interface Running {
  turn(order: Order): Promise<Figures>;
  stop(): Promise<void>;
}

const SHAPES: Record<Shape, string> = {
  lanes: 'two lanes',
  split: 'lane + main thread',
  served: 'callers in lane + server',
  inline: 'inline engine',
};
const LEVELS: Record<Level, string> = { lane: 'in-lane', burst: 'burst', duplex: 'Duplex' };

/** Both ends on our TCP. */
export function ours(level: Level, shape: Shape, spinUs = SPIN): Contender {
  const rest: Rest = spinUs > 0 ? 'spins' : 'sleeps';
  return {
    name: `${LEVELS[level]}: ${SHAPES[shape]}${rest === 'sleeps' ? ', sleep' : ''}`,
    ...{ rest, ours: true },
    async start(load) {
      const actor = await Actor.start(`${level} ${shape}`, { be: 'pair', ...load, level, shape, spinUs });
      actor.pause();
      return {
        turn: order => turnOf([actor], false, async () => figuresOf([await actor.order(order)])),
        stop: () => actor.stop(),
      };
    },
  };
}

const RESTS: Record<Rest, string> = {
  spins: ', an event loop that never waits',
  awake: ', CPUs kept awake',
  sleeps: '',
};

/** Node's `net` in two processes, each with a CPU of its own. */
export function node(rest: Rest, wire: 'veth' | 'unix' = 'veth'): Contender {
  const how = wire === 'veth' ? 'net over veth' : 'net on a Unix socket';
  return {
    name: `Node ${how}${RESTS[rest]}`,
    ...{ rest, ours: false },
    async start(load) {
      const veth = wire === 'veth' ? new Veth() : undefined;
      const path = join(tmpdir(), `etherloom-bench-${process.pid}-${paths++}.sock`);
      const at: KernelPlan['at'] = veth ? { host: Veth.SERVER, port: 7000 } : { path };
      const plan = (side: 'server' | 'client'): KernelPlan => ({
        ...{ be: 'kernel', side, at, spins: rest === 'spins', ...load },
      });
      const actors: Actor[] = [];
      const close = async (): Promise<void> => {
        await Promise.all(actors.map(a => a.stop()));
        veth?.close();
        await rm(path, { force: true });
      };
      try {
        actors.push(await Actor.start('Node, server', plan('server'), '0', veth?.server.name));
        actors.push(await Actor.start('Node, client', plan('client'), '1', veth?.client.name));
      } catch (error) {
        await close();
        throw error;
      }
      for (const actor of actors) actor.pause();
      const work = (order: Order) => async (): Promise<Figures> =>
        figuresOf(await Promise.all(actors.map(actor => actor.order(order))));
      return { turn: order => turnOf(actors, rest === 'awake', work(order)), stop: close };
    },
  };
}
let paths = 0;

/** Of both sides, the client's being the last. */
function figuresOf(answers: readonly Answer[]): Figures {
  const { answers: n, seconds, p50Us, p99Us } = answers.at(-1)!;
  const cpuUs = answers.reduce((sum, a) => sum + a.cpuUs, 0);
  const awaitedUs = answers.reduce((sum, a) => sum + a.awaitedUs, 0);
  return { rate: n / seconds, p50Us, p99Us, cpuUs: cpuUs / n / 2, awaited: awaitedUs / seconds / 1e6 };
}

/** A server behind veth with wrk as its client, which takes the second CPU. `seconds` of wrk are whole. */
export function beforeWrk(server: 'duplex' | 'lane' | 'node', rest: Rest): Contender {
  const node = server === 'node';
  const how = server === 'lane' ? 'a lane' : 'an inline engine';
  const name = node
    ? `Node http over veth${RESTS[rest]}`
    : `${LEVELS[server as Level]} over AF_XDP: ${how}${rest === 'sleeps' ? ' which sleeps' : ''}`;
  return {
    ...{ name, rest, ours: !node },
    async start(load) {
      const veth = new Veth(!node);
      const [host, port] = [Veth.SERVER, 7000];
      const plan: Plan = node
        ? { be: 'kernel', side: 'server', at: { host, port }, spins: rest === 'spins', ...load }
        : {
            ...{ be: 'xdp', level: server, interface: 'b0', address: host, port },
            ...{ spinUs: rest === 'sleeps' ? 0 : SPIN, ...load },
          };
      let actor: Actor | undefined;
      const close = async (): Promise<void> => {
        await actor?.stop();
        veth.close();
      };
      try {
        actor = await Actor.start(name, plan, node ? '0' : undefined, veth.server.name);
      } catch (error) {
        await close();
        throw error;
      }
      actor.pause();
      const running = actor;
      const work = (order: Order) => (): Promise<Figures> => wrk(veth, running, load, order);
      return { turn: order => turnOf([running], rest === 'awake', work(order)), stop: close };
    },
  };
}

/** Why wrk cannot be the client of an AF_XDP NIC; undefined when it can. */
export const missingWrk = (): string | undefined =>
  spawnSync('wrk', ['-v'], { stdio: 'ignore' }).error ? 'wrk is not installed' : missingEthtool();

/** Answers that are no errors, and all of them answers: wrk looks at their heads. @throws Error with what it says otherwise */
async function wrk({ client }: Veth, server: Actor, { flows }: Load, { ms }: Order): Promise<Figures> {
  const seconds = Math.max(1, Math.round(ms / 1000));
  const url = `http://${Veth.SERVER}:7000/`;
  const args = ['-c', '1', 'wrk', '-t1', `-c${flows}`, `-d${seconds}`, '--latency', url];
  const [{ out, err }, { cpuUs, awaitedUs }] = await Promise.all([
    client.run('taskset', ...args),
    server.order({ warmMs: 0, ms: seconds * 1000 }),
  ]);
  const rate = Number(/Requests\/sec:\s+([\d.]+)/.exec(out)?.[1]);
  if (!(rate > 0) || /Non-2xx|Socket errors/.test(out)) throw new Error(`wrk: ${out}${err}`);
  const at = (share: number): number => {
    const [, n, unit] = new RegExp(`${share}%\\s+([\\d.]+)(us|ms|s)`).exec(out) ?? [];
    return Number(n) * { us: 1, ms: 1e3, s: 1e6 }[unit as 'us']!;
  };
  const awaited = awaitedUs / seconds / 1e6;
  return { rate, p50Us: at(50), p99Us: at(99), cpuUs: cpuUs / (rate * seconds), awaited };
}

/** Those of `actors` live while `work` is done, and CPUs that would halt do not if that is wanted. */
async function turnOf<T>(actors: readonly Actor[], awake: boolean, work: () => Promise<T>): Promise<T> {
  let keeper: ChildProcess | undefined;
  try {
    if (awake) keeper = await keepAwake();
    for (const actor of actors) actor.resume();
    return await work();
  } finally {
    for (const actor of actors) actor.pause();
    if (keeper) await stopChild(keeper);
  }
}

export interface IdleFigures {
  /** CPU that an idle engine takes, parts of one. */
  share: number;
  /** How long after a write a sleeping lane's application has the message. */
  p50Us: number;
  p99Us: number;
  /** How long after a notify a thread that waited goes on: what the system takes for it. */
  bareUs: number;
}

export async function idleFigures(order: Order, awake: boolean): Promise<IdleFigures> {
  const figures = async (name: string, wakes: IdlePlan['wakes']): Promise<Answer> => {
    const actor = await Actor.start(name, { be: 'idle', wakes });
    return turnOf([actor], awake, () => actor.order(order)).finally(() => actor.stop());
  };
  const { cpuUs, seconds } = await figures('idle engine', false);
  const { p50Us, p99Us } = await figures('waking engine', true);
  const { p50Us: bareUs } = await figures('waking thread', 'bare');
  return { p50Us, p99Us, bareUs, share: cpuUs / seconds / 1e6 };
}
