/** Sockets of datagrams in threads that are not the stack's: StackNet.attach and StackApp.attach in workers of piscina. */
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { Piscina } from 'piscina';
import { assert } from '../support/suite.js';
import { both, message, type Place, shut, stacks } from './hosts.js';
import type { ThreadTask } from './thread_worker.js';

const { engineOnly, end } = both('datagrams: threads');

/** Workers that read TypeScript. */
const pool = (): Piscina =>
  new Piscina({
    filename: new URL('thread_worker.ts', import.meta.url).href,
    ...{ minThreads: 2, maxThreads: 2, execArgv: ['--import', 'tsx'] },
  });

const start = (threads: Piscina, task: ThreadTask): Promise<string> =>
  threads.run(task, { transferList: [task.ticket.port] as never });

/** Says it until it is answered: nobody says when the thread is bound. */
async function say(place: Place, port: number, words: string): Promise<string> {
  const socket = place.client.createSocket('udp4');
  const answer = message(socket);
  const again = setInterval(() => socket.send(words, port, place.host.udp4), 100);
  socket.send(words, port, place.host.udp4);
  const [text] = await answer;
  clearInterval(again);
  await shut(socket);
  return text;
}

/** Whether it could be bound. */
const listens = (socket: Socket): Promise<boolean> =>
  once(socket, 'listening').then(
    () => true,
    () => false,
  );

engineOnly(
  'a worker answers and another asks, each with createSocket of its own; errors are dgram’s there, too',
  async place => {
    const { client, server } = await stacks();
    const threads = pool();
    const host = place.host.udp4;
    const served = start(threads, { ticket: server.openApp(), what: 'echo', host, port: 4100 });
    assert.is(await say(place, 4100, 'main'), 'MAIN');
    const asked = await start(threads, { ticket: client.openApp(), what: 'ask', host, port: 4100 });
    assert.is(asked, '50 true ENETUNREACH EMSGSIZE LAST ECONNREFUSED ENETUNREACH');
    assert.is(await say(place, 4100, 'enough'), 'ENOUGH');
    const [n, ...errors] = (await served).split(' ');
    assert.ok(Number(n) >= 53, n);
    assert.equal(errors, ['EADDRINUSE', 'bind', 'EADDRNOTAVAIL']);
    // Its port is free again.
    const next = place.server.createSocket('udp4').bind(4100, host);
    await once(next, 'listening');
    await shut(next);
    await threads.destroy();
  },
  { timeoutMs: 60_000 },
);

engineOnly(
  'the burst API of a worker has sockets, too',
  async place => {
    const { server } = await stacks();
    const threads = pool();
    const host = place.host.udp4;
    const served = start(threads, { ticket: server.openApp(), what: 'burst', host, port: 4101 });
    assert.is(await say(place, 4101, 'words'), 'words');
    assert.is(await say(place, 4101, 'enough'), 'enough');
    assert.ok(Number(await served) >= 2);
    await threads.destroy();
  },
  { timeoutMs: 60_000 },
);

engineOnly(
  'an application that the stack ends: its sockets close, and their ports are free',
  async place => {
    const { server } = await stacks();
    const threads = pool();
    const ticket = server.openApp();
    const host = place.host.udp4;
    const held = start(threads, { ticket, what: 'hold', host, port: 4102 });
    // It is bound when nobody else can be.
    for (;;) {
      const probe = place.server.createSocket('udp4').bind(4102, host);
      const free = await listens(probe);
      await shut(probe);
      if (!free) break;
      await new Promise(next => setTimeout(next, 20));
    }
    assert.is(server.closeApp(ticket.number), true);
    assert.is(await held, 'closed');
    const next = place.server.createSocket('udp4').bind(4102, host);
    await once(next, 'listening');
    await shut(next);
    await threads.destroy();
  },
  { timeoutMs: 60_000 },
);

engineOnly(
  'a thread that ends with sockets open leaves nothing',
  async place => {
    const { server } = await stacks();
    const threads = pool();
    const ticket = server.openApp();
    const host = place.host.udp4;
    const held = start(threads, { ticket, what: 'hold', host, port: 4103 }).catch(() => 'gone');
    const client = place.client.createSocket('udp4');
    client.send('to nobody yet', 4103, host);
    await new Promise(next => setTimeout(next, 1000));
    await threads.destroy();
    assert.is(await held, 'gone');
    for (;;) {
      const next = place.server.createSocket('udp4').bind(4103, host);
      const free = await listens(next);
      await shut(next);
      if (free) break;
      await new Promise(again => setTimeout(again, 20));
    }
    await shut(client);
  },
  { timeoutMs: 60_000 },
);

end();
