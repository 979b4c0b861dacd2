/** The other thread of the stream benchmark: a lane that gives back what streams send, and its peers that do without. */
import type { MessagePort } from 'node:worker_threads';
import { Arena } from '../../host/mem/arena.js';
import { benchCore } from './bench_core.js';

export type StreamPeerTask =
  | {
      kind: 'lane';
      memory: WebAssembly.Memory;
      core: WebAssembly.Module;
      ctx: number;
      streams: number;
      segment: number;
      stop: number;
    }
  | { kind: 'port'; port: MessagePort }
  | { kind: 'shared'; buffer: SharedArrayBuffer; slots: number; bytes: number };

/** Words of the ring pair of the peer 'shared': two producers, two consumers, stop. */
export const Word = { OUT: 0, OUT_TAKEN: 16, BACK: 32, BACK_TAKEN: 48, STOP: 64, MESSAGES: 80 } as const;

export default function peer(task: StreamPeerTask): void | Promise<void> {
  if (task.kind === 'lane')
    return benchCore(Arena.attach(task.memory), 0, task.core).stream_echo_until(
      task.ctx,
      task.streams,
      task.segment,
      task.stop,
    );
  if (task.kind === 'port')
    return new Promise(done => {
      task.port.on('message', m => {
        if (m === undefined) {
          task.port.close();
          done();
        } else task.port.postMessage(m);
      });
    });
  const { buffer, slots, bytes } = task;
  const words = new Int32Array(buffer);
  const all = new Uint8Array(buffer);
  const out = Word.MESSAGES * 4;
  const back = out + slots * bytes;
  while (Atomics.load(words, Word.STOP) === 0) {
    const to = Atomics.load(words, Word.OUT);
    for (let i = Atomics.load(words, Word.OUT_TAKEN); i !== to; i++) {
      const at = (i & (slots - 1)) * bytes;
      all.set(all.subarray(out + at, out + at + bytes), back + at);
      Atomics.store(words, Word.OUT_TAKEN, i + 1);
      Atomics.store(words, Word.BACK, i + 1);
    }
  }
}
