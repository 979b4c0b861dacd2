/**
 * A process of its own that asks of one thing after the other whether it keeps the process alive: `beforeExit` comes when
 * nothing does. In the end it has a server that is unref'd, and ends by itself. argv: `node`, or `engine` for an inline one.
 */
import dgram from 'node:dgram';
import { once } from 'node:events';
import net from 'node:net';

/** How long something that keeps the process alive is watched, ms. */
const WATCH_MS = 300;

async function places(which) {
  if (which === 'node') return { near: { net, dgram }, far: { net, dgram }, host: '127.0.0.1' };
  const { Engine, modelLink, Stack } = await import('../../dist/index.js');
  const { a, b } = modelLink({ name: 'wire', packets: 256 });
  const engine = await Engine.create({
    ...{ nics: [a, b], inline: true, clock: 'real', frames: 512 },
    streams: { count: 16, bytes: 8 << 20, apps: 4 },
  });
  const near = await Stack.create({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24'] } } });
  const far = await Stack.create({ engine, ports: { 'wire.b': { addresses: ['10.0.0.2/24'] } } });
  await engine.start();
  return { near, far, host: '10.0.0.2' };
}

const { near, far, host } = await places(process.argv[2]);

/** Whether the process would end by now. */
async function ends() {
  // `beforeExit` comes once for each time that the event loop ran dry: from within the last one it would not come.
  await new Promise(next => setImmediate(next));
  return new Promise(done => {
    const over = result => {
      process.off('beforeExit', onExit);
      clearTimeout(timer);
      done(result);
    };
    const onExit = () => over('ends');
    const timer = setTimeout(() => over('goes on'), WATCH_MS).unref();
    process.once('beforeExit', onExit);
  });
}

async function shut(thing) {
  thing.ref();
  const closed = once(thing, 'close');
  if (thing instanceof net.Socket || 'destroy' in thing) thing.destroy();
  else thing.close();
  await closed;
}

async function listening(onConnection = () => {}) {
  const server = far.net.createServer(onConnection).listen(0, host);
  await once(server, 'listening');
  return server;
}

/** A server with something done to it. */
const ofServer = change => async () => {
  const server = await listening();
  change(server);
  const result = await ends();
  if (server.listening) await shut(server);
  return result;
};

/** A connection, of which but the end that connected keeps anything alive; `early` is done before it is connected. */
const ofSocket =
  (change, early = () => {}) =>
  async () => {
    const accepted = [];
    const server = await listening(s => void accepted.push(s.unref()));
    const socket = near.net.connect(server.address().port, host);
    // Until the connection is there the server keeps the process alive.
    early(socket);
    await Promise.all([once(socket, 'connect'), once(server, 'connection')]);
    server.unref();
    change(socket, accepted[0]);
    const result = await ends();
    for (const s of [socket, ...accepted]) if (!s.destroyed) await shut(s);
    await shut(server);
    return result;
  };

const ofDatagrams =
  (change, early = () => {}) =>
  async () => {
    const socket = far.dgram.createSocket('udp4');
    early(socket);
    socket.bind(0, host);
    await once(socket, 'listening');
    let open = true;
    socket.once('close', () => (open = false));
    change(socket);
    const result = await ends();
    if (open) await shut(socket);
    return result;
  };

const nothing = () => {};
const cases = {
  'a server that listens': ofServer(nothing),
  'a server, unref': ofServer(s => s.unref()),
  'a server, unref and ref': ofServer(s => s.unref().ref()),
  'a server that was closed': ofServer(s => s.close()),
  'a connected socket': ofSocket(nothing),
  'a connected socket, unref': ofSocket(s => s.unref()),
  'a connected socket, unref and ref': ofSocket(s => s.unref().ref()),
  'a socket, unref while it connects': ofSocket(nothing, s => s.unref()),
  'a socket with a timeout, unref': ofSocket(s => s.unref().setTimeout(60_000)),
  'a socket that is read, unref': ofSocket(s => s.unref().resume()),
  'a socket that was destroyed': ofSocket(s => s.destroy()),
  'a socket whose peer ended': ofSocket((s, peer) => {
    s.resume();
    peer.end();
  }),
  'a bound dgram': ofDatagrams(nothing),
  'a bound dgram, unref': ofDatagrams(s => s.unref()),
  'a bound dgram, unref and ref': ofDatagrams(s => s.unref().ref()),
  'a dgram, unref before it is bound': ofDatagrams(nothing, s => s.unref()),
  'a dgram that was closed': ofDatagrams(s => s.close()),
};

const told = {};
for (const [name, work] of Object.entries(cases)) told[name] = await work();
process.stdout.write(JSON.stringify(told));
far.net.createServer().listen(0, host).unref();
near.dgram.createSocket('udp4').bind(0).unref();
