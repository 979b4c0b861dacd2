/**
 * What every carrier promises, one rule a test, each over each of them. Rules that users decide by whether to call again quote
 * the sentence of docs/rpc.md; a test of their own looks that the sentence still stands there.
 */
import { readFileSync } from 'node:fs';
import { streamed } from '../../../host/rpc/body.js';
import { RpcError } from '../../../host/rpc/errors.js';
import { assert, suite } from '../../support/suite.js';
import { CARRIERS } from '../carriers.js';
import { codeOf, pattern, SERVER, type World, world } from '../rig.js';
import { type Fault, Source } from './bodies.js';

const to = { address: SERVER, port: 700 };
const never = (): Promise<never> => new Promise(() => {});
const turns = async (n: number): Promise<void> => {
  for (let i = 0; i < n; i++) await new Promise(turn => setImmediate(turn));
};

/** Sentences of docs/rpc.md that are tested here: whoever changes one changes its test. */
const SAYS = {
  once: 'A call ends exactly once, with its response or an error;\na request is served at most once',
  again: 'Nothing is tried again: the request may have been served',
  closed: 'calls in flight fail with ERR_RPC_CLOSED, what was answered is delivered',
  server: 'no more requests; who waits for an answer hears ECONNRESET, what was answered is delivered',
  signal: 'aborted when nobody waits any more: the caller gave up, was late, or its connection ended',
  use: 'new calls go by that carrier, those in flight end on theirs',
  remote:
    "returns, or resolves with, a body as above, or nothing, which is an empty answer; what it throws is the caller's ERR_RPC_REMOTE",
  length: 'what is no body, a stream that has other than `length` bytes, or an RpcBody that is read twice',
  size: 'a body of more than 1,000,000 bytes',
} as const;

suite('rpc: contract, what is said')('docs/rpc.md says what these tests hold it to', () => {
  const page = readFileSync(new URL('../../../docs/rpc.md', import.meta.url), 'utf8');
  for (const sentence of Object.values(SAYS)) assert.ok(page.includes(sentence), sentence);
});

