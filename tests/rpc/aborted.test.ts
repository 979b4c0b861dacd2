/** Calls that are given up at bad moments: none but the one that was meant ends, and its source does. */
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { streamed } from '../../host/rpc/body.js';
import { Calls } from '../../host/rpc/calls.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { CLIENT, codeOf, SERVER, type World, world } from './rig.js';

const to = { address: SERVER, port: 700 };
const never = (): Promise<never> => new Promise(() => {});

suite('rpc: numbers of calls')('the number of a call is not that of the next one of its place', () => {
  const calls = new Calls();
  for (let i = 0; i < 3000; i++) {
    const call = calls.take()!;
    const number = Calls.number(call);
    assert.ok(number > 0 && number < 2 ** 31);
    assert.is(calls.numbered(number), call);
    calls.give(call);
    assert.is(calls.numbered(number), undefined);
    const next = calls.take()!;
    assert.is(next, call);
    assert.is(calls.numbered(number), undefined);
    calls.give(next);
  }
  assert.is(calls.numbered(0), undefined);
});

for (const { name: carrier, options } of CARRIERS) {
  const test = suite(`rpc: calls given up over ${carrier}`);
  const hosts = (work: (w: World) => Promise<void>): Promise<void> => world({ carrier, ...options }, work);

  test('a call that is given up when its answer is there ends no other that has its place', () =>
    hosts(async ({ caller, callee }) => {
      const back = { address: CLIENT, port: 800 };
      let armed = false;
      let control = new AbortController();
      let b: Promise<string> = Promise.resolve('');
      // The answer to A and the request C come together; the handler of C calls B, and gives A up.
      await callee.serve({ port: 700 }, request => {
        if (armed && String(request) === 'A') void callee.call(back, 'C').catch(() => {});
        return request;
      });
      await caller.serve({ port: 800 }, () => {
        if (armed) {
          b = codeOf(caller.call(to, 'B', { deadline: 3000 }));
          control.abort();
        }
        return 'ok';
      });
      await callee.call(back, 'warm');
      await caller.call(to, 'warm');
      for (let i = 0; i < 10; i++) {
        armed = true;
        control = new AbortController();
        await codeOf(caller.call(to, 'A', { signal: control.signal }));
        await sleep(5);
        armed = false;
        const ends = await Promise.race([b, sleep(20_000, 'never', { ref: false })]);
        assert.ok(ends === 'none' || ends === '', `B: ${ends}`);
      }
    }));

  test('a streamed call whose signal was aborted before touches no other, and its source is ended', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, r => (String(r) === 'never' ? never() : r));
      const signal = AbortSignal.abort();
      const source = new Readable({ read() {} });
      const early = (): Promise<string> =>
        codeOf(caller.call(to, streamed(source, { length: 20 }), { signal }));
      // Alone, and beside another.
      assert.is(await early(), 'ABORT_ERR');
      const other = codeOf(caller.call(to, 'never', { deadline: 300 }));
      const short = streamed([Buffer.alloc(10)], { length: 20 });
      assert.is(await codeOf(caller.call(to, short, { signal })), 'ABORT_ERR');
      assert.is(await other, 'ETIMEDOUT');
      assert.ok(source.destroyed);
    }));

  test('a source that says nothing more ends with its call', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, never);
      const control = new AbortController();
      const { signal } = control;
      const sources = [new Readable({ read() {} }), new Readable({ read() {} })];
      for (const source of sources) source.push(Buffer.alloc(10));
      const calls = [streamed(sources[0], { length: 1000 }), sources[1]].map(body =>
        codeOf(caller.call(to, body, { signal })),
      );
      for (let i = 0; i < 10; i++) await new Promise(next => setImmediate(next));
      control.abort();
      assert.equal(await Promise.all(calls), ['ABORT_ERR', 'ABORT_ERR']);
      assert.ok(sources.every(({ destroyed }) => destroyed));
    }));

  test('the source of a streamed call ends with the call, also of one that has not begun', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, never);
      const control = new AbortController();
      const { signal } = control;
      const body = Buffer.alloc(1_000_000);
      const before = Array.from({ length: 8 }, () => codeOf(caller.call(to, body, { signal })));
      let ended = 0;
      async function* source(): AsyncGenerator<Uint8Array> {
        try {
          for (let i = 0; i < 10; i++) yield Buffer.alloc(100_000);
        } finally {
          ended++;
        }
      }
      const one = new AbortController();
      const call = codeOf(caller.call(to, streamed(source(), { length: 1_000_000 }), { signal: one.signal }));
      const late = codeOf(caller.call(to, streamed(source(), { length: 1_000_000 }), { deadline: 1 }));
      await new Promise(next => setImmediate(next));
      one.abort();
      assert.equal([await call, await late], ['ABORT_ERR', 'ETIMEDOUT']);
      control.abort();
      await Promise.all(before);
      for (let i = 0; i < 1000 && ended < 2; i++) await sleep(5);
      assert.is(ended, 2);
    }));
}
