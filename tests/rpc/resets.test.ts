/** Who gives calls up makes no room for others before their handlers have returned (CVE-2023-44487, "rapid reset"). */

import { Engine } from '../../host/engine/engine.js';
import type { Datagram } from '../../host/net/burst/datagram.js';
import { Stack } from '../../host/net/stack.js';
import { HostNic } from '../../host/nic/index.js';
import { streamed } from '../../host/rpc/body.js';
import { POST_HEAD } from '../../host/rpc/datagrams/post.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { FRAME_HEAD, FrameKind, writeHead } from '../../host/rpc/frame.js';
import type { Rpc } from '../../host/rpc/rpc.js';
import { homa } from '../../host/transports/homa/index.js';
import { parseMac } from '../../host/wire/address.js';
import { homaFrame } from '../homa/packets.js';
import { windowTransport } from '../own/rig.js';
import { assert, suite } from '../support/suite.js';
import { datagramFrame } from './datagrams.js';
import { SERVER, type World, world } from './rig.js';

const test = suite('rpc: calls that are given up');

const BODY = 40;
const MOST = 8;

/** A frame of a request of `length` bytes with `bytes` of them. */
function frame(kind: FrameKind, call: number, turn: number, bytes: number, length = bytes): Buffer {
  const out = Buffer.alloc(FRAME_HEAD + bytes, 1);
  writeHead(new DataView(out.buffer, out.byteOffset), 0, kind, bytes, length, 0, call, turn);
  return out;
}

/** Calls and gives up, over one connection, `n` times; a server of `limits.unanswered` MOST. */
async function resets(
  w: World,
  n: number,
  each: (i: number) => Buffer[],
  more: (i: number) => boolean = () => true,
): Promise<void> {
  const client = w.client.burst;
  const c = client.connect({ host: SERVER, port: 700 });
  for (let i = 0; i < n && more(i); i++) {
    for (const bytes of each(i)) c.write(bytes);
    client.flush();
    await pass(w);
    assert.not.ok(c.closed || c.ended, 'the connection ended');
  }
  c.abort();
  client.flush();
  await pass(w);
}

/** Lets time pass, and the server look: one that waits for nobody does so every 5 ms of real time. */
async function pass({ engine, client }: World): Promise<void> {
  for (let k = 0; k < 2; k++) {
    client.burst.poll([]);
    client.burst.flush();
    engine.advance(1_000_000n);
    await new Promise(next => setTimeout(next, 7));
    await new Promise(setImmediate);
  }
}

/** A server of few requests at once, whose handlers return when they are let. */
class Busy {
  running = 0;
  most = 0;
  begun = 0;
  aborted = 0;
  private readonly ends: (() => void)[] = [];
  rpc!: Rpc;

  async work(signal: AbortSignal): Promise<void> {
    this.begun++;
    this.most = Math.max(this.most, ++this.running);
    signal.addEventListener('abort', () => this.aborted++);
    await new Promise<void>(end => this.ends.push(end));
    this.running--;
  }

  /** Lets `n` of them return. */
  let(n: number): void {
    for (const end of this.ends.splice(0, n)) end();
  }
}

test('handlers of calls over TCP that are given up count until they have returned; their signals are told at once', () =>
  world({ carrier: 'tcp' }, async w => {
    const busy = new Busy();
    const callee = await w.server.rpc({ limits: { unanswered: MOST } });
    await callee.serve({ port: 700 }, async (_, { signal }) => {
      await busy.work(signal);
      return 'late';
    });
    const pair = (i: number): Buffer[] => [
      frame(FrameKind.REQUEST, i, 1, BODY),
      frame(FrameKind.CANCEL, i, 1, 0),
    ];
    // One poll may have both: then no handler begins.
    const apart = (i: number): Buffer[] => pair(i >> 1).slice(i & 1, (i & 1) + 1);
    await resets(w, 100, apart, i => {
      if (i === 60) {
        assert.is(busy.begun, MOST);
        assert.is(busy.aborted, MOST);
        busy.let(3);
      }
      return true;
    });
    assert.is(busy.most, MOST);
    // Of those that waited most were given up by then.
    assert.ok(busy.begun > MOST && busy.begun <= MOST + 3, `${busy.begun}`);
    busy.let(100);
    await callee.close();
  }));

