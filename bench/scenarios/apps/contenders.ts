/** Who is compared: our levels in their shapes, and Node's `net`, each ready to be measured in its turn. */
import type { ChildProcess } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Level } from '../../../host/apps/levels.js';
import { stopChild } from '../hops/chain.js';
import { keepAwake } from '../hops/awake.js';
import { SPIN } from '../nic/peers.js';
import { Actor } from './actors.js';
import type { KernelPlan, Load, Order, Shape } from './plan.js';
import { Veth } from './veth.js';

/** What one round found. */
export interface Figures {
  /** Messages, or requests, per second. */
  rate: number;
  p50Us: number;
  p99Us: number;
  /** CPU time a message and a side, µs. */
  cpuUs: number;
}
export type Figure = keyof Figures;

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
  lanes: 'a lane for each host',
  split: 'one lane for both hosts, both applications in the main thread',
  inline: 'inline engine, all in one thread',
};
const LEVELS: Record<Level, string> = { lane: 'in-lane', burst: 'burst', duplex: 'Duplex' };

/** Both ends on our TCP. */
export function ours(level: Level, shape: Shape, spinUs = SPIN): Contender {
  const rest: Rest = spinUs > 0 ? 'spins' : 'sleeps';
  return {
    name: `${LEVELS[level]}: ${SHAPES[shape]}${rest === 'sleeps' ? ', which sleep' : ''}`,
    ...{ rest, ours: true },
    async start(load) {
      const actor = await Actor.start(`${level} ${shape}`, { be: 'pair', ...load, level, shape, spinUs });
      actor.pause();
      return {
        async turn(order) {
          actor.resume();
          try {
            const { answers, seconds, p50Us, p99Us, cpuUs } = await actor.order(order);
            return { rate: answers / seconds, p50Us, p99Us, cpuUs: cpuUs / answers / 2 };
          } finally {
            actor.pause();
          }
        },
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
      return { turn: order => turnOf(actors, order, rest === 'awake'), stop: close };
    },
  };
}
let paths = 0;

async function turnOf(actors: readonly Actor[], order: Order, awake: boolean): Promise<Figures> {
  let keeper: ChildProcess | undefined;
  try {
    if (awake) keeper = await keepAwake();
    for (const actor of actors) actor.resume();
    const [server, client] = await Promise.all(actors.map(actor => actor.order(order)));
    const { answers, seconds, p50Us, p99Us, cpuUs } = client;
    return { rate: answers / seconds, p50Us, p99Us, cpuUs: (cpuUs + server.cpuUs) / answers / 2 };
  } finally {
    for (const actor of actors) actor.pause();
    if (keeper) await stopChild(keeper);
  }
}
