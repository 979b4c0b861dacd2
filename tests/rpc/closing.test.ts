/** The end of a server, and of its Rpc: what was answered is delivered, who waits for an answer hears that none comes. */
import { streamed } from '../../host/rpc/body.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, pattern, SERVER, world } from './rig.js';

const test = suite('rpc: closing');
const to = { address: SERVER, port: 700 };

for (const { name: carrier, options, closed } of CARRIERS)
  for (const how of ['rpc', 'server'] as const) {
    test(`${carrier}: answers of before ${how}.close() arrive, requests without one fail`, () =>
      world({ carrier, ...options }, async ({ caller, callee }) => {
        const sizes = [0, 100, 300_000, 1_000_000];
        let left = sizes.length;
        let all = (): void => {};
        const answered = new Promise<void>(done => {
          all = done;
        });
        const server = await callee.serve({ port: 700 }, async request => {
          const size = Number(String(request));
          if (size < 0) await new Promise(() => {});
          if (--left === 0) setImmediate(all);
          return pattern(size, 1);
        });
        const unanswered = caller.call(to, '-1', { deadline: 5000 });
        const calls = sizes.map(size => caller.call(to, `${size}`, { deadline: 5000 }));
        const code = codeOf(unanswered);
        await answered;
        if (how === 'rpc') await callee.close();
        else server.close();
        for (const [i, call] of calls.entries()) assert.equal(await call, pattern(sizes[i], 1));
        assert.is(await code, closed);
      }));

    test(`${carrier}: ${how}.close() waits for no answer that does not go on`, () =>
      world({ carrier, ...options }, async ({ engine, caller, callee }) => {
        let begun = (): void => {};
        const answering = new Promise<void>(done => {
          begun = done;
        });
        const server = await callee.serve({ port: 700 }, () => {
          async function* source(): AsyncGenerator<Uint8Array> {
            yield pattern(1000, 1);
            setImmediate(begun);
            await new Promise(() => {});
          }
          return streamed(source(), { length: 500_000 });
        });
        const code = codeOf(caller.call(to, 'x', { deadline: 20_000 }));
        await answering;
        const beganNs = engine.now();
        if (how === 'rpc') await callee.close();
        else server.close();
        assert.is(await code, closed);
        if (closed !== 'ETIMEDOUT') assert.ok(engine.now() - beganNs < 3_000_000_000n);
      }));
  }