test('who connects again does not get around it', () =>
  world({ carrier: 'tcp' }, async w => {
    const busy = new Busy();
    const callee = await w.server.rpc({ limits: { unanswered: MOST, connections: 2 } });
    await callee.serve({ port: 700 }, (_, { signal }) => busy.work(signal).then(() => 'late'));
    const client = w.client.burst;
    for (let k = 0; k < 10; k++) {
      const c = client.connect({ host: SERVER, port: 700 });
      for (let i = 0; i < 20; i++) c.write(frame(FrameKind.REQUEST, i, 1, BODY));
      client.flush();
      for (let i = 0; i < 3; i++) await pass(w);
      c.abort();
      client.flush();
      await pass(w);
    }
    assert.is(busy.begun, 2 * MOST);
    assert.is(busy.aborted, 2 * MOST);
    busy.let(100);
    await pass(w);
    const c = client.connect({ host: SERVER, port: 700 });
    c.write(frame(FrameKind.REQUEST, 1, 1, BODY));
    client.flush();
    for (let i = 0; i < 3; i++) await pass(w);
    assert.is(busy.begun, 2 * MOST + 1);
    busy.let(100);
    c.abort();
    client.flush();
    await pass(w);
    await callee.close();
  }));

test('handlers that read a request as it comes count as well, and sources of answers', () =>
  world({ carrier: 'tcp' }, async w => {
    const [reading, making] = [new Busy(), new Busy()];
    const callee = await w.server.rpc({ limits: { unanswered: MOST } });
    await callee.serve({ port: 700, stream: true }, async (_, { signal }) => {
      await reading.work(signal);
      return 'late';
    });
    // Half of a request, which is given up then.
    const half = (i: number): Buffer[] =>
      i & 1 ? [frame(FrameKind.CANCEL, i >> 1, 1, 0)] : [frame(FrameKind.REQUEST, i >> 1, 1, 2000, 4000)];
    await resets(w, 60, half);
    assert.is(reading.most, MOST);
    assert.is(reading.aborted, MOST);
    reading.let(100);
    await pass(w);
    await callee.close();

    const other = await w.server.rpc({ limits: { unanswered: MOST } });
    await other.serve({ port: 700 }, (_, { signal }) =>
      streamed(
        (async function* () {
          await making.work(signal);
          yield 'late';
        })(),
        { length: 4 },
      ),
    );
    await resets(w, 60, i => [
      frame(i & 1 ? FrameKind.CANCEL : FrameKind.REQUEST, i >> 1, 1, i & 1 ? 0 : BODY),
    ]);
    assert.is(making.most, MOST);
    making.let(100);
    await pass(w);
    await other.close();
  }));

test('a burst server has as many requests at once as it said: those it was told are cancelled are gone, unless it holds them', () =>
  world({ carrier: 'tcp' }, async w => {
    for (const holds of [false, true]) {
      const callee = await w.server.rpc({ limits: { unanswered: MOST } });
      const burst = callee.burst;
      await burst.listen({ port: 700 });
      const kept = new Map<unknown, { letGo(): void }>();
      let begun = 0;
      let most = 0;
      const events: RpcEvent[] = [];
      const client = w.client.burst;
      const c = client.connect({ host: SERVER, port: 700 });
      for (let i = 0; i < 40; i++) {
        for (let k = 0; k < 4; k++) c.write(frame(FrameKind.REQUEST, 4 * i + k, 1, BODY));
        if (i > 0) for (let k = 0; k < 4; k++) c.write(frame(FrameKind.CANCEL, 4 * (i - 1) + k, 1, 0));
        client.flush();
        w.engine.advance(1_000_000n);
        const n = burst.poll(events);
        for (const e of events.slice(0, n)) {
          if (e.kind === 'request') {
            const request = e.keep(begun);
            // It was given up within the same poll.
            if (request.over) continue;
            if (holds) request.hold();
            kept.set(begun++, request);
          } else if (!holds) kept.delete(e.tag);
        }
        most = Math.max(most, kept.size);
        burst.flush();
        client.poll([]);
      }
      assert.ok(most <= MOST, `${most} at once`);
      assert.ok(holds ? begun === MOST : begun > 10 * MOST, `${begun} begun`);
      for (const each of kept.values()) each.letGo();
      if (holds) {
        w.engine.advance(1_000_000n);
        const n = burst.poll(events);
        const kinds = events.slice(0, n).map(e => e.kind);
        assert.ok(kinds.includes('request'), kinds.join());
      }
      c.abort();
      client.flush();
      await pass(w);
      await callee.close();
    }
  }));

