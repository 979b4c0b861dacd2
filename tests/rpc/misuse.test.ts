/** Calls as nobody should make them: an error with a code each, and nothing is left of them. */
import { streamed } from '../../host/rpc/body.js';
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
      assert.is(await code(to, 'x', { signal: new AbortController() }), 'ERR_RPC_OPTIONS');
      assert.is(await code('10.0.0.2:700', 'x'), 'ERR_RPC_OPTIONS');
      assert.throws(() => streamed(['x'], undefined as never), /expected \{ length \}/);
      assert.is(await code(to, 5), 'ERR_RPC_BODY');
      assert.is(await code(to, Buffer.alloc(1_000_001)), 'EMSGSIZE');
      assert.is(await code(to, 'x', { deadline: 0 }), 'ETIMEDOUT');
      assert.is(await code(to, 'x', { signal: AbortSignal.abort() }), 'ABORT_ERR');
      assert.is(await code(to, 'x'), 'none');
    }));

  test('options that nobody knows, of RPC, call and server: the error names those that there are', () =>
    world({ carrier, ...options }, async ({ client, caller, callee }) => {
      const refused = async (work: () => Promise<unknown>, text: RegExp): Promise<void> => {
        const error = await work().then(
          () => ({ code: 'none', message: '' }),
          e => e as { code: string; message: string },
        );
        assert.is(error.code, 'ERR_RPC_OPTIONS');
        assert.match(error.message, text);
      };
      const echo = (request: Buffer): Buffer => request;
      await refused(
        () => client.rpc({ carier: carrier } as never),
        /carier; expected \{ carrier, deadline, limits/,
      );
      await refused(() => callee.serve({ prot: 700 } as never, echo), /prot; expected \{ port, /);
      await refused(() => callee.serve(700 as never, echo), /700; expected \{ port, /);
      await refused(
        () => caller.call(to, 'x', { timeout: 100 } as never),
        /timeout; expected \{ signal, deadline/,
      );
    }));
}

for (const { name: carrier, options, refused } of CARRIERS.slice(1))
  suite(`rpc: misuse over ${carrier}`)('a failure names address, port and carrier', () =>
    world({ carrier, ...options }, async ({ caller }) => {
      const said = await caller.call({ address: SERVER, port: 701 }, 'x').then(
        () => 'none',
        ({ code, message }) => `${code} ${message}`,
      );
      assert.ok(said.startsWith(`${refused} ${SERVER}:701 over ${carrier}: `), said);
      const late = await caller.call({ address: '10.0.0.77', port: 701 }, 'x', { deadline: 1 }).then(
        () => 'none',
        ({ message }) => message,
      );
      assert.is(late, `10.0.0.77:701 over ${carrier}: no answer before the deadline`);
    }),
  );

suite('rpc: misuse over tcp')(
  'who is not there, and where nobody listens, is said with address, port and carrier',
  () =>
    world({ carrier: 'tcp' }, async ({ caller }) => {
      const said = (address: string): Promise<string> =>
        caller.call({ address, port: 701 }, 'x').then(
          () => 'none',
          ({ code, message }) => `${code} ${message}`,
        );
      assert.is(await said(SERVER), `ECONNREFUSED ${SERVER}:701 over tcp: nobody listens there`);
      assert.match(await said('10.0.0.77'), /^EHOSTUNREACH 10\.0\.0\.77:701 over tcp: no neighbour/);
    }),
);
