/** What is granted and has not come is bounded for all messages together; whoever finds nothing left of it is served later. */
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { type Forged, forged } from './forged.js';
import { type Hosts, underSwitch } from './hosts.js';

const test = suite('homa: incoming');
const LONG = { timeoutMs: 300_000 };
const PHASE_IN = 2;
/** One that waited in vain is granted a packet whatever others have: ONE_PACKET of incoming.h. */
const FLOOR = 1500;

/** Bytes that the first host granted and that have not come, of all messages together; `unasked` of each are not counted. */
function granted({ stations: [{ server, view }] }: Hosts, unasked: number): number {
  let sum = 0;
  for (const id of server.slots.keys()) {
    const { phase, granted: to, received, ahead } = view.info(id);
    if (phase === PHASE_IN) sum += Math.max(0, to - Math.max(received + ahead, unasked));
  }
  return sum;
}

for (const [what, homa] of [
  ['by parts', {}],
  ['of a fixed window', { window: 100_000 }],
  ['and much for the oldest', { fifoGrant: 500 }],
] as const)
  test(
    `messages that are granted ${what} have no more under way than maxIncoming`,
    () =>
      underSwitch({ hostsPerRack: 9, homa: { unscheduled: 1000, maxIncoming: 100_000, ...homa } }, h => {
        // Short enough to be granted to their ends at once, one after the other.
        for (let i = 0; i < 48; i++) h.call(1 + (i % 8), 0, pattern(i % 3 ? 9000 : 60_000, i));
        let most = 0;
        h.run(
          () => h.calls.every(c => c.endedNs !== undefined),
          1000,
          () => {
            most = Math.max(most, granted(h, 1000));
          },
        );
        assert.ok(h.calls.every(c => c.endedNs !== undefined && !c.slot.failed));
        assert.ok(most <= 100_000 + FLOOR, `${most} B`);
        assert.ok(most > 50_000, `${most} B`);
      }),
    LONG,
  );

const UNASKED = 40_000;
const sum = (f: Forged) => f.word('homa_receivers', 0, 'incoming');

/** The first packet of a message of which so much comes unasked. */
function begin(f: Forged, peer: number, bytes: number, incoming: number): void {
  const head = { messageLength: bytes, incoming, offset: 0 };
  f.put(f.data(5n, peer, new Uint8Array(1400), head), { src: `10.0.0.${10 + peer}` });
  f.step();
}

/** Sends of a message what it is granted, for so long; bytes that were sent. */
function send(
  f: Forged,
  peer: number,
  bytes: number,
  ms: number,
  each = (_ms: number): unknown => 0,
): number {
  const src = `10.0.0.${10 + peer}`;
  let granted = UNASKED;
  let sent = 0;
  for (let t = 0; t < ms && sent < bytes; t++) {
    each(t);
    while (sent < granted) {
      const payload = new Uint8Array(Math.min(1400, granted - sent));
      f.put(f.data(5n, peer, payload, { messageLength: bytes, incoming: UNASKED, offset: sent }), { src });
      sent += payload.length;
      f.step();
    }
    f.pass(1);
    for (const { packet, to } of f.out.splice(0))
      if (packet.type === 'GRANT' && to === src) granted = Math.max(granted, packet.offset);
  }
  return sent;
}

test('what silent senders said would come is not counted for long: others are granted', () =>
  forged(
    { homa: { window: 20_000, maxIncoming: 100_000, unscheduled: 500_000 }, answer: () => new Uint8Array(8) },
    f => {
      for (const peer of [1, 2, 3]) begin(f, peer, 500_000, 500_000);
      assert.ok(sum(f).get() >= 1_400_000, String(sum(f).get()));
      // As ever when the silence was noticed.
      assert.is(send(f, 4, 300_000, 60), 300_000);
      assert.is(sum(f).get(), 0);
    },
  ));

test('who claims that all of a message comes unasked is believed what we would send so', () =>
  forged({ answer: () => new Uint8Array(8) }, f => {
    const claims = (turn: number) => {
      const head = { messageLength: 1_000_000, incoming: 1_000_000, offset: 0 };
      f.put(f.data(5n, 100 + turn, new Uint8Array(1), head), { src: '10.0.0.60' });
    };
    // The first one is granted its window; the second has to wait for it.
    claims(0);
    f.step();
    const before = sum(f).get();
    claims(2);
    f.step();
    assert.is(sum(f).get() - before, UNASKED - 1);
    // One of them every other millisecond, each counted for 5 to 10: what is left is enough.
    assert.is(
      send(f, 4, 300_000, 100, t => t % 2 === 0 && claims(4 + t)),
      300_000,
    );
  }));

test('a message of which more comes unasked than we would send is taken, and asked for where it has gaps', () =>
  forged({ homa: { unscheduled: 5600 }, answer: () => new Uint8Array(8) }, f => {
    const total = 28_000;
    const part = (offset: number) =>
      f.put(f.data(5n, 1, new Uint8Array(1400), { messageLength: total, incoming: total, offset }));
    for (let at = 0; at < total; at += 1400) if (at !== 14_000) part(at);
    f.step();
    assert.is(f.server.requests.length, 0);
    for (let t = 0; t < 60 && f.server.requests.length === 0; t++) {
      f.pass(1);
      for (const { packet: p } of f.out.splice(0))
        if (p.type === 'RESEND') {
          assert.equal([p.offset, p.length], [14_000, 1400]);
          part(14_000);
        }
    }
    assert.is(f.server.requests.length, 1);
    assert.is(sum(f).get(), 0);
  }));

test('as long as others claim all of it, a message is granted a packet at a time', () =>
  forged({ homa: { maxIncoming: 100_000, unscheduled: 500_000 }, answer: () => new Uint8Array(8) }, f => {
    const claims = (turn: number) => begin(f, 5 + turn, 500_000, 500_000);
    const sent = send(f, 4, 300_000, 100, t => t % 3 === 0 && claims(t / 3));
    assert.ok(sent >= UNASKED + 5 * 1500, String(sent));
    assert.ok(sent < 100_000, String(sent));
  }));

test('calls that end in any way leave nothing of them in the sum', () =>
  forged({ answer: () => new Uint8Array(8) }, f => {
    for (const peer of [1, 2, 3, 4]) begin(f, peer, 300_000, UNASKED);
    assert.ok(sum(f).get() > 4 * 38_600, String(sum(f).get()));
    // One is given up by its client, one begun anew, one ended by its application; all others time out.
    f.put(f.control('RPC_UNKNOWN', 5n, 1), { src: '10.0.0.11' });
    f.put(f.data(6n, 2, 'short'), { src: '10.0.0.12' });
    f.step();
    f.server.slots.get(f.served[0])?.end.request(8 /* ABORT */);
    f.step();
    f.pass(3000);
    assert.is(sum(f).get(), 0);
    assert.equal(f.served, []);
  }));

test('a sum that a lane was changing when it died is made whole', () =>
  forged({ answer: () => new Uint8Array(8) }, f => {
    begin(f, 1, 300_000, UNASKED);
    begin(f, 2, 300_000, UNASKED);
    const before = sum(f).get();
    const [id] = f.served;
    const part = f.word('homa_rpcs', id, 'in_counted').get();
    // The slot's part was written, and its sum not.
    f.word('homa_receivers', 0, 'others').set(before - part);
    f.word('homa_receivers', 0, 'moving').set(id);
    f.word('homa_rpcs', id, 'in_counted').set(part - 1000);
    sum(f).set(77);
    f.pass(2500);
    assert.is(sum(f).get(), 0);
    assert.is(f.word('homa_receivers', 0, 'moving').get(), 0);
  }));
