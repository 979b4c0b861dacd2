/** Calls, whoever carries them: what is answered, what fails and how, and that each ends once. */
import { setTimeout as sleep } from 'node:timers/promises';
import { streamed } from '../../host/rpc/body.js';
import { RpcError } from '../../host/rpc/errors.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { CLIENT, codeOf, pattern, SERVER, type World, type WorldOptions, world } from './rig.js';

const to = (port: number) => ({ address: SERVER, port });
const LENGTHS = [0, 1, 31, 32, 33, 1000, 1024, 1400, 1500, 2048, 4096, 32_768, 65_536, 100_001, 1_000_000];

for (const { name: carrier, options, tellsCancel, brokenOff, refused, closed } of CARRIERS) {
  const test = suite(`rpc: calls over ${carrier}`);
  const hosts = (work: (w: World) => Promise<void>, more: Partial<WorldOptions> = {}): Promise<void> =>
    world({ carrier, ...options, ...more }, work);

  test('a call is answered by the handler, who knows the caller', () =>
    hosts(async ({ caller, callee }) => {
      let from = '';
      const server = await callee.serve({ port: 700 }, (request, context) => {
        from = context.from.address;
        return `hello ${request}`;
      });
      assert.is(server.port, 700);
      assert.is((await caller.call(to(700), 'world')).toString(), 'hello world');
      assert.is((await caller.call(to(700), Buffer.alloc(0))).toString(), 'hello ');
      assert.is(from, CLIENT);
      server.close();
      assert.is(server.port, 0);
    }));

  test('bodies of every length come back as they were, up to the longest', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, request => request);
      for (const n of LENGTHS) {
        const sent = pattern(n, n);
        assert.ok((await caller.call(to(700), sent)).equals(sent), `${n} bytes`);
      }
      assert.is(await codeOf(caller.call(to(700), Buffer.alloc(1_000_001))), 'EMSGSIZE');
    }));

  test('many calls are in flight, and each gets its own answer whatever the order', () =>
    hosts(async ({ caller, callee }) => {
      let most = 0;
      let now = 0;
      await callee.serve({ port: 700 }, async request => {
        most = Math.max(most, ++now);
        for (let i = request[0] % 7; i > 0; i--) await new Promise(next => setImmediate(next));
        now--;
        return request;
      });
      const calls = Array.from({ length: 300 }, async (_, i) => {
        const body = pattern(i % 50 === 0 ? 200_000 : 1 + ((i * 37) % 3000), i);
        assert.ok((await caller.call(to(700), body)).equals(body), `call ${i}`);
      });
      await Promise.all(calls);
      assert.ok(most > 10, `${most} at a time`);
    }));

  test('what a handler throws is the caller’s error, with its message and code', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, request => {
        if (request.toString() === 'sync') throw new RangeError('out of it');
        return Promise.reject(Object.assign(new Error('no such thing'), { code: 'ENOENT' }));
      });
      for (const [body, message, remote] of [
        ['sync', 'out of it', undefined],
        ['async', 'no such thing', 'ENOENT'],
      ] as const) {
        const error = (await caller.call(to(700), body).catch(e => e)) as RpcError;
        assert.instance(error, RpcError);
        assert.equal([error.code, error.message, error.remoteCode], ['ERR_RPC_REMOTE', message, remote]);
      }
      assert.is(await codeOf(callee.serve({ port: 701 }, undefined as never)), 'ERR_RPC_OPTIONS');
      await callee.serve({ port: 702 }, () => ({ a: 1 }) as never);
      assert.is(await codeOf(caller.call(to(702), 'x')), 'ERR_RPC_REMOTE');
    }));

  test(`nobody there: ${refused}`, () =>
    hosts(async ({ caller, callee }) => {
      assert.is(await codeOf(caller.call(to(709), 'x')), refused);
      // Who is there later is found.
      await callee.serve({ port: 709 }, () => 'here');
      assert.is((await caller.call(to(709), 'x')).toString(), 'here');
    }));

  test('a deadline ends a call with ETIMEDOUT, a signal with AbortError, and the handler hears of both', () =>
    hosts(async ({ engine, caller, callee }) => {
      let aborted = 0;
      await callee.serve({ port: 700 }, (_, { signal }) => {
        signal.addEventListener('abort', () => aborted++);
        return new Promise(() => {});
      });
      const began = engine.now();
      assert.is(await codeOf(caller.call(to(700), 'x', { deadline: 30 })), 'ETIMEDOUT');
      const ms = Number(engine.now() - began) / 1e6;
      assert.ok(ms >= 30 && ms < 60, `${ms} ms`);
      const control = new AbortController();
      const call = caller.call(to(700), 'y', { signal: control.signal });
      const other = codeOf(caller.call(to(700), 'z', { deadline: 200 }));
      await new Promise(next => setImmediate(next));
      control.abort(new Error('enough'));
      const error = (await call.catch(e => e)) as Error & { code: string };
      assert.equal(
        [error.name, error.code, (error.cause as Error).message],
        ['AbortError', 'ABORT_ERR', 'enough'],
      );
      assert.is(await codeOf(caller.call(to(700), 'y', { signal: control.signal })), 'ABORT_ERR');
      assert.is(await other, 'ETIMEDOUT');
      // The last cancellation is on its way still.
      assert.is(await codeOf(caller.call(to(700), 'x', { deadline: 20 })), 'ETIMEDOUT');
      if (tellsCancel) assert.ok(aborted >= 1, `${aborted} heard`);
    }));

  test('a streamed body arrives while it is made, and one that is not as long as was said ends the call', () =>
    hosts(async ({ caller, callee }) => {
      const arrived: number[] = [];
      await callee.serve({ port: 700, stream: true }, async request => {
        const pieces: Uint8Array[] = [];
        for await (const piece of request) {
          arrived.push(piece.length);
          pieces.push(piece);
        }
        const all = Buffer.concat(pieces);
        return streamed([all.subarray(0, 7), all.subarray(7)], { length: all.length });
      });
      const body = pattern(300_000, 5);
      async function* pieces(from: Buffer): AsyncGenerator<Uint8Array> {
        for (let i = 0; i < from.length; i += 50_000) {
          await new Promise(next => setImmediate(next));
          yield from.subarray(i, i + 50_000);
        }
      }
      const whole = streamed(pieces(body), { length: body.length });
      const response = await caller.call(to(700), whole, { stream: true });
      assert.is(response.length, body.length);
      assert.ok((await response.bytes()).equals(body));
      assert.ok(arrived.length > 2, `in ${arrived.length} pieces`);
      // Without a length it is gathered first.
      assert.ok((await caller.call(to(700), pieces(body))).equals(body));
      for (const length of [body.length - 1, body.length + 1])
        assert.is(await codeOf(caller.call(to(700), streamed(pieces(body), { length }))), 'ERR_RPC_BODY');
      const many = Array.from({ length: 21 }, () => body.subarray(0, 50_000));
      assert.is(await codeOf(caller.call(to(700), many)), 'EMSGSIZE');
      assert.is(await codeOf(caller.call(to(700), [1] as never)), 'ERR_RPC_BODY');
      assert.ok((await caller.call(to(700), body)).equals(body), 'it goes on');
    }));

  test('a response that breaks off is an error, and the next call goes on', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, () =>
        streamed(
          (function* () {
            yield Buffer.alloc(100_000);
            throw new Error('the disk is gone');
          })(),
          { length: 200_000 },
        ),
      );
      await callee.serve({ port: 701 }, request => request);
      assert.is(await codeOf(caller.call(to(700), 'x')), brokenOff);
      assert.is(String(await caller.call(to(701), 'x')), 'x');
    }));

  test('a streamed response longer than was said is an error, an empty one and a request, too', () =>
    hosts(async ({ caller, callee }) => {
      let asked = 0;
      const pieces = ['as many, ', 'and more'];
      await callee.serve({ port: 700 }, () => streamed(pieces, { length: 9 }));
      await callee.serve({ port: 701 }, () => streamed(pieces, { length: 0 }));
      await callee.serve({ port: 702 }, () => `${++asked}`);
      assert.is(await codeOf(caller.call(to(700), 'x')), brokenOff);
      assert.is(await codeOf(caller.call(to(701), 'x')), 'ERR_RPC_REMOTE');
      for (const length of [0, 9])
        assert.is(await codeOf(caller.call(to(702), streamed(pieces, { length }))), 'ERR_RPC_BODY');
      assert.is(asked, 0);
    }));

  test('a server that closes ends calls in flight, and one that opens again is found again', () =>
    hosts(async ({ caller, callee }) => {
      let begun = 0;
      const hang = (): Promise<never> => {
        begun++;
        return new Promise(() => {});
      };
      const server = await callee.serve({ port: 700 }, hang);
      const calls = Array.from({ length: 5 }, () => codeOf(caller.call(to(700), 'x')));
      while (begun < 5) await sleep(1);
      server.close();
      assert.equal([...new Set(await Promise.all(calls))], [closed]);
      assert.is(begun, 5, 'none was made again');
      // Over datagrams the client knows only by patience that a server is another.
      if (carrier === 'window') return;
      await callee.serve({ port: 700 }, () => 'again');
      assert.is(String(await caller.call(to(700), 'x')), 'again');
    }));

  test('closing an RPC ends its calls: ERR_RPC_CLOSED', () =>
    hosts(async ({ caller, callee, client }) => {
      let asked = (): void => {};
      const there = new Promise<void>(resolve => (asked = resolve));
      await callee.serve({ port: 700 }, () => {
        asked();
        return new Promise<never>(() => {});
      });
      const call = codeOf(caller.call(to(700), 'x'));
      await there;
      await caller.close();
      assert.is(await call, 'ERR_RPC_CLOSED');
      const next = await client.rpc({ carrier });
      assert.is(await codeOf(next.call(to(700), 'x', { deadline: 5 })), 'ETIMEDOUT');
      await next.close();
    }));

  test('no carrier of that name: ERR_RPC_NO_CARRIER', () =>
    hosts(async ({ caller, client }) => {
      assert.is(await codeOf(client.rpc({ carrier: 'pigeon' })), 'ERR_RPC_NO_CARRIER');
      assert.throws(
        () => caller.use('pigeon'),
        (e: RpcError) => e.code === 'ERR_RPC_NO_CARRIER',
      );
      assert.is(caller.carrier, carrier);
    }));

  for (const [how, faults] of [
    ['loss', { loss: 0.02 }],
    ['reordering', { reorder: 0.05 }],
    ['duplication', { duplicate: 0.05 }],
    ['corruption', { corrupt: 0.02 }],
  ] as const)
    test(`${how}: every call is served exactly once, and answered`, () =>
      hosts(
        async ({ caller, callee }) => {
          const served = new Map<number, number>();
          await callee.serve({ port: 700 }, request => {
            const n = request.readUInt32LE(0);
            served.set(n, (served.get(n) ?? 0) + 1);
            return request;
          });
          const call = async (n: number): Promise<void> => {
            const body = pattern(4 + ((n * 97) % 5000), n);
            body.writeUInt32LE(n, 0);
            assert.ok((await caller.call(to(700), body)).equals(body), `call ${n}`);
          };
          for (let i = 0; i < 10; i++)
            await Promise.all(Array.from({ length: 40 }, (_, k) => call(i * 40 + k)));
          assert.is(served.size, 400);
          assert.is(Math.max(...served.values()), 1);
        },
        { link: faults },
      ));
}