for (const { name: carrier, options, tellsCancel, refused, closed } of CARRIERS) {
  const test = suite(`rpc: contract over ${carrier}`);
  const hosts = (work: (w: World) => Promise<void>): Promise<void> => world({ carrier, ...options }, work);
  /** Lets the other side hear of what was given up. */
  const passed = async ({ engine }: World): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      engine.run({ untilNs: engine.now() + 1_000_000n });
      await new Promise(looked => setTimeout(looked, 6));
    }
  };

  test(`"${SAYS.once}": given up before, while and after it is sent`, () =>
    hosts(async w => {
      const { caller, callee } = w;
      const served = new Map<number, number>();
      await callee.serve({ port: 700 }, request => {
        const n = request.readUInt32LE(0);
        served.set(n, (served.get(n) ?? 0) + 1);
        return n % 3 === 0 ? never() : request;
      });
      const ends: string[] = [];
      const all: Promise<void>[] = [];
      for (let n = 0; n < 60; n++) {
        const control = new AbortController();
        const body = pattern(4 + (n % 7) * 40_000, n);
        body.writeUInt32LE(n, 0);
        if (n % 12 === 0) control.abort();
        all.push(
          codeOf(caller.call(to, body, { signal: control.signal, deadline: 10_000 })).then(code => {
            ends.push(code);
            // After its end: nothing ends twice.
            control.abort();
          }),
        );
        await turns(n % 4);
        if (n % 3 === 0) control.abort();
      }
      await Promise.all(all);
      await passed(w);
      assert.is(ends.length, 60);
      assert.ok(
        ends.every(code => code === 'none' || code === 'ABORT_ERR'),
        ends.join(),
      );
      assert.is(ends.filter(code => code === 'ABORT_ERR').length, 20);
      assert.ok([...served.values()].every(times => times === 1));
    }));

  test(`"${SAYS.signal}"`, () =>
    hosts(async w => {
      const { caller, callee } = w;
      const signals: AbortSignal[] = [];
      await callee.serve({ port: 700 }, (_, { signal }) => {
        signals.push(signal);
        return never();
      });
      const control = new AbortController();
      const gaveUp = codeOf(caller.call(to, 'x', { signal: control.signal }));
      const late = codeOf(caller.call(to, 'x', { deadline: 8000 }));
      while (signals.length < 2) await turns(1);
      control.abort();
      assert.equal([await gaveUp, await late], ['ABORT_ERR', 'ETIMEDOUT']);
      await passed(w);
      if (tellsCancel) assert.ok(signals.every(({ aborted }) => aborted));
    }));

  test('the handlers of an Rpc that is closed hear that nobody waits for them', () =>
    hosts(async ({ caller, callee }) => {
      const signals: AbortSignal[] = [];
      await callee.serve({ port: 700 }, (_, { signal }) => {
        signals.push(signal);
        return never();
      });
      const call = codeOf(caller.call(to, 'x', { deadline: 2000 }));
      while (signals.length === 0) await turns(1);
      await callee.close();
      assert.ok(signals[0].aborted);
      assert.is(await call, closed);
    }));

  test('handlers hear that an Rpc is closed that had called them', () =>
    hosts(async w => {
      const { caller, callee } = w;
      const signals: AbortSignal[] = [];
      await callee.serve({ port: 700 }, (_, { signal }) => {
        signals.push(signal);
        return never();
      });
      const calls = [1, 2, 3].map(() => codeOf(caller.call(to, 'x')));
      while (signals.length < 3) await turns(1);
      await caller.close();
      assert.equal(await Promise.all(calls), Array(3).fill('ERR_RPC_CLOSED'), SAYS.closed);
      await passed(w);
      // Over Homa they hear it when the answer is sent in vain.
      if (tellsCancel)
        assert.equal(
          signals.map(({ aborted }) => aborted),
          [true, true, true],
        );
    }));

  test('the source of a call that is none is ended, too: of a closed Rpc, of wrong arguments', () =>
    hosts(async ({ caller }) => {
      const source = (): Source => new Source(pattern(100, 1), 'none', 10, 0);
      const wrong = [source(), source(), source()];
      assert.is(
        await codeOf(caller.call({ ...to, port: 0 }, streamed(wrong[0], { length: 100 }))),
        'ERR_RPC_OPTIONS',
      );
      assert.is(await codeOf(caller.call({ ...to, address: 'x' }, wrong[1])), 'ERR_ADDRESS');
      await caller.close();
      assert.is(await codeOf(caller.call(to, streamed(wrong[2], { length: 100 }))), 'ERR_RPC_CLOSED');
      assert.equal(
        wrong.map(({ ended }) => ended),
        [true, true, true],
      );
    }));

  test(`"${SAYS.length}": whatever a source does it is ended, and the next call is answered`, () =>
    hosts(async ({ caller, callee }) => {
      let served = 0;
      await callee.serve({ port: 700 }, request => {
        served++;
        return request;
      });
      for (const length of [10, 100_000])
        for (const [fault, code] of [
          ['short', 'ERR_RPC_BODY'],
          ['long', 'ERR_RPC_BODY'],
          ['throws', 'Error: the source broke'],
          ['stalls', 'ETIMEDOUT'],
        ] as [Fault, string][]) {
          const source = new Source(pattern(length, 3), fault, 30_000, 1);
          const call = caller.call(to, streamed(source, { length }), { deadline: 500 });
          assert.is(await codeOf(call), code, `${fault} of ${length} B`);
          assert.ok(source.ended, `${fault} of ${length} B is ended`);
        }
      assert.is(served, 0, 'none was executed');
      assert.is(String(await caller.call(to, 'good', { deadline: 5000 })), 'good');
    }));

  test('a reader of a streamed response that stops early ends the source of it, and holds up nobody', () =>
    hosts(async w => {
      const { caller, callee } = w;
      const sources: Source[] = [];
      await callee.serve({ port: 700 }, request => {
        if (String(request) === 'short') return request;
        const source = new Source(pattern(900_000, 5), 'none', 10_000, 1);
        sources.push(source);
        return streamed(source, { length: 900_000 });
      });
      for (let i = 0; i < 3; i++) {
        const body = await caller.call(to, 'long', { stream: true, deadline: 20_000 });
        for await (const _ of body) break;
        assert.is(String(await caller.call(to, 'short', { deadline: 5000 })), 'short');
      }
      for (let i = 0; i < 300 && sources.some(({ ended }) => !ended); i++) await passed(w);
      assert.ok(sources.every(({ ended }) => ended));
    }));

  test(`0 B and 1,000,000 B go, both ways; EMSGSIZE: "${SAYS.size}", and none is executed`, () =>
    hosts(async ({ caller, callee }) => {
      let served = 0;
      await callee.serve({ port: 700 }, request => {
        served++;
        return request;
      });
      for (const n of [0, 1_000_000]) {
        const body = pattern(n, 7);
        assert.ok((await caller.call(to, body)).equals(body), `${n} B`);
      }
      const long = Buffer.alloc(1_000_001);
      const over = [long, [long], [long.subarray(1), 'x']];
      for (const body of over) assert.is(await codeOf(caller.call(to, body)), 'EMSGSIZE');
      assert.throws(
        () => streamed([long], { length: long.length }),
        (e: RpcError) => e.code === 'EMSGSIZE',
      );
      await callee.serve({ port: 701 }, () => long);
      const error = (await caller.call({ ...to, port: 701 }, 'x').catch(e => e)) as RpcError;
      assert.equal([error.code, error.remoteCode], ['ERR_RPC_REMOTE', 'EMSGSIZE']);
      assert.is(served, 2);
    }));

  test(`"${SAYS.server}"`, () =>
    hosts(async ({ caller, callee }) => {
      const server = await callee.serve({ port: 700 }, request =>
        String(request) === 'x' ? never() : request,
      );
      const body = pattern(500_000, 9);
      const answered = [1, 2, 3].map(() => caller.call(to, body, { deadline: 20_000 }));
      const open = codeOf(caller.call(to, 'x', { deadline: 2000 }));
      await Promise.all(answered);
      server.close();
      assert.is(await open, closed);
    }));

  test('a port that is served no more is free, and served again; calls of before are not executed again', () =>
    hosts(async w => {
      const { caller, callee, engine } = w;
      let served = 0;
      for (let round = 0; round < 5; round++) {
        let server: { close(): void } | undefined;
        // Sockets of datagrams keep their port until what they have sent has arrived, or nobody asks for it.
        for (let i = 0; i < 60 && server === undefined; i++)
          server = await callee
            .serve({ port: 700 }, () => {
              served++;
              return `${round}`;
            })
            .catch(async () => {
              engine.run({ untilNs: engine.now() + 1_000_000_000n });
              return undefined;
            });
        assert.ok(server, `round ${round}`);
        // Over datagrams a client knows by patience only that its server is another.
        if (carrier === 'window' && round > 0) {
          server!.close();
          continue;
        }
        let answer = '';
        for (let i = 0; i < 20 && answer === ''; i++)
          answer = String(await caller.call(to, 'x', { deadline: 1000 }).catch(() => ''));
        assert.is(answer, `${round}`);
        server!.close();
      }
      assert.is(served, carrier === 'window' ? 1 : 5);
    }));

  test(`"${SAYS.use}"`, () =>
    hosts(async ({ caller, callee }) => {
      let answer: () => void = () => {};
      const released = new Promise<void>(done => {
        answer = done;
      });
      let came = 0;
      await callee.serve({ port: 700 }, async request => {
        came++;
        await released;
        return request;
      });
      const others = CARRIERS.map(({ name }) => name);
      const calls: Promise<Buffer>[] = [];
      for (const name of [carrier, ...others]) {
        caller.use(name);
        calls.push(caller.call(to, `over ${name}`, { deadline: 20_000 }));
      }
      while (came < calls.length) await turns(1);
      answer();
      assert.equal(
        (await Promise.all(calls)).map(String),
        [carrier, ...others].map(name => `over ${name}`),
      );
      assert.is(came, 4);
    }));

  test('more calls than any queue holds: none is lost, each is executed once', () =>
    hosts(async ({ caller, callee }) => {
      const COUNT = 6000;
      const served = new Uint8Array(COUNT);
      await callee.serve({ port: 700 }, request => {
        served[request.readUInt32LE(0)]++;
        return request;
      });
      const calls = Array.from({ length: COUNT }, async (_, n) => {
        const body = Buffer.alloc(4 + (n % 50 === 0 ? 20_000 : n % 100), n);
        body.writeUInt32LE(n, 0);
        assert.ok((await caller.call(to, body)).equals(body), `call ${n}`);
      });
      await Promise.all(calls);
      assert.ok(served.every(times => times === 1));
    }));

  test('a peer that does not answer stops no calls to another', () =>
    hosts(async ({ caller, callee }) => {
      await callee.serve({ port: 699 }, never);
      await callee.serve({ port: 700 }, request => request);
      const control = new AbortController();
      const silent = Array.from({ length: 1500 }, (_, i) =>
        codeOf(
          caller.call({ ...to, port: 699 }, Buffer.alloc(i % 40 === 0 ? 50_000 : 100), {
            signal: control.signal,
          }),
        ),
      );
      for (let i = 0; i < 20; i++)
        assert.is(String(await caller.call(to, `${i}`, { deadline: 5000 })), `${i}`);
      control.abort();
      assert.ok((await Promise.all(silent)).every(code => code === 'ABORT_ERR'));
    }));

  test(`"${SAYS.remote}"`, () =>
    hosts(async ({ caller, callee }) => {
      const answers: Record<string, () => unknown> = {
        nothing: () => undefined,
        later: async () => undefined,
        throws: () => {
          throw Object.assign(new Error('so'), { code: 'EXDEV' });
        },
        rejects: () => Promise.reject(Object.assign(new Error('so'), { code: 'EXDEV' })),
      };
      await callee.serve({ port: 700 }, request => answers[String(request)]() as never);
      for (const how of ['nothing', 'later']) assert.is((await caller.call(to, how)).length, 0);
      for (const how of ['throws', 'rejects']) {
        const e = (await caller.call(to, how).catch(error => error)) as RpcError;
        assert.equal([e.code, e.remoteCode, e.message], ['ERR_RPC_REMOTE', 'EXDEV', 'so']);
      }
    }));

  test(`"${SAYS.again}": who is not there has a code, and the reason names what happened`, () =>
    hosts(async ({ caller, callee }) => {
      const error = (await caller.call(to, 'x', { deadline: 90_000 }).catch(e => e)) as RpcError;
      assert.instance(error, RpcError);
      assert.is(error.code, refused);
      assert.ok(error.message.length > 10, error.message);
      let served = 0;
      await callee.serve({ port: 701 }, () => {
        served++;
        return never();
      });
      assert.is(await codeOf(caller.call({ ...to, port: 701 }, 'x', { deadline: 700 })), 'ETIMEDOUT');
      assert.is(served, 1);
    }));
}
