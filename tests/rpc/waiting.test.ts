/** Calls that have not begun: their bodies are made, or there is no room. Deadlines, signals and `close` end them all the same. */
import { setImmediate as turn } from 'node:timers/promises';
import { streamed } from '../../host/rpc/body.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, SERVER, type World, world } from './rig.js';

const test = suite('rpc: calls that have not begun');
const to = { address: SERVER, port: 700 };
const over = (carrier: string, work: (w: World) => Promise<void>): Promise<void> =>
  world({ carrier, ...CARRIERS.find(c => c.name === carrier)!.options }, work);

/** What a promise came to, or that nothing did in many turns of the event loop. */
async function soon(work: Promise<unknown>): Promise<string> {
  let code = 'nothing';
  void codeOf(work).then(c => {
    code = c;
  });
  for (let i = 0; i < 5000 && code === 'nothing'; i++) await turn();
  return code;
}

test('a body that is never whole: deadline, signal and close end its call', () =>
  over('tcp', async ({ engine, caller, callee }) => {
    await callee.serve({ port: 700 }, request => request);
    const never = async function* () {
      yield Buffer.alloc(1);
      await new Promise(() => {});
    };
    const began = engine.now();
    assert.is(await soon(caller.call(to, never(), { deadline: 50 })), 'ETIMEDOUT');
    assert.ok(engine.now() - began >= 50_000_000n);
    const control = new AbortController();
    const aborted = soon(caller.call(to, never(), { signal: control.signal }));
    control.abort();
    assert.is(await aborted, 'ABORT_ERR');
    assert.is(await soon(caller.call(to, never(), { signal: control.signal })), 'ABORT_ERR');
    const closed = soon(caller.call(to, never()));
    await caller.close();
    assert.is(await closed, 'ERR_RPC_CLOSED');
  }));

test('tcp: a peer that takes nothing holds up nobody else’s calls, and deadlines of those that wait hold', () =>
  over('tcp', async ({ engine, caller, callee }) => {
    // Nobody polls there: its window is full after the first of them.
    await callee.burst.listen({ port: 666 });
    await callee.serve({ port: 700 }, request => request);
    const stuck = { address: SERVER, port: 666 };
    const calls = Array.from({ length: 12 }, () => codeOf(caller.call(stuck, Buffer.alloc(1_000_000))));
    const began = engine.now();
    assert.is(await soon(caller.call(to, 'x')), 'none');
    let ended = false;
    const source = async function* () {
      try {
        for (let i = 0; i < 10; i++) yield Buffer.alloc(100_000);
      } finally {
        ended = true;
      }
    };
    const body = streamed(source(), { length: 1_000_000 });
    assert.is(await soon(caller.call(stuck, body, { deadline: 50 })), 'ETIMEDOUT');
    await turn();
    assert.ok(ended, 'its source is ended');
    // The carrier itself is done with such a peer after a minute.
    assert.ok(engine.now() - began < 5_000_000_000n, `${engine.now() - began} ns`);
    await caller.close();
    await Promise.all(calls);
  }));

test('homa: a streamed call that is given up while it waits for a slot ends its source', () =>
  over('homa', async ({ caller, callee }) => {
    await callee.serve({ port: 700 }, () => new Promise(() => {}));
    const control = new AbortController();
    // All slots of the pool.
    const calls = Array.from({ length: 256 }, () => codeOf(caller.call(to, 'x')));
    for (let i = 0; i < 50; i++) await turn();
    let ended = false;
    const source = async function* () {
      try {
        for (let i = 0; i < 10; i++) yield Buffer.alloc(100_000);
      } finally {
        ended = true;
      }
    };
    const body = streamed(source(), { length: 1_000_000 });
    const call = soon(caller.call(to, body, { signal: control.signal }));
    for (let i = 0; i < 20; i++) await turn();
    assert.not.ok(ended);
    control.abort();
    assert.is(await call, 'ABORT_ERR');
    for (let i = 0; i < 20; i++) await turn();
    assert.ok(ended, 'its source is ended');
    await caller.close();
    await Promise.all(calls);
  }));

test('a deadline that is no number: ERR_RPC_OPTIONS', () =>
  over('tcp', async ({ client, caller, callee }) => {
    await callee.serve({ port: 700 }, request => request);
    for (const deadline of [Number.NaN, {}, null, '30'] as never[]) {
      assert.is(await codeOf(caller.call(to, 'x', { deadline })), 'ERR_RPC_OPTIONS', String(deadline));
      assert.is(await codeOf(client.rpc({ deadline })), 'ERR_RPC_OPTIONS', String(deadline));
      const { burst } = caller;
      assert.throws(() => burst.begin(burst.peer(SERVER, 700), Buffer.alloc(1), 0, deadline), /deadline/);
    }
    assert.is(await codeOf(caller.call(to, 'x', { deadline: Number.POSITIVE_INFINITY })), 'none');
  }));

test('a body is read once: whoever reads it again is told', () =>
  over('tcp', async ({ caller, callee }) => {
    await callee.serve({ port: 700, stream: true }, async request => {
      const { length } = await request.bytes();
      return `${length} ${await codeOf(request.bytes())}`;
    });
    assert.is(String(await caller.call(to, Buffer.alloc(300_000))), '300000 ERR_RPC_BODY');
  }));
