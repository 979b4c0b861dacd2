/** WebSockets of the soak, by `ws`: echoes of messages of all lengths, compressed or not; closed with a word, or without. */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type ClientOptions, WebSocket, WebSocketServer } from 'ws';
import { bytesOf, type CallFrom, type Counted, inTime, PORTS, Workers } from './load.js';

const LONGEST = 1 << 16;
/** Code of a close that is a client's farewell, and of one without a word. */
const FAREWELL = 4000;
const WITHOUT = 1006;

export interface WebSocketEcho {
  web: Server;
  /** Those whose client went without a word. */
  left: number;
  close(): void;
}

export function webSocketServer(errors: string[]): WebSocketEcho {
  const web = createServer();
  const wss = new WebSocketServer({ server: web, perMessageDeflate: true });
  const echo: WebSocketEcho = {
    web,
    left: 0,
    close() {
      for (const socket of wss.clients) socket.terminate();
      wss.close();
    },
  };
  wss.on('connection', socket => {
    socket.on('message', (data, binary) => socket.send(data as Buffer, { binary }));
    socket.on('error', error => errors.push(`ws server: ${error.message}`));
    socket.on('close', code => {
      if (code === WITHOUT) echo.left++;
      else if (code !== FAREWELL) errors.push(`ws server: closed with ${code}`);
    });
  });
  return echo;
}

export function webSocketLoad({ net, host, seed }: CallFrom, workers: number): Workers {
  const createConnection = net.connect as unknown as ClientOptions['createConnection'];
  const turn = async (next: () => number, total: Counted): Promise<void> => {
    const perMessageDeflate = next() % 4 === 0;
    const socket = new WebSocket(`ws://${host}:${PORTS.ws}/`, { createConnection, perMessageDeflate });
    let failed: Error | undefined;
    socket.on('error', error => {
      failed = error;
    });
    await inTime('ws: open', once(socket, 'open'));
    total.connections++;
    for (let i = next() % 40; i > 0; i--) {
      const data = bytesOf(next() % LONGEST, next());
      const back = once(socket, 'message');
      socket.send(data);
      const [got] = (await inTime('ws: echo', back)) as [Buffer];
      if (!got.equals(data)) throw new Error(`${data.length} bytes came back as ${got.length}, or others`);
      total.answers++;
      total.bytes += data.length;
    }
    const closed = once(socket, 'close') as Promise<[number]>;
    const rude = next() % 8 === 0;
    if (rude) socket.terminate();
    else socket.close(FAREWELL);
    const [code] = await inTime('ws: close', closed);
    if (failed) throw failed;
    if (rude) total.cut++;
    else if (code !== FAREWELL) throw new Error(`closed with ${code}`);
  };
  return new Workers('ws', workers, seed, turn);
}
