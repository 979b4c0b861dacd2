/** Handlers that do what they should not: their callers hear of it, and everybody else's calls go on. */
import { streamed } from '../../host/rpc/body.js';
import { errorBody, type RpcError, remoteError } from '../../host/rpc/errors.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, SERVER, world } from './rig.js';

const test = suite('rpc: handlers that do what they should not');
const to = { address: SERVER, port: 700 };
/** Of virtual time: nothing waits for it in vain. */
const DEADLINE = { deadline: 30_000 };

/** Things that cannot be looked at without care. */
const ODD: unknown[] = [
  Object.create(null),
  {
    get message() {
      throw new Error('no message');
    },
  },
  { message: Symbol('q') },
  {
    toString() {
      throw new Error('no text');
    },
  },
  Symbol('s'),
  ...[undefined, null, 5],
];
/** The same of what a handler returns. */
const thrower = (text: string) => (): never => {
  throw new Error(text);
};
const THENABLES: unknown[] = [
  Object.defineProperty({}, 'then', { get: thrower('in the getter') }),
  Object.defineProperty({}, 'then', { value: thrower('in then') }),
];

for (const { name: carrier, options } of CARRIERS) {
  test(`${carrier}: whatever a handler throws or returns is ERR_RPC_REMOTE, and the next call is answered`, () =>
    world({ carrier, ...options }, async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, request => {
        const [how, n] = request.toString().split(' ');
        if (how === 'throw') throw ODD[+n];
        if (how === 'reject') return Promise.reject(ODD[+n]);
        if (how === 'return') return THENABLES[+n] as never;
        return request;
      });
      for (const [how, list] of [
        ['throw', ODD],
        ['reject', ODD],
        ['return', THENABLES],
      ] as const)
        for (const n of list.keys())
          assert.is(await codeOf(caller.call(to, `${how} ${n}`, DEADLINE)), 'ERR_RPC_REMOTE', `${how} ${n}`);
      assert.is(String(await caller.call(to, 'good', DEADLINE)), 'good');
    }));
}

const MARK = Buffer.from('e7727063ff00fe0101', 'hex');
const OVER_HOMA = { carrier: 'homa', ...CARRIERS.find(c => c.name === 'homa')!.options };

test('homa: a response that is too long for its envelope is ERR_RPC_REMOTE, whole or gathered', () =>
  world(OVER_HOMA, async ({ caller, callee }) => {
    await callee.serve({ port: 700 }, request => request);
    await callee.serve({ port: 701 }, request => [request]);
    const marked = Buffer.alloc(1_000_000);
    MARK.copy(marked);
    for (const port of [700, 701]) {
      const error = (await caller.call({ ...to, port }, marked, DEADLINE).catch(e => e)) as RpcError;
      assert.equal([error.code, error.remoteCode], ['ERR_RPC_REMOTE', 'EMSGSIZE'], `port ${port}`);
      assert.is(String(await caller.call({ ...to, port }, 'x', DEADLINE)), 'x');
    }
  }));

test('homa: a streamed response that is too long is ERR_RPC_REMOTE, given early or late', () =>
  world(OVER_HOMA, async ({ caller, callee }) => {
    const much = () => streamed([Buffer.alloc(999_995)], { length: 999_995 });
    // Of a request of several parts the answer waits for the last.
    await callee.serve({ port: 700, stream: true }, much);
    await callee.serve({ port: 701 }, much);
    await callee.serve({ port: 702 }, request => request);
    for (const port of [700, 701]) {
      const error = (await caller
        .call({ ...to, port }, Buffer.alloc(800_000), DEADLINE)
        .catch(e => e)) as RpcError;
      assert.equal([error.code, error.remoteCode], ['ERR_RPC_REMOTE', 'EMSGSIZE'], `port ${port}`);
    }
    assert.is(String(await caller.call({ ...to, port: 702 }, 'x', DEADLINE)), 'x');
  }));

test('an error has a text whatever was thrown', () => {
  for (const error of ODD) assert.is(remoteError(errorBody(error)).code, 'ERR_RPC_REMOTE');
  assert.is(remoteError(errorBody({ message: Symbol('q') })).message, 'Symbol(q)');
});
