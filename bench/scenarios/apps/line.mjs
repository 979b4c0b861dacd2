/**
 * What it costs to hand a line of memory from the first CPU to the second and back, ns: prints the median of some rounds. What
 * threads of ours have between them, and what swings by itself from one minute to another on a virtual machine.
 */
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { keepTo } from '../../../dist/engine/cpus.js';

/** Words on lines of their own: ball there, ball back, ready, over. */
const AT = { there: 0, back: 32, ready: 64, over: 96 };
const PASSES = 20_000;
const ROUNDS = 9;

if (isMainThread) {
  const memory = new SharedArrayBuffer(512);
  const words = new Int32Array(memory);
  new Worker(new URL(import.meta.url), { workerData: memory });
  while (Atomics.load(words, AT.ready) === 0) await new Promise(next => setTimeout(next, 5));
  keepTo(0);
  const rounds = Array.from({ length: ROUNDS }, () => {
    const from = performance.now();
    for (let i = 0; i < PASSES; i++) {
      const ball = Atomics.add(words, AT.there, 1) + 1;
      while (Atomics.load(words, AT.back) !== ball);
    }
    return ((performance.now() - from) * 1e6) / PASSES;
  });
  Atomics.store(words, AT.over, 1);
  console.log(Math.round(rounds.sort((a, b) => a - b)[ROUNDS >> 1]));
} else {
  const words = new Int32Array(workerData);
  keepTo(1);
  Atomics.store(words, AT.ready, 1);
  while (Atomics.load(words, AT.over) === 0) Atomics.store(words, AT.back, Atomics.load(words, AT.there));
}
