/** Frames of calls over a transport of datagrams, without one: what goes first, and what a place means that is used again. */
import { LIMITS } from '../../host/rpc/carrier.js';
import type { DatagramCalls, RpcDatagram, RpcDatagramSocket } from '../../host/rpc/datagrams/calls.js';
import { DatagramCarrier } from '../../host/rpc/datagrams/carrier.js';
import { POST_HEAD } from '../../host/rpc/datagrams/post.js';
import { Endpoint } from '../../host/rpc/endpoint.js';
import type { KeptRequest, RpcEvent } from '../../host/rpc/event.js';
import { FRAME_HEAD, FrameKind, newHead, readHead, writeHead } from '../../host/rpc/frame.js';
import { RpcPeer } from '../../host/rpc/peer.js';
import type { Correspondent } from '../../host/streams/datagram_end.js';
import { assert, suite } from '../support/suite.js';

const test = suite('rpc: places of calls over datagrams');
const MOST = 1400;
const KINDS = Object.fromEntries(Object.entries(FrameKind).map(([name, kind]) => [kind, name]));
const { words, port, family } = new RpcPeer('10.0.0.9', 700);
/** Whoever is called, and calls. */
const PEER: Correspondent = { family, port, w0: words[0], w1: words[1], w2: words[2], w3: words[3] };

/** A socket that sends while there is room, and receives what it is given. */
class FakeSocket implements RpcDatagramSocket {
  data: unknown;
  readonly port = 700;
  room = Number.POSITIVE_INFINITY;
  closed = false;
  /** What was sent: kind, place, turn, offset of each frame. */
  readonly sent: string[] = [];
  readonly come: Uint8Array[] = [];
  /** What comes lies in one memory, as it does in rings. */
  private readonly memory = new Uint8Array(65_536);
  private end = 0;
  /** The client's: what was sent last says it. */
  private epoch = 1;

  get readable(): boolean {
    return this.come.length > 0;
  }

  receive(batch: RpcDatagram[], max = 64): number {
    const n = Math.min(max, this.come.length);
    this.come.splice(0, n).forEach((bytes, i) => {
      this.memory.set(bytes, this.end);
      new DataView(this.memory.buffer).setUint32(this.end + FRAME_HEAD, this.epoch);
      const where = { at: this.end, first: bytes.length, length: bytes.length, again: 0 };
      batch[i] = { ...PEER, address: '10.0.0.9', memory: this.memory, ...where } as RpcDatagram;
      this.end += bytes.length;
    });
    return n;
  }

  send(bytes: Uint8Array, _to: Correspondent): boolean {
    if (this.room <= 0) return false;
    this.room--;
    const head = newHead();
    const dv = new DataView(bytes.buffer, bytes.byteOffset);
    assert.is(readHead(dv, 0, head), undefined);
    this.epoch = dv.getUint32(FRAME_HEAD);
    this.sent.push(
      `${KINDS[head.kind]} ${head.call}.${head.turn}${head.offset ? ` from ${head.offset}` : ''}`,
    );
    return true;
  }

  done(): void {}
  close(): void {
    this.closed = true;
  }
  nowError(): boolean {
    return false;
  }
  takeError(): undefined {}
  takeLost(): [] {
    return [];
  }
}

function frame(
  kind: FrameKind,
  call: number,
  turn: number,
  body: Uint8Array,
  length = body.length,
  offset = 0,
): Uint8Array {
  const bytes = new Uint8Array(POST_HEAD + body.length);
  writeHead(new DataView(bytes.buffer), 0, kind, body.length, length, offset, call, turn);
  bytes.set(body, POST_HEAD);
  return bytes;
}

/** An endpoint over such sockets, at a time that the test says. */
function rig(): {
  endpoint: Endpoint;
  carrier: DatagramCarrier;
  sockets: FakeSocket[];
  clock: { ms: number };
} {
  const sockets: FakeSocket[] = [];
  const clock = { ms: 0 };
  const calls: DatagramCalls = {
    name: 'fake',
    most: () => MOST,
    bind(_where, data) {
      const socket = new FakeSocket();
      socket.data = data;
      sockets.push(socket);
      return socket;
    },
  };
  const home = { news: () => 0, flush() {}, nowMs: () => clock.ms };
  const endpoint = new Endpoint(
    home,
    [(index, h) => new DatagramCarrier(index, h, calls, LIMITS)],
    undefined,
  );
  return { endpoint, carrier: endpoint.carriers[0] as DatagramCarrier, sockets, clock };
}

