/** An application in a thread of its own: gives back what it gets, without copies of its own, until it had `bytes`. */
import { StreamApp } from '../../host/streams/stream_app.js';
import type { StreamEnd } from '../../host/streams/stream_end.js';

export interface EchoTask {
  memory: WebAssembly.Memory;
  app: number;
  bytes: number;
}

export default function run({ memory, app: number, bytes }: EchoTask): number {
  const app = StreamApp.attach(memory, number);
  let done = 0;
  const echo = (stream: StreamEnd): void => {
    if (stream.room === 0) return;
    for (const view of stream.readViews()) {
      const n = stream.write(view);
      stream.consume(n);
      done += n;
      if (n < view.length) return;
    }
  };
  while (done < bytes) {
    app.waitSync(100);
    app.take(echo);
  }
  return done;
}
