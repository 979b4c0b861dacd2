/** Whom a carrier over datagrams has to do with: clients that come back to a port, that go, that are no more. */
import type { Datagram } from '../../host/net/burst/datagram.js';
import type { DatagramSocket } from '../../host/net/burst/datagram_socket.js';
import { POST_HEAD } from '../../host/rpc/datagrams/post.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { FrameKind } from '../../host/rpc/frame.js';
import { assert, suite } from '../support/suite.js';
import { datagramFrame } from './datagrams.js';
import { pattern, SERVER, type World, world } from './rig.js';

const test = suite('rpc: correspondents over datagrams');
const carrier = 'window';
const to = { address: SERVER, port: 700 };

/** Lets virtual time pass, and everybody look. */
async function pass({ engine, client }: World, ms = 20, step = 5): Promise<void> {
  for (let i = 0; i < ms; i += step) {
    client.burst.poll([]);
    client.burst.flush();
    engine.run({ untilNs: engine.now() + BigInt(step) * 1_000_000n });
    // A server that waits for nobody looks every 5 ms of real time.
    await new Promise(next => setTimeout(next, 7));
  }
}

/** The answers that came to a socket made by hand. */
function answers(socket: DatagramSocket): string[] {
  const batch: Datagram[] = [];
  const n = socket.receive(batch);
  return batch.slice(0, n).map(({ data }) => `${data[2]} ${Buffer.from(data).subarray(POST_HEAD)}`);
}

/** A socket at one port, as soon as the port is free. */
async function bindAt(w: World, port: number): Promise<DatagramSocket> {
  for (let i = 0; ; i++)
    try {
      return w.client.burst.bind({ port, transport: carrier });
    } catch (error) {
      if (i > 100) throw error;
      await pass(w, 100);
    }
}

test('a client at the port of one that is no more has calls of its own, of the same places and turns', () =>
  world({ carrier, shared: true }, async w => {
    const signals: AbortSignal[] = [];
    const ends: (() => void)[] = [];
    await w.callee.serve({ port: 700 }, async (request, { signal }) => {
      signals.push(signal);
      if (String(request) !== 'new') await new Promise<void>(end => ends.push(end));
      return `to ${request}`;
    });
    const old = await bindAt(w, 9000);
    for (const [call, turn] of [
      [0, 1],
      [1, 5],
    ])
      old.send(datagramFrame(FrameKind.REQUEST, call, turn, 'old', { epoch: 1 }), old.peer(SERVER, 700));
    await pass(w);
    assert.is(signals.length, 2);
    old.close();
    const next = await bindAt(w, 9000);
    const peer = next.peer(SERVER, 700);
    // The same call of the place, and one that would be an older one.
    for (const call of [0, 1])
      next.send(datagramFrame(FrameKind.REQUEST, call, 1, 'new', { epoch: 2 }), peer);
    await pass(w);
    assert.equal(
      signals.map(({ aborted }) => aborted),
      [true, true, false, false],
    );
    for (const end of ends) end();
    await pass(w);
    assert.equal(answers(next), ['2 to new', '2 to new']);
    next.close();
  }));

/** What a client's bursts have: nobody's turns but `step`, so that virtual time passes as is said. */
function stepped({ engine, caller }: World) {
  const client = caller.burst;
  const events: RpcEvent[] = [];
  return {
    client,
    peer: client.peer(to.address, to.port),
    /** Returns what was answered. */
    step(ms = 1): string[] {
      client.flush();
      engine.run({ untilNs: engine.now() + BigInt(ms) * 1_000_000n });
      const n = client.poll(events);
      return events.slice(0, n).map(e => `${e.tag} ${e.kind} ${e.kind === 'response' ? e.take() : e.code}`);
    },
  };
}

