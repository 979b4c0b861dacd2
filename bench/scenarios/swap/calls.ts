/** The carrier of an RPC changed again and again while calls are in flight, and its transports upgraded meanwhile. */
import { type Engine, Stack } from '../../../host/index.js';
import { homa } from '../../../host/transports/homa/index.js';

const SERVER = '10.0.0.2';
const PORT = 700;
/** A swap at every so many calls: all others are in flight. */
const CALLS_A_SWAP = 4;
/** Longest body, bytes. */
const LONGEST = 2500;
/** Least body: the number of the call. */
const LEAST = 4;
const UPGRADE_MS = 50;

export interface Called {
  calls: number;
  swaps: number;
  /** Upgrades of the transports under them. */
  upgrades: number;
  /** Calls that were not answered, or not with their bytes. */
  lost: number;
  /** Calls that were served more than once. */
  doubled: number;
  /** Of all calls, by Homa. */
  byHoma: number;
  ms: number;
}

/** Two hosts of an engine; it is running afterwards. */
export async function callStacks(engine: Engine): Promise<{ client: Stack; server: Stack }> {
  const on = (name: string, port: string, address: string): Promise<Stack> =>
    Stack.create({
      ...{ engine, name, messages: homa() },
      ports: { [port]: { addresses: [{ address, dad: false }] } },
    });
  const client = await on('a', 'wire.a', '10.0.0.1/24');
  const server = await on('b', 'wire.b', `${SERVER}/24`);
  await engine.start();
  return { client, server };
}

export async function callUnderSwaps(
  engine: Engine,
  { client, server }: { client: Stack; server: Stack },
  swaps: number,
  inFlight: number,
  upgrades: readonly { name: string; object: string | Uint8Array }[],
): Promise<Called> {
  const caller = await client.rpc({ carrier: 'tcp' });
  const callee = await server.rpc({ carrier: 'tcp' });
  const served = new Map<number, number>();
  await callee.serve({ port: PORT }, request => {
    const n = request.readUInt32LE(0);
    served.set(n, (served.get(n) ?? 0) + 1);
    return request;
  });
  const to = { address: SERVER, port: PORT };
  const from = performance.now();
  let calls = 0;
  let swapped = 0;
  let lost = 0;
  const caring = async (): Promise<void> => {
    while (swapped < swaps) {
      const mine = calls++;
      if (mine % CALLS_A_SWAP === 0) caller.use(++swapped % 2 ? 'homa' : 'tcp');
      const body = Buffer.alloc(LEAST + ((mine * 61) % LONGEST), mine & 255);
      body.writeUInt32LE(mine, 0);
      try {
        if (!(await caller.call(to, body)).equals(body)) lost++;
      } catch {
        lost++;
      }
    }
  };
  let upgraded = 0;
  const upgrading = async (): Promise<void> => {
    while (swapped < swaps && upgrades.length > 0) {
      const { name, object } = upgrades[upgraded++ % upgrades.length];
      await engine.transports.upgrade(name, object);
      await new Promise(next => setTimeout(next, UPGRADE_MS));
    }
  };
  await Promise.all([...Array.from({ length: inFlight }, caring), upgrading()]);
  const ms = performance.now() - from;
  const byHoma = client.counters('messages').CallsOut ?? 0;
  await caller.close();
  await callee.close();
  const doubled = [...served.values()].filter(n => n > 1).length;
  return { calls, swaps: swapped, upgrades: upgraded, lost, doubled, byHoma, ms };
}
