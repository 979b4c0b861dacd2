/** A task of piscina: sockets of datagrams of its own, as an application of a stack. */
import { once } from 'node:events';
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { StackEvent } from '../../host/net/burst/sockets.js';
import { StackApp, type StackTicket } from '../../host/net/burst/stack_app.js';
import { StackNet } from '../../host/net/sockets/net.js';

export interface ThreadTask {
  ticket: StackTicket;
  what: 'echo' | 'ask' | 'burst' | 'hold';
  host: string;
  port: number;
}

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException | null)?.code ?? 'none';

/** Answers until it is told that it is enough; says what a second socket at its port, and one nowhere, are told. */
async function echo(net: StackNet, { host, port }: ThreadTask): Promise<string> {
  const socket = net.dgram.createSocket('udp4');
  socket.bind(port, host);
  await once(socket, 'listening');
  const second = net.dgram.createSocket('udp4').bind(port, host);
  const [taken] = (await once(second, 'error')) as [NodeJS.ErrnoException];
  second.close();
  const foreign = net.dgram.createSocket('udp4').bind(0, '10.9.9.9');
  const [nowhere] = (await once(foreign, 'error')) as [NodeJS.ErrnoException];
  foreign.close();
  let n = 0;
  await new Promise<void>(done => {
    socket.on('message', (data, from) => {
      n++;
      const text = String(data);
      socket.send(text.toUpperCase(), from.port, from.address, () => text === 'enough' && done());
    });
  });
  const closed = once(socket, 'close');
  socket.close();
  await closed;
  return `${n} ${taken.code} ${taken.syscall} ${nowhere.code}`;
}

/** Sends in a row before anything is known of the way, hears all answers in order, and meets errors. */
async function ask(net: StackNet, { host, port }: ThreadTask): Promise<string> {
  const socket = net.dgram.createSocket('udp4');
  const heard: string[] = [];
  const all = new Promise<void>(done => {
    socket.on('message', data => {
      heard.push(String(data));
      if (heard.length === 50) done();
    });
  });
  let told = 0;
  for (let i = 0; i < 50; i++)
    socket.send(`m${i}`, port, host, (error: Error | null) => void (told += error ? 0 : 1));
  await all;
  const inOrder = heard.every((text, i) => text === `M${i}`);
  const noWay = await new Promise(done =>
    socket.send('x', port, '192.0.2.9', (error: Error | null) => done(codeOf(error))),
  );
  const tooLong = await new Promise(done =>
    socket.send(Buffer.alloc(3000), port, host, (error: Error | null) => done(codeOf(error))),
  );
  socket.connect(port, host);
  await once(socket, 'connect');
  const answer = once(socket, 'message');
  socket.send('last');
  const [last] = await answer;
  socket.disconnect();
  socket.connect(1, host);
  await once(socket, 'connect');
  socket.send('nobody');
  const [refused] = await once(socket, 'error');
  const unreachable = await new Promise(done => {
    const other = net.dgram.createSocket('udp4');
    other.connect(1, '192.0.2.9', error => {
      other.close();
      done(codeOf(error));
    });
  });
  socket.close();
  await once(socket, 'close');
  return [told, inOrder, noWay, tooLong, last, codeOf(refused), unreachable].join(' ');
}

/** The burst API of the thread: a socket that echoes until it is told that it is enough. */
async function burst({ ticket, host, port }: ThreadTask): Promise<string> {
  const app = StackApp.attach(ticket);
  const socket = await app.bind({ port, address: host });
  const events: StackEvent[] = [];
  const got: Datagram[] = [];
  let n = 0;
  for (let over = false; !over; await app.wait(100)) {
    app.poll(events);
    const came = socket.receive(got);
    for (const d of got.slice(0, came)) {
      over ||= d.length === 6;
      socket.send(Uint8Array.from(d.data), d);
      n++;
    }
    app.flush();
  }
  await app.close();
  return String(n);
}

export default async function run(task: ThreadTask): Promise<string> {
  if (task.what === 'burst') return burst(task);
  const net = StackNet.attach(task.ticket);
  try {
    if (task.what === 'echo') return await echo(net, task);
    if (task.what === 'ask') return await ask(net, task);
    const socket = net.dgram.createSocket('udp4').bind(task.port, task.host);
    await once(socket, 'listening');
    const [code] = await Promise.race([once(socket, 'error'), once(socket, 'close').then(() => ['closed'])]);
    return String(code);
  } finally {
    await net.close();
  }
}
