/** An engine that has nothing to do: what it takes, and how long it takes to see a message that ends its sleep. */
import { Worker } from 'node:worker_threads';
import type { Calling } from '../../../host/apps/levels.js';
import type * as Tallies from '../../../host/apps/load/tally.js';
import type * as Cpus from '../../../host/engine/cpus.js';
import type { Stack } from '../../../host/net/stack.js';
import { built, builtUrl } from '../../harness/built.js';
import { ADDRESSES, CPUS, openHosts, PORT } from './hosts.js';
import { BYTES, Calls } from './part.js';
import type { IdlePlan } from './plan.js';

const { keepTo } = await built<typeof Cpus>('engine/cpus');
const { Tally } = await built<typeof Tallies>('apps/load/tally');

/** Between two messages: lanes spin for 50 µs, then sleep. */
const PAUSE_MS = 5;
/** Messages without pauses before: an engine that sleeps now and then has worked, and its code is compiled. */
const WARM = 20_000;

type AtWork = { calling: Calling; calls: Calls };

export async function openIdle({ wakes }: IdlePlan): Promise<AtWork | undefined> {
  if (wakes === 'bare') return { calling: await bareWakes(), calls: new Calls('connects') };
  const shape = wakes ? 'split' : 'lanes';
  const { engine, own, far } = await openHosts(shape, 1, BYTES);
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
    for (let i = 0; i < WARM && !connection.closed; i++) {
      connection.write(message);
      while (heard() === 0 && !connection.closed);
    }
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

/** The same pauses without an engine: from a notify in the main thread to the end of another thread's wait, as V8 has them. */
async function bareWakes(): Promise<Calling> {
  const { lanes, main } = CPUS.split;
  const memory = new SharedArrayBuffer(16);
  const word = new Int32Array(memory, 0, 1);
  const seen = new BigInt64Array(memory, 8, 1);
  const workerData = { memory, cpu: lanes[0], cpus: builtUrl('engine/cpus').href };
  const sleeper = new Worker(new URL('sleeper.mjs', import.meta.url), { workerData });
  const errors: string[] = [];
  sleeper.on('error', error => errors.push(error.message));
  await new Promise((up, failed) => sleeper.once('message', up).once('error', failed));
  if (main !== undefined) keepTo(main);
  const tally = new Tally();
  const wake = (): bigint => {
    const from = process.hrtime.bigint();
    Atomics.add(word, 0, 1);
    Atomics.notify(word, 0);
    return from;
  };
  const ask = async (): Promise<void> => {
    for (let i = 0; i < WARM; i++) {
      const before = Atomics.load(seen, 0);
      wake();
      while (Atomics.load(seen, 0) === before);
    }
    for (;;) {
      await new Promise(next => setTimeout(next, PAUSE_MS));
      const from = wake();
      while (Atomics.load(seen, 0) < from);
      tally.received(0, 1);
      tally.took(Number(Atomics.load(seen, 0) - from));
    }
  };
  void ask().catch(error => errors.push((error as Error).message));
  return { numbers: () => [tally.numbers.slice()], errors, goOn() {}, close: async () => {} };
}
