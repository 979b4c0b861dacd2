/**
 * A process of its own that asks of one thing after the other whether it keeps the process alive: `beforeExit` comes when
 * nothing does. In the end it has a server that is unref'd, and ends by itself. argv: `node`, `inline` for an inline engine,
 * `lanes` for one whose lanes are threads.
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
    ...{
      nics: [a, b],
      inline: which === 'inline',
      lanes: which === 'inline' ? 1 : 2,
      clock: 'real',
      frames: 1024,
    },
    streams: { count: 16, bytes: 8 << 20, apps: 8 },
  });
  const near = await Stack.create({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24'] } } });
  const far = await Stack.create({ engine, ports: { 'wire.b': { addresses: ['10.0.0.2/24'] } } });
  await engine.start();
  return { near, far, host: '10.0.0.2', engine };
}

const { near, far, host, engine } = await places(process.argv[2]);

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

/** What is on a stack, or under it, that Node has none of. */
const ofEngine = (change, after) => async () => {
  const it = await change();
  const result = await ends();
  await after(it);
  return result;
};
const module = new URL('alive_in_lane.mjs', import.meta.url);
const onlyLanes = {
  'an engine with a stack': ofEngine(nothing, nothing),
  'an engine with a stack, ref': ofEngine(
    () => void engine.ref(),
    () => void engine.unref(),
  ),
  'a burst application that waits': ofEngine(
    () => ({ waiting: near.burst.wait(1500) }),
    ({ waiting }) => {
      near.burst.rouse();
      return waiting;
    },
  ),
  'a burst application that does not wait': ofEngine(
    () => near.burst.listen({ port: 99 }),
    l => l.close(),
  ),
  'an in-lane application': ofEngine(
    () => near.openInLane({ module }),
    a => a.close(),
  ),
  'an in-lane application, unref': ofEngine(
    async () => (await near.openInLane({ module })).unref(),
    a => a.close(),
  ),
  'a lane that is being replaced': ofEngine(async () => {
    const replaced = once(engine, 'crash');
    engine.killLane(0);
    await replaced;
    await engine.settled();
  }, nothing),
};
if (process.argv[2] === 'lanes') Object.assign(cases, onlyLanes);

const told = {};
for (const [name, work] of Object.entries(cases)) told[name] = await work();
process.stdout.write(JSON.stringify(told));
far.net.createServer().listen(0, host).unref();
near.dgram.createSocket('udp4').bind(0).unref();
