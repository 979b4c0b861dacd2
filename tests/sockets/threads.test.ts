/** Sockets in threads that are not the stack's: StackNet.attach in workers of piscina. */
import { once } from 'node:events';
import type { Server } from 'node:net';
import { Piscina } from 'piscina';
import { assert } from '../support/suite.js';
import { both, stacks } from './hosts.js';
import { errorOf, gather, heard } from './pairs.js';
import type { ThreadTask } from './thread_worker.js';

const { engineOnly, end, last } = both('sockets: threads');

/** Workers that read TypeScript. */
const pool = (): Piscina =>
  new Piscina({
    filename: new URL('thread_worker.ts', import.meta.url).href,
    ...{ minThreads: 2, maxThreads: 2, execArgv: ['--import', 'tsx'] },
  });

engineOnly(
  'a worker serves and another asks, each with createServer and connect of its own; errors are net’s there, too',
  async place => {
    const { client, server } = await stacks();
    const threads = pool();
    const run = (task: ThreadTask): Promise<string> =>
      threads.run(task, { transferList: [task.ticket.port] as never });
    const served = run({ ticket: server.openApp(), serve: { port: 4000, address: place.host } });
    // It says nothing when it listens.
    const ask = async (words: string): Promise<string> => {
      for (;;) {
        const s = place.client.connect(4000, place.host);
        const outcome = await Promise.race([heard(s, 'connect'), errorOf(s).catch(e => e)]);
        if (outcome instanceof Error) {
          await new Promise(next => setTimeout(next, 20));
          continue;
        }
        s.end(words);
        return String(await gather(s));
      }
    };
    assert.is(await ask('main'), 'MAIN');
    const answers = await Promise.all(
      ['one', 'two', 'three'].map(words =>
        run({ ticket: client.openApp(), ask: { host: place.host, port: 4000, words } }),
      ),
    );
    assert.equal(answers, ['ONE', 'TWO', 'THREE']);
    const refused = await run({
      ticket: client.openApp(),
      ask: { host: place.host, port: 4001, words: 'x' },
    });
    assert.is(refused, 'ECONNREFUSED');
    assert.is(await ask('enough'), 'ENOUGH');
    assert.is(await served, '5 EADDRINUSE listen');
    await threads.destroy();
  },
  { timeoutMs: 60_000 },
);

engineOnly(
  'an application that the stack ends: sockets of its thread close, those of the other end are reset',
  async place => {
    const { server } = await stacks();
    const threads = pool();
    const ticket = server.openApp();
    const served = threads.run({ ticket, serve: { port: 4002, address: place.host } } satisfies ThreadTask, {
      transferList: [ticket.port] as never,
    }) as Promise<string>;
    for (;;) {
      const s = place.client.connect(4002, place.host);
      const connected = await Promise.race([
        heard(s, 'connect').then(() => true),
        errorOf(s).then(() => false),
      ]);
      if (!connected) continue;
      s.write('here');
      assert.is(String((await once(s, 'data'))[0]), 'HERE');
      const e = errorOf(s);
      assert.is(server.closeApp(ticket.number), true);
      assert.is((await e).code, 'ECONNRESET');
      break;
    }
    assert.is(await served, '1 EADDRINUSE listen');
    // Somebody else may listen there now.
    const next = place.server.createServer().listen(4002, place.host) as Server;
    await once(next, 'listening');
    next.close();
    await threads.destroy();
  },
  { timeoutMs: 60_000 },
);

end();
last();