test('a slot of Homa has one handler: the next request is read when that of the last one has returned', async () => {
  const nic = new HostNic({ name: 'eth', mac: parseMac('02:00:00:00:00:02'), queues: 1 });
  const engine = await Engine.create({
    ...{ nics: [nic], inline: true, clock: 'virtual', warmMs: 0, frames: 8192, seed: 1, lanes: 1 },
    streams: { count: 256, bytes: 16 << 20, apps: 8 },
  });
  const stack = await Stack.create({
    ...{ engine, messages: homa({ seed: 1 }) },
    ports: { eth: { addresses: [{ address: '10.0.0.2/24', dad: false }], announce: false } },
    neighbours: [{ port: 'eth', address: '10.0.0.1', mac: '02:00:00:00:00:01' }],
  });
  await engine.start();
  const rpc = await stack.rpc();
  const busy = new Busy();
  await rpc.serve({ port: 99 }, (_, { signal }) => busy.work(signal).then(() => 'late'));
  for (let i = 0; i < 40; i++) {
    const payload = new Uint8Array(1300).fill(i);
    const data = {
      ...{ type: 'DATA', sport: 0x8123, dport: 99, senderId: (BigInt(100 + i) << 25n) | (7n << 1n) },
      ...{ messageLength: 1300, incoming: 1300, offset: 0, ack: { clientId: 0n, serverPort: 0 } },
      ...{ cutoffVersion: 0, retransmit: false, payload },
    };
    nic.send(homaFrame(data as never, { src: '10.0.0.1', dst: '10.0.0.2' }));
    for (let k = 0; k < 2; k++) {
      while (engine.step() !== 0);
      await new Promise(next => setTimeout(next, 7));
      await new Promise(setImmediate);
    }
    nic.receive();
    // Its signal is told as soon as somebody asks for something else.
    if (i === 1) assert.is(busy.aborted, 1);
    if (i === 20) {
      assert.is(busy.begun, 1);
      busy.let(1);
    }
  }
  assert.is(busy.begun, 2);
  assert.is(busy.most, 1);
  busy.let(9);
  await stack.close();
  await engine.stop();
});

test('over datagrams a request too many is not executed, and its caller is told so', () =>
  world({ carrier: 'window', load: () => windowTransport() }, async w => {
    const busy = new Busy();
    const callee = await w.server.rpc({ limits: { unanswered: MOST } });
    await callee.serve({ port: 700 }, (_, { signal }) => busy.work(signal).then(() => 'late'));
    const socket = w.client.burst.bind({ port: 0, transport: 'window' });
    const to = socket.peer(SERVER, 700);
    const batch: Datagram[] = [];
    const codes: string[] = [];
    for (let i = 0; i < 60; i++) {
      socket.send(
        datagramFrame(i & 1 ? FrameKind.CANCEL : FrameKind.REQUEST, i >> 1, 1, i & 1 ? 0 : BODY),
        to,
      );
      await pass(w);
      const n = socket.receive(batch);
      for (const { data } of batch.slice(0, n)) {
        const bytes = Buffer.from(data);
        assert.is(bytes[2], FrameKind.ERROR);
        codes.push(bytes.subarray(POST_HEAD).toString().split('\n')[0]);
      }
    }
    assert.is(busy.most, MOST);
    assert.is(busy.aborted, MOST);
    // Of some the request and that it is given up came at once.
    assert.ok(codes.length > MOST && codes.length <= 30 - MOST, `${codes.length}`);
    assert.ok(codes.every(code => code === 'ERR_RPC_BUSY'));
    busy.let(100);
    await pass(w);
    socket.send(datagramFrame(FrameKind.REQUEST, 100, 1, BODY), to);
    await pass(w);
    assert.is(busy.begun, MOST + 1);
    busy.let(100);
    await pass(w);
    socket.close();
    await callee.close();
  }));