/** Gives frames to a socket, and returns what the next poll tells of. */
function told(
  { endpoint, carrier }: ReturnType<typeof rig>,
  socket: FakeSocket,
  ...frames: Uint8Array[]
): RpcEvent[] {
  socket.come.push(...frames);
  carrier.news(socket, false);
  const events: RpcEvent[] = [];
  return events.slice(0, endpoint.poll(events));
}

test('a call that is given up where there is no room: the server hears so before its place is used again', () => {
  const { endpoint, sockets, carrier } = rig();
  const peer = endpoint.peer('10.0.0.9', 700);
  const first = endpoint.begin(peer, Buffer.alloc(10), 'first');
  const [socket] = sockets;
  socket.room = 0;
  const other = endpoint.begin(peer, Buffer.alloc(10), 'other');
  assert.ok(endpoint.cancel(first));
  assert.ok(endpoint.begin(peer, Buffer.alloc(10), 'in its place') > 0);
  socket.room = 100;
  carrier.news(socket, false);
  assert.equal(socket.sent, ['REQUEST 0.1', 'CANCEL 0.1', 'REQUEST 1.1', 'REQUEST 0.2']);
  assert.ok(endpoint.cancel(other));
});

test('a request that waits and is given up is told to nobody, also one without bytes', () => {
  for (const size of [0, 10, 10_000]) {
    const { endpoint, sockets, carrier } = rig();
    const peer = endpoint.peer('10.0.0.9', 700);
    endpoint.begin(peer, Buffer.alloc(10), 'first');
    sockets[0].room = 0;
    assert.ok(endpoint.cancel(endpoint.begin(peer, Buffer.alloc(size), 'never')));
    sockets[0].room = 100;
    carrier.news(sockets[0], false);
    assert.equal(sockets[0].sent, ['REQUEST 0.1'], `${size} bytes`);
  }
});

test('a server takes the next request of a place as the end of the one before', async () => {
  const r = rig();
  await r.endpoint.listen({ port: 700 });
  const [socket] = r.sockets;
  const one = new Uint8Array([1]);
  let kept: KeptRequest[] = [];
  const [request] = told(r, socket, frame(FrameKind.REQUEST, 5, 1, one));
  kept.push(request.keep('old'));
  // Its cancellation is on the way behind the request, or was never sent.
  const events = told(
    r,
    socket,
    frame(FrameKind.REQUEST, 5, 2, one),
    frame(FrameKind.CANCEL, 5, 1, new Uint8Array(0)),
  );
  assert.equal(
    events.map(e => e.kind),
    ['request'],
  );
  kept = [...kept, events[0].keep('new')];
  assert.equal(
    told(r, socket).map(e => [e.kind, e.tag]),
    [['cancelled', 'old']],
  );
  assert.not(kept[0].reply(one));
  assert.ok(kept[1].reply(one));
  // One that comes twice, or late, is none.
  const late = [
    frame(FrameKind.REQUEST, 5, 3, one),
    frame(FrameKind.REQUEST, 5, 2, one),
    frame(FrameKind.REQUEST, 5, 3, one),
  ];
  assert.is(told(r, socket, ...late).length, 1);
  assert.equal(socket.sent, ['RESPONSE 5.2']);
});

test('an answer in parts that waits is dropped with its request, and does not end the next one', async () => {
  const r = rig();
  await r.endpoint.listen({ port: 700 });
  const [socket] = r.sockets;
  const one = new Uint8Array([1]);
  const [old] = told(r, socket, frame(FrameKind.REQUEST, 5, 1, one));
  socket.room = 1;
  assert.ok(old.reply(new Uint8Array(3 * MOST)));
  const [next] = told(
    r,
    socket,
    frame(FrameKind.CANCEL, 5, 1, new Uint8Array(0)),
    frame(FrameKind.REQUEST, 5, 2, one),
  );
  assert.ok(next.reply(one));
  socket.room = 100;
  r.carrier.news(socket, false);
  assert.equal(socket.sent, ['RESPONSE 5.1', 'RESPONSE 5.2']);
});

