/** Two hosts with Homa whose lanes die when they are told to. */
import type { TcpEngine } from '../tcp/engine.js';
import { MortalLanes } from '../tcp/mortal.js';
import { World, type WorldOptions } from './world.js';

export interface Mortal {
  w: World;
  lanes: MortalLanes;
}

export async function mortal(options: WorldOptions): Promise<Mortal> {
  let lanes: MortalLanes | undefined;
  const w = await World.create({
    ...options,
    rounds: (engine, hosts) => {
      // What it needs of a host: programs that a new lane is to have.
      const programs = hosts.map(h => ({ entrance: h.stack.entrance, collection: collectionOf(h.messages) }));
      lanes = new MortalLanes(engine, programs as unknown as TcpEngine[]);
      return lanes;
    },
  });
  return { w, lanes: lanes! };
}
const collectionOf = (of: unknown): unknown => (of as { collection: unknown }).collection;
