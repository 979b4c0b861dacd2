/** Applications inside lanes: their connections, their errors, their end, and that they come again with their lane. */
import { Engine } from '../../host/engine/engine.js';
import { EtherloomError } from '../../host/errors.js';
import type { InLane, InLaneEnd } from '../../host/net/in_lane/in_lane.js';
import { Stack } from '../../host/net/stack.js';
import { modelLink } from '../../host/nic/index.js';
import { closeClean, type TwoStacks } from '../support/both.js';
import { assert, suite } from '../support/suite.js';

const test = suite('in-lane applications');
const MODULE = new URL('app.mjs', import.meta.url);
const HOST = '10.0.0.2';
/** Of tests that wait for engines and lanes to be made, on a machine that has other work. */
const LONG = { timeoutMs: 60_000 };

/** The client's lane is 0, the server's 1 and 2. */
async function build(): Promise<TwoStacks> {
  const { a, b } = modelLink({ name: 'wire', queues: 2, firstLanes: [0, 1] });
  const engine = await Engine.create({
    ...{ nics: [a, b], lanes: 3, warmMs: 0, frames: 8192, hangMs: 1500 },
    streams: { count: 256, bytes: 32 << 20, apps: 32 },
  });
  const client = await Stack.create({ engine, ports: { 'wire.a': { addresses: ['10.0.0.1/24'] } } });
  const server = await Stack.create({ engine, ports: { 'wire.b': { addresses: [`${HOST}/24`] } } });
  await engine.start();
  return { engine, client, server };
}

let world: Promise<TwoStacks> | undefined;
const hosts = (): Promise<TwoStacks> => (world ??= build());

async function until(what: string, holds: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise(next => setTimeout(next, 2));
  }
}

interface Told {
  lane: number;
  what: Record<string, unknown>;
}

function heard(inLane: InLane): Told[] {
  const all: Told[] = [];
  inLane.on('told', (what, lane) => all.push({ lane, what: what as Record<string, unknown> }));
  return all;
}

/** Says something over a connection of its own; what comes back, or why nothing does. */
function say(stack: Stack, port: number, text: string): Promise<string> {
  return new Promise(resolve => {
    const socket = stack.connect({ host: HOST, port });
    socket.on('connect', () => socket.write(text));
    socket.on('data', (d: Buffer) => {
      resolve(d.toString());
      socket.destroy();
    });
    socket.on('error', (e: NodeJS.ErrnoException) => resolve(e.code!));
    socket.on('end', () => resolve('ended'));
  });
}

async function refusal(work: Promise<unknown>): Promise<EtherloomError> {
  const error = await work.then(
    () => undefined,
    e => e,
  );
  if (error instanceof EtherloomError) return error;
  throw new Error(`not refused: ${error}`);
}

test(
  'a listener is the lanes’: each takes the connections that arrive there, and answers them',
  async () => {
    const { client, server } = await hosts();
    const inLane = await server.openInLane({ module: MODULE, lanes: [1, 2], data: { port: 7 } });
    const told = heard(inLane as never);
    const answers = await Promise.all(Array.from({ length: 24 }, (_, i) => say(client, 7, `no. ${i}`)));
    assert.equal(
      answers,
      Array.from({ length: 24 }, (_, i) => `no. ${i}`),
    );
    const lanes = new Set(told.filter(t => 'accepted' in t.what).map(t => t.lane));
    assert.equal([...lanes].sort(), [1, 2], 'both took some');
    await until('ticks', () =>
      [1, 2].every(lane => told.some(t => t.lane === lane && Number(t.what.ticks) > 3)),
    );
    await inLane.close();
    assert.is(told.filter(t => t.what.closing).length, 2);
    assert.is(await say(client, 7, 'x'), 'ECONNREFUSED');
  },
  LONG,
);

test('what arrives at a lane without the application goes to one that has it', async () => {
  const { client, server } = await hosts();
  const inLane = await server.openInLane({ module: MODULE, lanes: [2], data: { port: 8 } });
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => say(client, 8, `${i}`)));
  assert.equal(
    answers,
    Array.from({ length: 12 }, (_, i) => `${i}`),
  );
  await inLane.close();
});

test('it connects, too, from its lane; what the stack refuses it hears', async () => {
  const { client, server } = await hosts();
  const far = await server.openInLane({ module: MODULE, lanes: [1, 2], data: { port: 9 } });
  const near = await client.openInLane({ module: MODULE, lanes: [0], data: { port: 10 } });
  const told = heard(near as never);
  near.tell({ connect: { host: HOST, port: 9, data: 'mine' } }, 0);
  await until('an answer', () => told.some(t => t.what.back === 'hello'));
  assert.ok(told.some(t => t.what.connected === 'mine'));
  near.tell({ connect: { host: '192.0.2.1', port: 9 } });
  await until('a refusal', () => told.some(t => t.what.refused === 'ENETUNREACH'));
  await near.close();
  await far.close();
});

