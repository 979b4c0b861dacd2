/** Claims that hold for Node's own sockets and for those of an engine, and the stacks that the latter run on. */
import { Engine } from '../../host/engine/engine.js';
import { takeStreamLedger } from '../../host/mem/streams.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { assert, suite, type TestOptions } from './suite.js';

type Body<P> = (place: P) => Promise<void>;
type Claim<P> = (claim: string, body: Body<P>, options?: TestOptions) => void;

/** A suite whose every claim is tested at `node`, and at the place that `engine` makes when it is first needed. */
export function claims<P>(
  name: string,
  node: P,
  engine: () => Promise<P>,
): {
  test: Claim<P>;
  /** Of the engine only. */
  engineOnly: Claim<P>;
  /** Of neither. */
  plain: ReturnType<typeof suite>;
} {
  const plain = suite(name);
  const onEngine = (body: Body<P>) => async () => body(await engine());
  return {
    plain,
    test: (claim, body, options) => {
      plain(`${claim} (Node)`, () => body(node), options);
      plain(`${claim} (engine)`, onEngine(body), options);
    },
    engineOnly: (claim, body, options) => plain(claim, onEngine(body), options),
  };
}

export interface TwoStacks {
  engine: Engine;
  /** 10.0.0.1 and fd00::1, 10.0.0.2 and fd00::2. */
  client: Stack;
  server: Stack;
}

/** Two hosts of one engine with a wire of the shm NIC between them. */
export async function twoStacks(): Promise<TwoStacks> {
  const { a, b } = modelLink({ name: 'wire', packets: 4096 });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 1, warmMs: 0, frames: 8192 },
    streams: { count: 256, bytes: 96 << 20, apps: 8 },
  });
  const own = (n: number) => [`10.0.0.${n}/24`, `fd00::${n}/64`].map(address => ({ address, dad: false }));
  const client = await Stack.create({ engine, ports: { 'wire.a': { addresses: own(1) } } });
  const server = await Stack.create({ engine, ports: { 'wire.b': { addresses: own(2) } } });
  await engine.start();
  return { engine, client, server };
}

/** Closes them: no stream, no memory and no frame may be left. */
export async function closeClean({ engine, client, server }: TwoStacks): Promise<void> {
  const stacks = [client, server];
  for (const stack of stacks) await stack.close();
  const { open, closed, lost, lostIds, used } = takeStreamLedger(engine.arena);
  assert.equal({ open, closed, lost, lostIds, used }, { open: 0, closed: 0, lost: 0, lostIds: 0, used: 0 });
  const { ledger } = await engine.stop();
  assert.is(ledger.lost + ledger.doubled, 0);
}
