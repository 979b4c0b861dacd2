/** Requests that are not answered are bounded by bytes, over each carrier; what is beyond waits, or its caller is told. */

import type { RpcError } from '../../host/rpc/errors.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { pattern, SERVER, type World, world } from './rig.js';

/** Calls `n` times with `length` bytes a server that answers when `let` is called. Returns most bytes that it had at once. */
async function flood(
  w: World,
  limits: object,
  n: number,
  length: number,
): Promise<{ most: number; ok: number; busy: number; codes: string[] }> {
  const callee = await w.server.rpc({ limits });
  let held = 0;
  let most = 0;
  const waiting: (() => void)[] = [];
  const { port } = await callee.serve({}, async request => {
    held += request.length;
    most = Math.max(most, held);
    await new Promise<void>(end => waiting.push(end));
    held -= request.length;
    return request.subarray(0, 4);
  });
  const before = pattern(length, 1);
  let [ok, busy, over] = [0, 0, 0];
  const codes: string[] = [];
  const calls = Array.from({ length: n }, (_, i) => {
    const body = Buffer.from(before);
    if (length >= 4) body.writeUInt32LE(i);
    return w.caller
      .call({ address: SERVER, port }, body)
      .then(
        answer => void (answer.readUInt32LE() === i && ok++),
        (error: RpcError) => {
          if (error.remoteCode === 'ERR_RPC_BUSY') busy++;
          else codes.push(error.code);
        },
      )
      .finally(() => over++);
  });
  for (let turn = 0; over < n && turn < 20_000; turn++) {
    // Virtual time passes meanwhile, some 100 ms a turn: long enough for all that may come to have come.
    await new Promise(setImmediate);
    if (turn % 10 === 9) waiting.shift()?.();
  }
  await Promise.all(calls);
  await callee.close();
  return { most, ok, busy, codes };
}

for (const { name: carrier, options } of CARRIERS) {
  const test = suite(`rpc: bytes of requests over ${carrier}`);

  test('a server has no more of them than it said, and every call ends', () =>
    world({ carrier, ...options }, async w => {
      const { most, ok, busy, codes } = await flood(
        w,
        { unansweredBytes: 500_000, allUnansweredBytes: 1_000_000 },
        12,
        200_000,
      );
      assert.equal(codes, []);
      assert.ok(most <= 500_000, `${most} bytes at once`);
      assert.is(ok + busy, 12);
      // A transport of datagrams has acknowledged what finds no room.
      if (carrier === 'window') assert.ok(busy > 0 && ok >= 2, `${ok} answered`);
      else assert.is(ok, 12);
    }));

  test('one of the longest messages is always taken', () =>
    world({ carrier, ...options }, async w => {
      const { ok, busy } = await flood(w, { unansweredBytes: 1, allUnansweredBytes: 1 }, 3, 1_000_000);
      assert.ok(ok >= 1, `${ok} answered, ${busy} not`);
      if (carrier !== 'window') assert.is(ok, 3);
    }));
}
