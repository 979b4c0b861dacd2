/** Calls over Homa to peers that do not answer leave room for calls to others. */
import { setImmediate as turn } from 'node:timers/promises';
import type { RpcEvent } from '../../host/rpc/event.js';
import { homa } from '../../host/transports/homa/index.js';
import { assert, suite } from '../support/suite.js';
import { codeOf, SERVER, type World, world } from './rig.js';

const test = suite('rpc: shares of slots');
const over = (work: (w: World) => Promise<void>): Promise<void> =>
  world({ carrier: 'homa', stack: () => ({ messages: homa() }) }, work);
/** A call to a silent peer takes ten times as long, at least. */
const NOW_NS = 100_000_000n;

test('calls to peers that do not answer: those to another are answered at once', () =>
  over(async ({ engine, caller, callee }) => {
    const silent = [666, 667, 668, 669];
    for (const port of silent) await callee.serve({ port }, () => new Promise(() => {}));
    await callee.serve({ port: 700 }, request => request);
    const stuck = silent.flatMap(port =>
      Array.from({ length: 400 }, () => codeOf(caller.call({ address: SERVER, port }, 'x'))),
    );
    for (let i = 0; i < 200; i++) await turn();
    const began = engine.now();
    const to = { address: SERVER, port: 700 };
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, i) => caller.call(to, `no. ${i}`, { deadline: 1000 })),
    );
    assert.equal(
      answers.map(String),
      Array.from({ length: 100 }, (_, i) => `no. ${i}`),
    );
    assert.ok(engine.now() - began < NOW_NS, `${engine.now() - began} ns`);
    await caller.close();
    for (const code of await Promise.all(stuck)) assert.is(code, 'ERR_RPC_CLOSED');
  }));

test('in batches: a host that is no more, and one that is', () =>
  over(async ({ engine, caller, callee }) => {
    await callee.serve({ port: 700 }, request => request);
    const { burst } = caller;
    const dead = burst.peer('10.0.0.77', 700);
    const peer = burst.peer(SERVER, 700);
    const events: RpcEvent[] = [];
    const codes = new Map<string, number>();
    const count = (n: number): void => {
      for (const { kind, code, tag } of events.slice(0, n)) {
        const key = `${tag} ${kind === 'response' ? 'answered' : code}`;
        codes.set(key, (codes.get(key) ?? 0) + 1);
      }
    };
    const began = 300;
    for (let i = 0; i < began; i++) assert.ok(burst.begin(dead, Buffer.alloc(8), 'dead') > 0);
    for (let i = 0; i < 20; i++) assert.ok(burst.begin(peer, Buffer.alloc(8), 'peer') > 0);
    const end = engine.now() + NOW_NS;
    while (engine.now() < end && codes.get('peer answered') !== 20) {
      count(burst.poll(events));
      burst.flush();
      engine.advance(50_000n);
      await turn();
    }
    assert.is(codes.get('peer answered'), 20, JSON.stringify([...codes]));
    for (let i = 0; i < 600 && burst.inFlight > 0; i++) {
      burst.flush();
      engine.advance(100_000_000n);
      count(burst.poll(events));
    }
    assert.is(burst.inFlight, 0);
    const failed = [...codes].filter(([key]) => key.startsWith('dead'));
    assert.is(
      failed.reduce((all, [, n]) => all + n, 0),
      began,
      JSON.stringify(failed),
    );
  }));

test('one peer alone is served to the last call, in the order of its calls', () =>
  over(async ({ caller, callee }) => {
    const came: number[] = [];
    await callee.serve({ port: 700 }, request => {
      came.push(Number(request));
      return request;
    });
    const to = { address: SERVER, port: 700 };
    await Promise.all(Array.from({ length: 2000 }, (_, i) => caller.call(to, String(i))));
    assert.equal(
      [...came].sort((a, b) => a - b),
      Array.from({ length: 2000 }, (_, i) => i),
    );
  }));
