/** What is left when it is over: of a socket that is closed, and of all when their engine is stopped. */
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { StackNet } from '../../host/net/sockets/net.js';
import { twoStacks } from '../support/both.js';
import { assert } from '../support/suite.js';
import { both } from './hosts.js';
import { errorOf, finish, heard, listening, portOf, recorded, until } from './pairs.js';

const { test, engineOnly, end } = both('sockets: afterwards');

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('closed sockets are garbage: nothing on either side keeps them, however many came at a time', async place => {
  const refs: WeakRef<Socket>[] = [];
  const server = await listening(place, {}, far => {
    refs.push(new WeakRef(far));
    far.resume();
  });
  // In a function of its own: no variable here is to keep one.
  const connectAll = async (): Promise<void> => {
    const near = Array.from({ length: 100 }, () => place.client.connect(portOf(server), place.host));
    await Promise.all(near.map(s => once(s, 'connect')));
    const closed = near.map(s => heard(s, 'close'));
    for (const s of near) {
      refs.push(new WeakRef(s));
      s.resume().end();
    }
    await Promise.all(closed);
  };
  await connectAll();
  await until('all are collected, but for what the engine of JavaScript has at hand', () => {
    collect();
    return refs.length === 200 && refs.filter(ref => ref.deref()).length <= 4;
  });
  await finish(server);
});

engineOnly(
  'after the engine’s stop sockets and servers close, here and in other threads, and write fails',
  async () => {
    const { engine, client, server } = await twoStacks();
    const other = StackNet.attach(client.openApp());
    const web = server.createServer(far => void far.on('error', () => {}).resume()).listen(80);
    await once(web, 'listening');
    const near = client.connect(80, '10.0.0.2');
    const far = heard(web, 'connection');
    const threads = other.connect(80, '10.0.0.2');
    await Promise.all([once(near, 'connect'), once(threads, 'connect'), far]);
    const told = [near, threads, web].map(s => recorded(s, ['error', 'end', 'close']));
    await engine.stop();
    await until('all are closed', () => told.every(names => names.length > 0));
    assert.equal(told, [['close false'], ['close false'], ['close undefined']]);
    assert.equal([near.destroyed, web.listening], [true, false]);
    const failed = new Promise<Error | null | undefined>(done => near.write('x', done));
    assert.is(((await failed) as NodeJS.ErrnoException).code, 'ERR_STREAM_DESTROYED');
    assert.is((await errorOf(client.connect(80, '10.0.0.2') as unknown as Socket)).code, 'ERR_STACK_CLOSED');
    await other.close();
    for (const stack of [client, server]) await stack.close();
  },
);

end();
