/** Frames over TCP, sender and receiver by themselves: what is passed over, and in which order frames leave. */
import { FRAME_HEAD, FrameKind, writeHead } from '../../host/rpc/frame.js';
import { Outgoing } from '../../host/rpc/outgoing.js';
import { PartPool } from '../../host/rpc/parts.js';
import type { RpcConnection } from '../../host/rpc/tcp/connection.js';
import { Found, MOST_PARTS, Receiver } from '../../host/rpc/tcp/receiver.js';
import { Sender } from '../../host/rpc/tcp/sender.js';
import { assert, suite } from '../support/suite.js';
import { CARRIERS } from './carriers.js';
import { codeOf, SERVER, world } from './rig.js';
import { Ring } from './ring.js';

const test = suite('rpc: frames over tcp');

/** `n` frames in the midst of messages that nobody has begun. */
function unwanted(n: number, bytes: number): Uint8Array {
  const all = new Uint8Array(n * (FRAME_HEAD + bytes));
  const dv = new DataView(all.buffer);
  for (let i = 0; i < n; i++)
    writeHead(dv, i * (FRAME_HEAD + bytes), FrameKind.RESPONSE, bytes, 1_000_000, 300_000, i, 1);
  return all;
}

function receiverOf(ring: Ring): Receiver {
  return new Receiver(ring, ring.u8, new DataView(ring.u8.buffer), new PartPool());
}

test('frames that nobody wants are given back although nothing else is found', () => {
  const input = unwanted(20, 3000);
  const ring = new Ring(input, 8192, 0);
  const receiver = receiverOf(ring);
  while (ring.come(8192)) assert.is(receiver.next(), Found.NOTHING);
  assert.is(ring.end, input.length);
  assert.is(ring.readable, 0);
});

test('what lies in the ring stays there until it is given back, whatever is passed over behind it', () => {
  const whole = new Uint8Array(FRAME_HEAD + 5).fill(7);
  writeHead(new DataView(whole.buffer), 0, FrameKind.RESPONSE, 5, 5, 0, 1, 1);
  const ring = new Ring(Buffer.concat([whole, unwanted(3, 100)]), 8192, 0);
  ring.come(8192);
  const receiver = receiverOf(ring);
  assert.is(receiver.next(), Found.WHOLE);
  const all = ring.readable;
  assert.is(receiver.next(), Found.NOTHING);
  assert.is(ring.readable, all);
  receiver.done();
  assert.is(ring.readable, 0);
});

test('a ring full of short frames that nobody wants is passed over', () => {
  const input = unwanted(160_000, 1);
  const ring = new Ring(input, 1 << 22, 0);
  ring.come(1 << 22);
  assert.is(receiverOf(ring).next(), Found.NOTHING);
  assert.is(ring.readable, 0);
});

/** A connection into memory, with room for as much as a test says. */
function line(bytes: number): { connection: RpcConnection; written: () => Uint8Array; room: number } {
  const u8 = new Uint8Array(bytes);
  let at = 0;
  const its = { room: 0, written: () => u8.subarray(0, at), connection: undefined as unknown };
  its.connection = {
    settled: false,
    writable: false,
    get room() {
      return its.room;
    },
    write(piece: Uint8Array) {
      u8.set(piece, at);
      at += piece.length;
      its.room -= piece.length;
      return piece.length;
    },
    wantRoom: () => false,
    end: { app: { arena: { u8, dv: new DataView(u8.buffer) } } },
  };
  return its as ReturnType<typeof line>;
}

const begin = (sender: Sender, call: number, bytes: number): Outgoing | undefined =>
  sender.send(FrameKind.REQUEST, call, 1, new Uint8Array(bytes), true);

/** What a receiver makes of it: `kind call` of what is whole. @throws what is wrong with it */
function heard(bytes: Uint8Array): string[] {
  const ring = new Ring(bytes, 1 << 23, 0);
  ring.come(1 << 23);
  const receiver = receiverOf(ring);
  const out: string[] = [];
  for (;;) {
    const found = receiver.next();
    if (found === Found.NOTHING) return out;
    if (found === Found.BAD) throw new Error(receiver.wrong);
    const { kind, call, turn } = receiver.head;
    if (kind === FrameKind.CANCEL) receiver.forget(call, turn);
    if (found === Found.WHOLE) out.push(`${kind} ${call}`);
  }
}

test('long requests that are given up in waves are never more at a time than a peer takes', () => {
  const wire = line(8_000_000);
  const sender = new Sender();
  sender.opened(wire.connection);
  // Of sources that are slow: of others the next one is begun when the one before it was sent.
  const outs = Array.from({ length: 40 }, (_, i) => {
    const out = new Outgoing(100_000);
    out.push(new Uint8Array(1024));
    return sender.send(FrameKind.REQUEST, i, 1, out, true)!;
  });
  let cancelled = 0;
  for (let wave = 0; wave < 4; wave++) {
    wire.room = 0;
    for (let i = 0; i < MOST_PARTS / 2; i++) {
      wire.room += FRAME_HEAD + 1024;
      sender.pump();
    }
    for (const out of outs) {
      if (out.dropped || out.sent === 0 || out.whole) continue;
      sender.cancel(out.call, 1);
      cancelled++;
    }
  }
  wire.room = 8_000_000;
  for (const out of outs) if (!out.dropped) out.push(new Uint8Array(100_000 - 1024));
  sender.pump();
  assert.ok(cancelled > MOST_PARTS, `${cancelled} given up`);
  const told = heard(wire.written());
  assert.is(told.filter(t => t.startsWith('4')).length, cancelled);
  assert.is(told.filter(t => t.startsWith('1')).length, 40 - cancelled);
  assert.ok(sender.empty);
  assert.is(sender.waiting, 0);
});

test('a cancellation overtakes no request of its place, and one that waits leaves nothing', () => {
  const wire = line(300_000);
  const sender = new Sender();
  sender.opened(wire.connection);
  wire.room = FRAME_HEAD + 1024;
  begin(sender, 1, 100_000);
  for (const [call, bytes] of [
    [2, 0],
    [3, 10],
    [4, 2000],
  ])
    begin(sender, call, bytes);
  for (const call of [2, 3]) sender.cancel(call, 1);
  sender.cancel(1, 1);
  // The place is another call's at once.
  sender.send(FrameKind.REQUEST, 1, 2, new Uint8Array(3), true);
  wire.room = 250_000;
  sender.pump();
  assert.equal(heard(wire.written()), ['4 1', '1 4', '1 1']);
});

for (const { name: carrier, alone } of CARRIERS)
  suite(`rpc: late answers over ${carrier}`)('long responses that come too late hold up no later call', () =>
    world({ carrier, ...alone, link: { rate: 1e9, delayNs: 1_000_000 } }, async ({ caller, callee }) => {
      await callee.serve({ port: 700 }, r => (String(r) === 'long' ? Buffer.alloc(1_000_000) : r));
      const to = { address: SERVER, port: 700 };
      for (const deadline of [7, 9, 11, 13, 17, 21]) {
        const late = Array.from({ length: 8 }, () => codeOf(caller.call(to, 'long', { deadline })));
        await Promise.all(late);
        assert.is(await codeOf(caller.call(to, 'next', { deadline: 2000 })), 'none', `after ${deadline} ms`);
      }
    }),
  );
