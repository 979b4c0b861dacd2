/** A task of piscina, or a worker: serves or asks over sockets of its own, as an application of a stack. */
import { once } from 'node:events';
import type { StackTicket } from '../../host/net/burst/stack_app.js';
import { StackNet } from '../../host/net/sockets/net.js';

export interface ThreadTask {
  ticket: StackTicket;
  /** Serve there until told to end, or connect there. */
  serve?: { port: number; address: string };
  ask?: { port: number; host: string; words: string };
}

export default async function run({ ticket, serve, ask }: ThreadTask): Promise<string> {
  const net = StackNet.attach(ticket);
  try {
    if (ask) {
      const s = net.connect({ host: ask.host, port: ask.port });
      s.setEncoding('utf8').end(ask.words);
      let text = '';
      try {
        for await (const part of s) text += part;
      } catch (error) {
        // Of an error that is posted the code is lost.
        return (error as NodeJS.ErrnoException).code!;
      }
      return text;
    }
    const { port, address } = serve!;
    let served = 0;
    // A second one at the same place is refused, as in the stack's thread.
    const server = net.createServer({ allowHalfOpen: true }, s => {
      s.setEncoding('utf8');
      s.on('error', () => {}).on('data', (text: string) => {
        served++;
        if (text === 'enough') server.close();
        s.write(text.toUpperCase());
      });
      s.on('end', () => s.end());
    });
    server.listen(port, address);
    if (server.listening) throw new Error('it listens before the stack has answered');
    await once(server, 'listening');
    const second = net.createServer().listen(port, address);
    const [refused] = (await once(second, 'error')) as [NodeJS.ErrnoException];
    await once(server, 'close');
    return `${served} ${refused.code} ${refused.syscall}`;
  } finally {
    await net.close();
  }
}
