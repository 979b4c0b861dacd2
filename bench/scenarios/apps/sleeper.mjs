/** A thread that waits on a word, and says when it was woken: ns of the monotonic clock, in shared memory. */
import { parentPort, workerData } from 'node:worker_threads';

const { memory, cpu, cpus } = workerData;
const { keepTo } = await import(cpus);
keepTo(cpu);
const word = new Int32Array(memory, 0, 1);
const seen = new BigInt64Array(memory, 8, 1);
parentPort.postMessage('up');
// Ends with the process.
for (let value = 0; ; ) {
  Atomics.wait(word, 0, value);
  // Before it says so: the next wake may follow at once.
  value = Atomics.load(word, 0);
  Atomics.store(seen, 0, process.hrtime.bigint());
}
