/** Peers that frame messages by hand: servers whose responses begin twice, clients whose requests do. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { RpcBody } from '../../host/rpc/body.js';
import { RpcEvent } from '../../host/rpc/event.js';
import { FRAME_HEAD, FrameKind, writeHead } from '../../host/rpc/frame.js';
import { Part, PartPool } from '../../host/rpc/parts.js';
import type { RpcPeer } from '../../host/rpc/peer.js';
import type { Entered } from '../../host/rpc/place.js';
import { PromiseCalls } from '../../host/rpc/promises.js';
import { assert, suite } from '../support/suite.js';
import { codeOf, SERVER, type World, world } from './rig.js';

const test = suite('rpc: peers that frame by hand');

function frame(
  kind: FrameKind,
  call: number,
  turn: number,
  bytes: number,
  length = bytes,
  offset = 0,
): Buffer {
  const out = Buffer.alloc(FRAME_HEAD + bytes, 1);
  writeHead(new DataView(out.buffer, out.byteOffset), 0, kind, bytes, length, offset, call, turn);
  return out;
}

/** Some ms in which everybody has turns. */
async function pass({ engine }: World, ms: number): Promise<void> {
  for (let i = 0; i < ms; i++) {
    engine.run({ untilNs: engine.now() + 1_000_000n });
    await new Promise(next => setImmediate(next));
  }
}

/** Events as a carrier whose server says too much tells of them, a batch a poll. */
function callsOf(batches: ((event: RpcEvent) => void)[][]): PromiseCalls {
  const endpoint = {
    begin: () => 1,
    cancel: () => true,
    nowMs: () => 0,
    nextMs: Number.POSITIVE_INFINITY,
    ready: false,
    flush: () => {},
    poll(into: RpcEvent[]) {
      const batch = batches.shift() ?? [];
      for (const [i, fill] of batch.entries()) {
        into[i] = new RpcEvent();
        fill(into[i]);
      }
      return batch.length;
    },
  };
  const nothing = (): void => {};
  const entered = {
    endpoint,
    open: nothing,
    hold: nothing,
    rouse: nothing,
    wait: () => new Promise(nothing),
  };
  return new PromiseCalls(entered as unknown as Entered);
}

for (const what of ['whole', 'in parts'])
  test(`a response that was half read, and comes ${what} a second time, ends its body`, async () => {
    const pool = new PartPool();
    let tag: unknown;
    const event =
      (kind: RpcEvent['kind'], length: number, part: Part | undefined) =>
      (e: RpcEvent): void =>
        void Object.assign(e, { kind, tag, length, first: length, part, memory: new Uint8Array(length) });
    const part = (length: number, received: number): Part => {
      const made = new Part(pool, 0, 1, FrameKind.RESPONSE, length);
      made.room(received);
      made.received = received;
      return made;
    };
    const [first, second] = [part(4000, 1200), part(1200, 1200)];
    const batches: ((event: RpcEvent) => void)[][] = [];
    const calls = callsOf(batches);
    const { endpoint } = calls as unknown as { endpoint: { begin(...made: unknown[]): number } };
    endpoint.begin = (_peer, _body, given) => {
      tag = given;
      return 1;
    };
    const call = calls.call({} as RpcPeer, new Uint8Array(1), undefined, {
      stream: true,
    }) as Promise<RpcBody>;
    batches.push([event('part', 4000, first)], []);
    calls.turn();
    const body = await call;
    assert.is(body.received, 1200);
    first.drop();
    batches.splice(0);
    if (what === 'whole') batches.push([event('response', 10, undefined)]);
    else batches.push([event('part', 1200, second)], [event('response', 1200, second)]);
    const code = codeOf(body.bytes());
    calls.turn();
    calls.turn();
    assert.is(await code, 'EPROTO');
    batches.push([
      () => {
        throw new Error('the end');
      },
    ]);
    assert.is(calls.turn(), undefined);
  });

for (const carrier of ['tcp', 'window'])
  test(`a request that is made twice begins no second handler: ${carrier}`, () =>
    world({ carrier, shared: true }, async w => {
      const counts = { begun: 0, ended: 0 };
      let aborted = false;
      await w.callee.serve({ port: 711, stream: true }, async (body, { signal }) => {
        counts.begun++;
        try {
          await body.bytes();
          await new Promise(next => signal.addEventListener('abort', next));
          aborted = true;
        } finally {
          counts.ended++;
        }
        return undefined;
      });
      const { burst } = w.client;
      const datagrams = carrier === 'window';
      const socket = datagrams ? burst.bind({ transport: 'window' } as never) : undefined;
      const to = socket?.peer(SERVER, 711);
      const connection = datagrams ? undefined : burst.connect({ host: SERVER, port: 711 });
      const send = (bytes: Buffer): void => {
        // Behind a frame's head stands the client's epoch.
        const epoch = Buffer.alloc(4, 9);
        if (connection === undefined)
          socket!.send(
            Buffer.concat([bytes.subarray(0, FRAME_HEAD), epoch, bytes.subarray(FRAME_HEAD)]),
            to!,
          );
        else if (!connection.closed) connection.write(bytes);
        burst.flush();
      };
      const turns = async (n: number): Promise<void> => {
        for (let i = 0; i < n; i++) {
          await pass(w, 5);
          // The server's turns are those of this event loop.
          await sleep(10);
          burst.poll([]);
          burst.flush();
        }
      };
      for (const each of [
        frame(FrameKind.REQUEST, 1, 1, 40),
        frame(FrameKind.REQUEST, 1, 1, 1000, 2000),
        frame(FrameKind.REQUEST, 1, 1, 1000, 2000, 1000),
      ]) {
        await turns(2);
        send(each);
        for (let i = 0; i < 500 && counts.begun === 0; i++) await turns(1);
      }
      await turns(20);
      assert.is(counts.begun, 1);
      // Over TCP it ends the connection; a socket's client gives the call up.
      if (datagrams) send(frame(FrameKind.CANCEL, 1, 1, 0));
      for (let i = 0; i < 500 && counts.ended === 0; i++) await turns(1);
      assert.equal(counts, { begun: 1, ended: 1 });
      assert.is(aborted, true);
      if (!datagrams) assert.is(connection!.closed, true);
      connection?.close();
      socket?.close();
      burst.flush();
    }));
