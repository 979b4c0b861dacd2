/** An application in a thread of its own: connects the streams that it is given, and writes to them until it is ended. */
import { StreamRequest } from '../../host/layout/layout.gen.js';
import { StreamApp } from '../../host/streams/stream_app.js';

export interface AppTask {
  memory: WebAssembly.Memory;
  app: number;
  streams: number[];
}

export default function run({ memory, app: number, streams }: AppTask): never {
  const app = StreamApp.attach(memory, number);
  const ends = streams.map(id => app.end(id));
  const chunk = new Uint8Array(4096).fill(7);
  for (const end of ends) end.request(StreamRequest.CONNECT);
  for (;;) {
    for (const end of ends) while (end.write(chunk) === chunk.length);
    app.waitSync(100);
    app.take(() => {});
  }
}
