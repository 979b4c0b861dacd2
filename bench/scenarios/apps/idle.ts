/** An engine that has nothing to do: what it takes, and how long it takes to see a message that ends its sleep. */
import type { Calling } from '../../../host/apps/levels.js';
import type * as Tallies from '../../../host/apps/load/tally.js';
import type * as Cpus from '../../../host/engine/cpus.js';
import type { Stack } from '../../../host/net/stack.js';
import { built } from '../../harness/built.js';
import { ADDRESSES, CPUS, openHosts, PORT } from './hosts.js';
import { BYTES, Calls } from './part.js';
import type { IdlePlan } from './plan.js';

const { keepTo } = await built<typeof Cpus>('engine/cpus');
const { Tally } = await built<typeof Tallies>('apps/load/tally');

/** Between two messages: lanes spin for 50 µs, then sleep for at most 20 ms. */
const PAUSE_MS = 5;

export async function openIdle({ wakes }: IdlePlan): Promise<{ calling: Calling; calls: Calls } | undefined> {
  const shape = wakes ? 'split' : 'lanes';
  const { engine, own, far } = await openHosts(shape, 1);
  const { main } = CPUS[shape];
  if (main !== undefined) keepTo(main);
  if (wakes) return { calling: await waking(own, far), calls: new Calls('connects') };
  await new Promise<void>(done => void far.createServer(s => s.pipe(s)).listen(PORT, done));
  const socket = own.connect(PORT, ADDRESSES[1]);
  await new Promise((done, failed) => socket.once('connect', done).once('error', failed));
  if (engine.crashes.length) throw new Error('a lane died');
  return undefined;
}

/** Messages to an application inside the lane, which sleeps: from the write here to the news there. */
async function waking(own: Stack, far: Stack): Promise<Calling> {
  const memory = new SharedArrayBuffer(8);
  const seen = new BigInt64Array(memory);
  const module = new URL('wake.mjs', import.meta.url);
  const ready = new Promise<void>(done => setTimeout(done, 100));
  await far.openInLane({ module, data: { memory, port: PORT } });
  await ready;
  const tally = new Tally();
  const errors: string[] = [];
  const { burst } = own;
  const connection = burst.connect({ host: ADDRESSES[1], port: PORT, options: { noDelay: true } });
  const message = new Uint8Array(BYTES).fill(0x41);
  const into = new Uint8Array(BYTES);
  const events: Parameters<typeof burst.poll>[0] = [];
  /** What came back. */
  const heard = (): number => {
    burst.poll(events);
    return connection.read(into);
  };
  const ask = async (): Promise<void> => {
    for (;;) {
      await new Promise(next => setTimeout(next, PAUSE_MS));
      const from = process.hrtime.bigint();
      connection.write(message);
      burst.flush();
      while (heard() === 0 && !connection.closed) await burst.wait(100);
      if (connection.closed) return void errors.push(connection.error ?? 'the connection ended');
      tally.received(BYTES, 1);
      tally.took(Number(Atomics.load(seen, 0) - from));
    }
  };
  while (!connection.connected && !connection.closed) {
    burst.poll(events);
    await burst.wait(100);
  }
  void ask().catch(error => errors.push((error as Error).message));
  return {
    numbers: () => [tally.numbers.slice()],
    errors,
    goOn() {},
    close: async () => {},
  };
}
