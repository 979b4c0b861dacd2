/** Calls as nobody should make them: an error with a code each, and nothing is left of them. */
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, SERVER, world } from './rig.js';

const to = { address: SERVER, port: 700 };

for (const { name: carrier, options } of CARRIERS) {
  const test = suite(`rpc: misuse over ${carrier}`);

  test('of an RPC that was closed nothing can be asked, whether it was used before or not', () =>
    world({ carrier, ...options }, async ({ client, caller, callee }) => {
      await callee.serve({ port: 700 }, request => request);
      const unused = await client.rpc({ carrier });
      await unused.close();
      await caller.call(to, 'x');
      await caller.close();
      for (const rpc of [unused, caller]) {
        assert.is(await codeOf(rpc.call(to, 'x')), 'ERR_RPC_CLOSED');
        assert.is(await codeOf(rpc.serve({ port: 701 }, request => request)), 'ERR_RPC_CLOSED');
        assert.throws(
          () => rpc.burst,
          (error: { code?: string }) => error.code === 'ERR_RPC_CLOSED',
        );
      }
    }));

  test('no address, no options, no signal, no body; deadlines that are over; signals that were aborted', () =>
    world({ carrier, ...options }, async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, request => request);
      const code = (...args: unknown[]): Promise<string> => codeOf(caller.call(...(args as [never, never])));
      assert.is(await code(undefined, 'x'), 'ERR_RPC_OPTIONS');
      assert.is(await code({}, 'x'), 'ERR_RPC_OPTIONS');
      assert.is(await code(to, 'x', null), 'ERR_RPC_OPTIONS');
      assert.is(await code(to, 'x', { signal: {} }), 'ERR_RPC_OPTIONS');
      assert.is(await code(to, 5), 'ERR_RPC_BODY');
      assert.is(await code(to, Buffer.alloc(1_000_001)), 'EMSGSIZE');
      assert.is(await code(to, 'x', { deadline: 0 }), 'ETIMEDOUT');
      assert.is(await code(to, 'x', { signal: AbortSignal.abort() }), 'ABORT_ERR');
      assert.is(await code(to, 'x'), 'none');
    }));
}
