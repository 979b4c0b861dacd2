/** The end of a stack: what its connections had written when they were closed still arrives; what is open is aborted. */
import { assert, suite } from '../support/suite.js';
import { AT, type C, pattern, sha, until, type Wired, wired } from './rig.js';

const test = suite('stack: linger');
const DATA = pattern(100_000, 9);

/** A connection from a to b; what b hears of it. */
async function connected({ a, b }: Wired): Promise<{ c: C; got: Buffer[]; peer: () => C }> {
  const got: Buffer[] = [];
  let peer: C | undefined;
  b.onAccept = connection => {
    peer = connection;
    return () => {
      for (let views = connection.readViews(); views.length > 0; views = connection.readViews())
        for (const v of views) {
          got.push(Buffer.from(v));
          connection.consume(v.length);
        }
    };
  };
  // A ring that takes all of DATA, also while b's application stands still.
  b.stack.burst.listen({ port: 7, options: { receiveBuffer: 262_144 } });
  const c = a.connect({ host: AT.b[4], port: 7 });
  await until([a, b], () => c.connected && peer !== undefined);
  return { c, got, peer: () => peer! };
}

test('what was written before close() is delivered with its end, although the stack closes at once', () =>
  wired(async w => {
    const { c, got, peer } = await connected(w);
    assert.is(c.write(DATA), DATA.length);
    c.close();
    await w.a.stack.close();
    await until([w.b], () => peer().ended);
    assert.is(sha(Buffer.concat(got)), sha(DATA));
    assert.is(peer().error, undefined);
  }));

test('the first bytes of a connection, which still wait for their ring, are delivered, too', () =>
  wired(async w => {
    const { c, got, peer } = await connected(w);
    assert.is(c.end.hasSendRing, false);
    c.write(DATA.subarray(0, 5000));
    c.close();
    await w.a.stack.close();
    await until([w.b], () => peer().ended);
    assert.is(sha(Buffer.concat(got)), sha(DATA.subarray(0, 5000)));
  }));

test('one that is open is aborted, and so is what was closed when lingerMs is 0', () =>
  wired(async w => {
    const { peer } = await connected(w);
    const took = w.engine.now();
    await w.a.stack.close();
    assert.ok(w.engine.now() - took < 10_000_000n, 'nothing to wait for');
    await until([w.b], () => peer().closed);
    assert.is(peer().error, 'ECONNRESET');
  }).then(() =>
    wired(async w => {
      const { c, peer } = await connected(w);
      c.write(DATA);
      c.close();
      await w.a.stack.close({ lingerMs: 0 });
      await until([w.b], () => peer().closed);
      assert.is(peer().error, 'ECONNRESET');
    }),
  ));

test('a peer that does not read keeps it for lingerMs and no longer', () =>
  wired(async w => {
    const { c, peer } = await connected(w);
    w.b.hear(peer(), () => {});
    // More than the peer's ring takes.
    let rest = pattern(450_000, 1);
    await until([w.a, w.b], () => {
      rest = rest.subarray(c.write(rest));
      return rest.length === 0;
    });
    c.close();
    const since = w.engine.now();
    await w.a.stack.close({ lingerMs: 300 });
    const ms = Number(w.engine.now() - since) / 1e6;
    assert.ok(ms >= 300 && ms < 320, `${ms} ms`);
  }));

test('lingerMs that cannot be is refused, and the stack stays', () =>
  wired(async ({ a }) => {
    for (const lingerMs of [-1, Number.NaN, 1e9, '1' as unknown as number]) {
      const error = await a.stack.close({ lingerMs }).catch(e => e);
      assert.is(error.code, 'ERR_STACK_OPTIONS');
    }
    assert.equal(a.stack.counters(), {});
  }));
