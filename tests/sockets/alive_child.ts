/** A process of its own that has a server, or a socket, and may end when nothing keeps it alive: what argv says. */
import { once } from 'node:events';
import { Engine } from '../../host/engine/engine.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';

const [, , what] = process.argv;
const { a, b } = modelLink({ name: 'wire', packets: 256 });
const engine = await Engine.create({
  ...{ nics: [a, b], inline: true, clock: 'real', frames: 512 },
  streams: { count: 8, bytes: 4 << 20, apps: 4 },
});
const one = await Stack.create({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24'] } } });
const two = await Stack.create({ engine, ports: { 'wire.b': { addresses: ['10.0.0.2/24'] } } });
await engine.start();
const server = two.createServer(s => void s.unref()).listen(80);
await once(server, 'listening');
if (what === 'server unref') server.unref();
if (what === 'server closed') server.close();
if (what.startsWith('socket')) {
  const s = one.connect(80, '10.0.0.2');
  await once(s, 'connect');
  server.unref();
  if (what === 'socket unref') s.unref();
  if (what === 'socket timeout') {
    s.unref();
    s.setTimeout(60_000);
  }
  if (what === 'socket ref') s.unref().ref();
}
process.send!('ready');
process.disconnect();