test('a part of a call that was given up does not end the message of the next one', () => {
  const r = rig();
  const peer = r.endpoint.peer('10.0.0.9', 700);
  const call = r.endpoint.begin(peer, Buffer.alloc(1), 'old');
  const [socket] = r.sockets;
  r.endpoint.cancel(call);
  r.endpoint.begin(peer, Buffer.alloc(1), 'new');
  const piece = (turn: number, offset: number): Uint8Array =>
    frame(FrameKind.RESPONSE, 0, turn, new Uint8Array(100).fill(turn), 200, offset);
  assert.is(told(r, socket, piece(2, 0), piece(1, 0), piece(1, 100)).length, 0);
  const [response] = told(r, socket, piece(2, 100));
  assert.equal([response.kind, response.tag], ['response', 'new']);
  assert.ok(response.bytes.every(b => b === 2));
});

test('a call is given up after a long rest: the others are not', () => {
  const { endpoint, clock, sockets } = rig();
  const peer = endpoint.peer('10.0.0.9', 700);
  endpoint.cancel(endpoint.begin(peer, Buffer.alloc(1), 'before'));
  clock.ms = 200_000;
  endpoint.begin(peer, Buffer.alloc(1), 'other');
  endpoint.cancel(endpoint.begin(peer, Buffer.alloc(1), 'given up'));
  const events: RpcEvent[] = [];
  assert.is(endpoint.poll(events), 0);
  assert.is(sockets.length, 1);
  // Whose patience is over is the end of the others.
  clock.ms += 59_000;
  endpoint.begin(peer, Buffer.alloc(1), 'late');
  assert.is(endpoint.poll(events), 0);
  clock.ms += 1000;
  assert.is(endpoint.poll(events), 2);
  assert.equal(events.map(e => [e.tag, e.code]).sort(), [
    ['late', 'ETIMEDOUT'],
    ['other', 'ETIMEDOUT'],
  ]);
  endpoint.poll(events);
  assert.ok(sockets[0].closed);
});

test('calls with short deadlines to a silent server: the next ones try another socket, and no other call ends', () => {
  const { endpoint, clock, sockets } = rig();
  const peer = endpoint.peer('10.0.0.9', 700);
  const events: RpcEvent[] = [];
  const failed: unknown[] = [];
  const poll = (): void => {
    const n = endpoint.poll(events);
    for (let i = 0; i < n; i++) failed.push(events[i].tag);
  };
  for (let i = 0; i < 6; i++) {
    endpoint.begin(peer, Buffer.alloc(1), i, 5000);
    if (i === 5) endpoint.begin(peer, Buffer.alloc(1), 'patient');
    clock.ms += 5000;
    poll();
    // Rest between calls is no silence.
    clock.ms += 100_000 * +(i < 5);
  }
  assert.equal(failed, [0, 1, 2, 3, 4, 5]);
  endpoint.begin(peer, Buffer.alloc(1), 'anew');
  assert.is(sockets.length, 2);
  assert.not(sockets[0].closed);
  clock.ms += 55_000;
  poll();
  assert.equal(failed.slice(6), ['patient']);
  poll();
  assert.ok(sockets[0].closed && !sockets[1].closed);
});

test('a socket towards a server that is not called is closed', () => {
  const { endpoint, clock, sockets } = rig();
  const events: RpcEvent[] = [];
  endpoint.cancel(endpoint.begin(endpoint.peer('10.0.0.9', 700), Buffer.alloc(1), 0));
  endpoint.poll(events);
  clock.ms = LIMITS.idleMs - 1000;
  endpoint.poll(events);
  assert.not(sockets[0].closed);
  assert.ok(endpoint.nextMs <= LIMITS.idleMs + 200, `${endpoint.nextMs}`);
  clock.ms = LIMITS.idleMs + 200;
  endpoint.poll(events);
  assert.ok(sockets[0].closed);
  assert.is(endpoint.nextMs, Number.POSITIVE_INFINITY);
});
