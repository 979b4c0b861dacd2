/** A process with nothing to do but wait for records: it must end by itself (ringbuf.test.ts). */
import { bench, make } from './support.js';

const ring = make(bench(), 'ringbuf', 0, 0, 4096);
void (async () => {
  for await (const _ of ring.records({ ref: process.argv[2] === 'ref' })) process.exitCode = 1;
})();
if (process.argv[2] === 'ref')
  setTimeout(() => {
    console.log('held');
    ring.stop();
  }, 300).unref();
