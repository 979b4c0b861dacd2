/** What a server and a client of calls over TCP do not keep for ever: idle connections, slow frames, peers. */
import { Accounts } from '../../host/rpc/accounts.js';
import { LIMITS } from '../../host/rpc/carrier.js';
import type { RpcEvent } from '../../host/rpc/event.js';
import { FRAME_HEAD, FrameKind, writeHead } from '../../host/rpc/frame.js';
import { Outgoing } from '../../host/rpc/outgoing.js';
import { Link } from '../../host/rpc/tcp/link.js';
import { Sender } from '../../host/rpc/tcp/sender.js';
import { assert, suite } from '../support/suite.js';
import { SERVER, type World, world } from './rig.js';

const test = suite('rpc: limits over tcp');

/** A request of `n` bytes, as a frame. */
function request(n: number): Buffer {
  const out = Buffer.alloc(FRAME_HEAD + n, 1);
  writeHead(new DataView(out.buffer, out.byteOffset), 0, FrameKind.REQUEST, n, n, 0, 1, 1);
  return out;
}

/** Lets time pass, a server polled every 0.5 s, until its peer's connection has ended. Returns how long that took, s. */
async function lifeOf(
  w: World,
  each: (s: number, write: (bytes: Uint8Array) => void) => void,
): Promise<number> {
  const { engine } = w;
  const server = w.callee.burst;
  await server.listen({ port: 700 });
  const client = w.client.burst;
  const c = client.connect({ host: SERVER, port: 700 });
  const events: RpcEvent[] = [];
  for (let half = 0; half < 1000; half++) {
    each(half / 2, bytes => c.write(bytes));
    for (let i = 0; i < 10; i++) {
      client.poll([]);
      client.flush();
      const n = server.poll(events);
      for (let k = 0; k < n; k++) if (events[k].kind === 'request') events[k].reply(events[k].bytes);
      server.flush();
      engine.advance(50_000_000n);
    }
    if (c.closed || c.ended) {
      c.close();
      return half / 2;
    }
  }
  throw new Error('it lives still');
}

test('a connection without calls for long is ended, and not before', () =>
  world({ carrier: 'tcp' }, async w => {
    const s = await lifeOf(w, (at, write) => at === 100 && write(request(5)));
    assert.ok(s > 405 && s < 420, `${s} s`);
  }));

test('a frame that comes byte by byte ends the connection when it is not finished in 10 s', () =>
  world({ carrier: 'tcp' }, async w => {
    const bytes = request(500);
    const s = await lifeOf(w, (at, write) => at % 4 === 0 && write(bytes.subarray(at / 4, at / 4 + 1)));
    assert.ok(s > 8 && s < 20, `${s} s`);
  }));

test('a message whose next part does not come ends the connection, whatever else comes', () =>
  world({ carrier: 'tcp' }, async w => {
    const head = request(1000);
    const dv = new DataView(head.buffer, head.byteOffset);
    writeHead(dv, 0, FrameKind.REQUEST, 1000, 2000, 0, 7, 1);
    let call = 100;
    const s = await lifeOf(w, (at, write) => {
      if (at === 0) write(head);
      else if (at % 5 === 0) {
        const other = request(40);
        writeHead(new DataView(other.buffer, other.byteOffset), 0, FrameKind.REQUEST, 40, 40, 0, call++, 1);
        write(other);
      }
    });
    assert.ok(s > 55 && s < 75, `${s} s`);
  }));