test('a client takes no answer of another epoch than its own', () =>
  world({ carrier, shared: true }, async w => {
    const server = w.server.burst.bind({ port: 700, transport: carrier });
    const { client, peer, step } = stepped(w);
    client.begin(peer, Buffer.from('x'), 1);
    const batch: Datagram[] = [];
    for (let i = 0; i < 100 && server.receive(batch) === 0; i++) {
      w.server.burst.poll([]);
      step();
    }
    const answer = Buffer.from(batch[0].data);
    answer[2] = FrameKind.RESPONSE;
    const other = Buffer.from(answer);
    other[POST_HEAD - 1] ^= 1;
    other[POST_HEAD] = 0x79;
    for (const bytes of [other, answer]) server.send(bytes, { ...batch[0] });
    w.server.burst.flush();
    const heard: string[] = [];
    for (let i = 0; i < 10; i++) heard.push(...step());
    assert.equal(heard, ['1 response x']);
    server.close();
  }));

test('the requests of a client that is no more are given up: those that wait for long, and those that are answered', () =>
  world({ carrier, shared: true }, async w => {
    const signals: AbortSignal[] = [];
    const ends: (() => void)[] = [];
    await w.callee.serve({ port: 700 }, async (request, { signal }) => {
      signals.push(signal);
      await new Promise<void>(end => ends.push(end));
      return request;
    });
    const [dead, alive] = [await bindAt(w, 9000), await bindAt(w, 9001)];
    for (const socket of [dead, alive])
      for (const call of [0, 1])
        socket.send(datagramFrame(FrameKind.REQUEST, call, 1, 'x', { epoch: 1 }), socket.peer(SERVER, 700));
    await pass(w);
    assert.is(signals.length, 4);
    dead.close();
    const aborted = (): boolean[] => signals.map(signal => signal.aborted);
    for (let i = 0; i < 120 && !signals[0].aborted; i++) await pass(w, 250, 250);
    assert.equal(aborted(), [true, true, false, false]);
    // Who lives is asked, and keeps what it waits for.
    for (const end of ends) end();
    const came: string[] = [];
    for (let i = 0; i < 20 && came.length < 2; i++) {
      await pass(w);
      came.push(...answers(alive).filter(answer => answer !== '4 '));
    }
    assert.equal(came, ['2 x', '2 x']);
    alive.close();
  }));

test('a client that is closed while its server takes nothing tells it of what it gave up when it does', () =>
  world({ carrier, shared: true }, async w => {
    const server = w.callee.burst;
    await server.listen({ port: 700, carriers: [carrier] });
    const events: RpcEvent[] = [];
    const kept: unknown[] = [];
    const cancelled: unknown[] = [];
    const polled = (): void => {
      const n = server.poll(events);
      for (const e of events.slice(0, n))
        if (e.kind === 'request' && e.length < 10) {
          e.keep(kept.length);
          kept.push(kept.length);
        } else if (e.kind === 'cancelled') cancelled.push(e.tag);
    };
    const { client, peer, step } = stepped(w);
    // More than there is room for in what a frame of the long ones leaves.
    const many = 40;
    for (let i = 0; i < many; i++) client.begin(peer, Buffer.from('x'), i);
    for (let i = 0; i < 100 && kept.length < many; i++) {
      step();
      polled();
    }
    // More than all rings have room for, which nobody reads now.
    for (let i = 0; i < 4; i++) client.begin(peer, pattern(900_000, i), i);
    for (let i = 0; i < 100; i++) step();
    const closed = w.caller.close();
    // From now on it does: virtual time passes in the turns of who closes, too.
    for (let i = 0; i < 1000 && cancelled.length < many; i++) {
      polled();
      server.flush();
      w.engine.run({ untilNs: w.engine.now() + 1_000_000n });
      await new Promise(setImmediate);
    }
    await closed;
    assert.is(cancelled.length, many);
  }));

test('a server is closed as soon as what was answered is sent, and not a second later', () =>
  world({ carrier, shared: true }, async ({ engine, caller, callee }) => {
    let left = 4;
    const answered = new Promise<void>(all => {
      void callee.serve({ port: 700 }, () => {
        if (--left === 0) setImmediate(all);
        return pattern(1_000_000, 1);
      });
    });
    const calls = [0, 1, 2, 3].map(() => caller.call(to, 'x', { deadline: 20_000 }));
    await answered;
    let closedNs = 0n;
    const closing = callee.close().then(() => {
      closedNs = engine.now();
    });
    await Promise.all(calls);
    const sentNs = engine.now();
    await closing;
    assert.ok(closedNs < sentNs + 500_000_000n, `${closedNs - sentNs} ns`);
  }));