test('what a module throws ends the application in that lane: the lane goes on, and so do the others', async () => {
  const { engine, client, server } = await hosts();
  const inLane = await server.openInLane({ module: MODULE, lanes: [1, 2], data: { port: 11 } });
  const ends: InLaneEnd[] = [];
  inLane.on('ended', end => ends.push(end));
  const crashes = engine.crashes.length;
  assert.is(await say(client, 11, 'throw'), 'ECONNRESET');
  await until('its end', () => ends.length === 1);
  assert.match(ends[0].error!.message, /it was asked to/);
  assert.is(inLane.lanes.length, 1);
  const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => say(client, 11, `${i}`)));
  assert.equal(
    answers,
    Array.from({ length: 8 }, (_, i) => `${i}`),
  );
  assert.is(engine.crashes.length, crashes);
  await inLane.close();
});

test(
  'a lane that dies, or hangs in a handler, is replaced: the application begins anew and listens again',
  async () => {
    const { engine, client, server } = await hosts();
    const inLane = await server.openInLane({ module: MODULE, lanes: [1], data: { port: 12 } });
    let restarts = 0;
    inLane.on('restarted', () => restarts++);
    for (const end of ['kill', 'hang']) {
      const before = restarts;
      const open = say(client, 12, end === 'hang' ? 'hang' : 'still here');
      if (end === 'kill') {
        assert.is(await open, 'still here');
        engine.killLane(1);
      } else assert.is(await open, 'ECONNRESET', 'what it had is aborted');
      await until(`it came again after ${end}`, () => restarts > before);
      assert.is(await say(client, 12, 'again'), 'again');
    }
    assert.ok(engine.crashes.some(c => c.how === 'hung'));
    await inLane.close();
  },
  LONG,
);

/** Stands still with all of this thread. */
const stand = (ms: number): unknown => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

for (const [what, lanes, end] of [
  ['its lane dies', [1], 'kill'],
  ['it ends in that lane', [1, 2], 'fail'],
] as const)
  test(`connections that it was told of and had not taken when ${what} fill the backlog no more`, async () => {
    const { engine, client, server } = await hosts();
    const port = end === 'kill' ? 14 : 16;
    const inLane = await server.openInLane({ module: MODULE, lanes: [...lanes], data: { port } });
    const told = heard(inLane as never);
    assert.is(await say(client, port, 'first'), 'first');
    await until('its slot', () => told.some(t => 'slot' in t.what));
    const slot = Number(told.find(t => 'slot' in t.what)!.what.slot);
    const view = server.transport.transport.view(engine.arena, server.transport.shared);
    await until('that it is taken', () => view.waiting(slot) === 0);
    // Asked to listen once more, it takes nothing before this thread has answered, which stands still.
    inLane.tell({ listen: port + 1 });
    stand(100);
    const connections = Array.from({ length: 12 }, () => client.burst.connect({ host: HOST, port }));
    for (const late = Date.now() + 5000; view.waiting(slot) < 12 && Date.now() < late; stand(5))
      client.burst.flush();
    assert.is(view.waiting(slot), 12);
    let over = 0;
    inLane.on('restarted', () => over++);
    inLane.on('ended', () => over++);
    if (end === 'kill') engine.killLane(1);
    else inLane.tell({ fail: true }, 1);
    await until('it is over there', () => over > 0);
    await until('nobody waits', () => view.waiting(slot) === 0);
    for (const c of connections) c.abort();
    client.burst.flush();
    assert.is(await say(client, port, 'again'), 'again');
    assert.is(view.waiting(slot), 0);
    await inLane.close();
  });

test('a module that is not there, or throws, is named; so is a lane that is not', async () => {
  const { server } = await hosts();
  const open = (options: object) => refusal(server.openInLane(options as never));
  assert.match((await open({ module: new URL('nowhere.mjs', import.meta.url) })).message, /nowhere\.mjs/);
  const thrown = await open({ module: MODULE, lanes: [1], data: { fails: true } });
  assert.equal([thrown.code, /does not want to/.test(thrown.message)], ['ERR_IN_LANE', true]);
  assert.is((await open({ module: MODULE, lanes: [3] })).code, 'ERR_STACK_OPTIONS');
  assert.is((await open({})).code, 'ERR_STACK_OPTIONS');
});

test(
  'one that never begins, or whose end hangs, costs no number of an application',
  async () => {
    const { engine, server } = await hosts();
    const numbers: number[][] = [];
    for (let i = 0; i < 2; i++) {
      const hangs = await server.openInLane({ module: MODULE, lanes: [2], data: { port: 15, hangs: true } });
      numbers.push(hangs.numbers);
      const crashes = engine.crashes.length;
      await hangs.close();
      assert.is(engine.crashes.length, crashes + 1, 'its lane hung, and was replaced');
      await engine.settled();
      // Its seat ends with an order to the lane, which this one waits for, too.
      const next = await server.openInLane({ module: MODULE, lanes: [2], data: { port: 15 } });
      await next.close();
    }
    assert.equal(numbers[1], numbers[0]);
  },
  LONG,
);

test(
  'a stack that closes does not wait for a module that never begins: who opened it is told',
  async () => {
    const { engine, client, server } = await build();
    const begun = refusal(client.openInLane({ module: MODULE, lanes: [0], data: { port: 16, never: true } }));
    await new Promise(next => setTimeout(next, 200));
    await client.close();
    const { code, message } = await begun;
    assert.equal([code, /closed before the module had begun/.test(message)], ['ERR_IN_LANE', true]);
    await server.close();
    await engine.stop();
  },
  LONG,
);

test('afterwards nothing is left: no stream, no number of an application, no frame', async () =>
  closeClean(await hosts()));