test('who is promised room and sends nothing holds up no short requests, and long ones of others for a time', () =>
  world({ carrier: 'tcp' }, async w => {
    const { engine } = w;
    const callee = await w.server.rpc({ limits: { allUnansweredBytes: 4 << 20 } });
    const server = callee.burst;
    await server.listen({ port: 700 });
    const client = w.client.burst;
    // Two promise a megabyte each, and send one byte of it a second.
    const slow = [0, 1].map(() => client.connect({ host: SERVER, port: 700 }));
    const byte = (offset: number): Buffer => {
      const out = Buffer.alloc(FRAME_HEAD + 1, 1);
      const dv = new DataView(out.buffer, out.byteOffset);
      writeHead(dv, 0, FrameKind.REQUEST, 1, 1_000_000, offset, 0, 1);
      return out;
    };
    const other = await w.client.rpc({ carrier: 'tcp' });
    const callers = [w.caller.burst, other.burst];
    const [long, quick] = callers.map(burst => ({ burst, peer: burst.peer(SERVER, 700) }));
    const events: RpcEvent[] = [];
    let longAt = 0;
    let short = 0;
    for (let s = 0; s < 100 && longAt === 0; s++) {
      for (const c of slow) if (!c.closed && !c.ended) c.write(byte(s));
      if (s === 2) long.burst.begin(long.peer, Buffer.alloc(900_000), 'long');
      quick.burst.begin(quick.peer, Buffer.alloc(30), 'short');
      client.flush();
      for (let i = 0; i < 20; i++) {
        engine.advance(50_000_000n);
        const n = server.poll(events);
        for (const e of events.slice(0, n)) if (e.kind === 'request') e.reply(e.bytes.subarray(0, 1));
        server.flush();
        for (const burst of callers) {
          burst.flush();
          const m = burst.poll(events);
          for (const e of events.slice(0, m)) {
            assert.is(e.kind, 'response', e.code);
            if (e.tag === 'short') short++;
            else longAt = s;
          }
        }
        client.poll([]);
      }
      assert.is(short, s + 1);
    }
    assert.ok(longAt > 50 && longAt < 75, `${longAt} s`);
    for (const c of slow) c.abort();
    client.flush();
    await other.close();
    await callee.close();
  }));

test('what waits beside its bytes counts: of empty answers no more than a limit wait, and the dropped none', () => {
  const sender = new Sender();
  const one = (call: number): void => void sender.send(FrameKind.RESPONSE, call, 1, new Uint8Array(0), true);
  for (let call = 0; call < 1000; call++) one(call);
  assert.ok(sender.waiting >= 1000 * FRAME_HEAD, `${sender.waiting}`);
  const each = sender.waiting / 1000;
  for (let call = 0; call < 999; call++) sender.dropOf(call, 1);
  sender.dropOf(999, 2);
  assert.is(sender.waiting, each);
  assert.not.ok(sender.empty);
  sender.dropOf(999, 1);
  assert.is(sender.waiting, 0);
  assert.ok(sender.empty);
});

test('peers that were not asked for lately are forgotten, others stay', () =>
  world({ carrier: 'tcp' }, async w => {
    const burst = w.caller.burst;
    const often = burst.peer(SERVER, 700);
    for (let i = 1; i < 20_000; i++) {
      burst.peer(`10.1.${i >> 8}.${i & 255}`, 700);
      assert.is(burst.peer(SERVER, 700), often);
    }
    assert.ok(burst.endpoint.peers <= 4096, `${burst.endpoint.peers} peers`);
  }));

test('a streamed request whose source is slow: only bytes that wait for room are not taken', () => {
  let ended = '';
  const home = { nowMs: () => 0, pool: undefined };
  const carrier = {
    home,
    limits: LIMITS,
    accounts: new Accounts(LIMITS),
    list: { add() {} },
    ended: (_: Link, code: string) => (ended = code),
  };
  const u8 = new Uint8Array(64);
  const end = { app: { arena: { u8, dv: new DataView(u8.buffer) } }, readable: 0 };
  const connection = {
    ...{ data: undefined, end, connected: true, settled: false, writable: true, room: 100_000 },
    ...{ write: (b: Uint8Array) => b.length, wantRoom: () => false, abort() {}, close() {} },
  };
  const link = new Link(carrier as never, {} as never);
  link.calls = 1;
  link.opened(connection as never);
  const out = new Outgoing(2000);
  out.push(Buffer.alloc(1000));
  link.sender.send(FrameKind.REQUEST, 0, 1, out, true);
  assert.is(out.sent, 1000);
  for (let ms = 0; ms <= 200_000; ms += 50_000) link.tick(ms);
  assert.is(ended, '');
  connection.room = 0;
  out.push(Buffer.alloc(1000));
  link.sender.pump();
  link.tick(250_000);
  link.tick(300_000);
  assert.is(ended, '');
  link.tick(311_000);
  assert.is(ended, 'ETIMEDOUT');
});
