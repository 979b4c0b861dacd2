/** Grants among strangers: nobody waits for ever, and no more is granted than may come. */
import { parseIp } from '../../host/wire/address.js';
import { assert, suite } from '../support/suite.js';
import { type Forged, forged } from './forged.js';

const test = suite('homa: grants');
const UNASKED = 40_000;
const PART = 1400;

/** A message of a peer of its own, sent as it is granted. */
class Sender {
  sent = 0;
  granted: number;
  readonly src: string;

  constructor(
    readonly f: Forged,
    readonly peer: number,
    readonly bytes: number,
    readonly unasked = Math.min(UNASKED, bytes),
  ) {
    this.granted = this.unasked;
    this.src = `10.0.0.${10 + peer}`;
  }

  hears(): void {
    for (const { packet, to } of this.f.out)
      if (packet.type === 'GRANT' && to === this.src) this.granted = Math.max(this.granted, packet.offset);
  }

  /** Sends what it may, up to `most` bytes of it all. */
  send(most = this.bytes): void {
    while (this.sent < Math.min(this.granted, most)) {
      const payload = new Uint8Array(Math.min(PART, this.granted - this.sent));
      const head = { messageLength: this.bytes, incoming: this.unasked, offset: this.sent };
      this.f.put(this.f.data(5n, this.peer, payload, head), { src: this.src });
      this.sent += payload.length;
      this.f.pass(0.001);
      this.hears();
    }
  }
}

/** These send what they are granted, until all is sent or nothing comes of it; `all` hear. */
function exchange(f: Forged, senders: Sender[], rounds: number, all = senders): void {
  for (let n = 0; n < rounds && senders.some(s => s.sent < s.bytes); n++) {
    for (const s of senders) s.send();
    for (const s of senders) if (s.sent < s.bytes) f.put(f.ask(5n, s.peer), { src: s.src });
    f.pass(1);
    for (const s of all) s.hears();
    f.out.length = 0;
  }
}

test('a message that waits behind one that was granted as the oldest has its turn', () =>
  forged({ homa: { window: 5000, overcommit: 1, fifoGrant: 500 }, answer: () => new Uint8Array(8) }, f => {
    const first = new Sender(f, 0, 85_000);
    exchange(f, [first], 50);
    assert.is(first.sent, first.bytes);
    const three = [new Sender(f, 1, 60_000), new Sender(f, 2, 70_000), new Sender(f, 3, 90_000)];
    for (const s of three) s.send(UNASKED);
    for (const s of three) exchange(f, [s], 50, three);
    exchange(f, three, 50);
    assert.equal(
      three.map(s => s.sent),
      three.map(s => s.bytes),
    );
    f.pass(1);
    assert.is(f.server.requests.length, 4);
  }));

test('who waits behind one that was granted to its end as the oldest is active at once', () =>
  forged(
    {
      homa: { overcommit: 1, window: 5000, maxIncoming: 2 ** 30, fifoGrant: 500, fifoGrantStep: 1_000_000 },
      answer: () => new Uint8Array(8),
    },
    f => {
      const first = new Sender(f, 0, 200_000);
      const [oldest, next] = [new Sender(f, 1, 300_000), new Sender(f, 2, 400_000)];
      first.send(10_000);
      for (const s of [oldest, next]) s.send(UNASKED);
      f.word('homa_receivers', 0, 'fewest').set(0);
      const begun = f.engine.now();
      first.send();
      for (const s of [oldest, next]) s.hears();
      assert.is(first.sent, first.bytes);
      assert.is(oldest.granted, oldest.bytes);
      // Not by the clock of its slot, which looks for free places every 5 ms.
      assert.ok(f.engine.now() - begun < 1_000_000n);
      assert.ok(next.granted > UNASKED, String(next.granted));
    },
  ));

test('a place that a slot lost with its lane is its peer’s again', () =>
  forged({ answer: () => new Uint8Array(8) }, f => {
    const word = new DataView(Uint8Array.from(parseIp('10.0.0.20')).buffer).getUint32(0, true);
    const { dv, at } = f.bytes('homa_receivers', 'active');
    // As a lane leaves it that dies in homa_ungrant: a place of a slot that wants none.
    dv.setUint32(at, 63, true);
    dv.setUint32(at + 4, (Math.imul(word, 0x9e3779b1) | 1) >>> 0, true);
    dv.setUint32(at + 8, 1, true);
    f.word('homa_receivers', 0, 'count').set(1);
    const s = new Sender(f, 10, 100_000);
    exchange(f, [s], 50);
    assert.is(s.sent, s.bytes);
    assert.is(f.word('homa_receivers', 0, 'count').get(), 0);
  }));

/** One is granted to, these wait behind it, and half of what is granted is the oldest's. */
const waiting = (f: Forged, bytes: number[]): { first: Sender; others: Sender[] } => {
  const first = new Sender(f, 0, 150_000);
  first.send(10_000);
  const others = bytes.map((n, i) => new Sender(f, 1 + i, n));
  for (const s of others) s.send(UNASKED);
  return { first, others };
};
const OLDEST = { overcommit: 1, window: 5000, maxIncoming: 2 ** 30, fifoGrant: 500, fifoGrantStep: 20_000 };

test('the oldest has its share when there is no memory for objects', () =>
  forged({ homa: OLDEST, answer: () => new Uint8Array(8), objectBytes: 512 }, f => {
    const { first, others } = waiting(
      f,
      Array.from({ length: 8 }, () => 300_000),
    );
    first.send();
    assert.is(first.sent, first.bytes);
    assert.ok((f.counters.FifoGrants ?? 0) > 0);
    for (const s of others) s.hears();
    assert.ok(others[0].granted > UNASKED, String(others[0].granted));
  }));

test('one that a lane left in the trees when it died takes nobody’s turn as the oldest', () =>
  forged({ homa: OLDEST, answer: () => new Uint8Array(8) }, f => {
    const { first, others } = waiting(f, [300_000, 300_000]);
    const [, lost] = f.served;
    // Its slot knows nothing of it, nor that it waits.
    const { dv, at } = f.bytes('homa_places', 'grant', lost);
    dv.setBigUint64(at, 0n, true);
    const granting = f.bytes('homa_rpcs', 'granting', lost);
    assert.is(dv.getUint8(granting.at), 2);
    dv.setUint8(granting.at, 0);
    first.send(100_000);
    for (const s of others) s.hears();
    assert.is(others[0].granted, UNASKED);
    assert.ok(others[1].granted > UNASKED, String(others[1].granted));
    exchange(f, [first, ...others], 100);
    assert.equal(
      [first, ...others].map(s => s.sent),
      [150_000, 300_000, 300_000],
    );
  }));

test('of those that wait the one with the fewest bytes left is next, by what came while it waited', () =>
  forged({ homa: { overcommit: 1, window: 5000, fifoGrant: 0 }, answer: () => new Uint8Array(8) }, f => {
    const first = new Sender(f, 0, 60_000);
    first.send();
    // Their first packets say that the first of them has more left than the second; then all that is unasked of it comes.
    const [long, short] = [new Sender(f, 1, 100_000), new Sender(f, 2, 90_000)];
    const ahead = new Sender(f, 3, 70_000);
    ahead.send(UNASKED);
    short.send(1400);
    long.send(UNASKED);
    ahead.send();
    for (const s of [long, short]) s.hears();
    assert.is(ahead.sent, ahead.bytes);
    assert.ok(long.granted > UNASKED, String(long.granted));
    assert.is(short.granted, UNASKED);
  }));

test('one that was granted to its end as the oldest, and is silent, leaves the next turn to the next', () =>
  forged({ homa: { ...OLDEST, fifoGrantStep: 150_000 }, answer: () => new Uint8Array(8) }, f => {
    const { first, others } = waiting(f, [190_000, 400_000]);
    for (const [sent, s] of [
      [60_000, others[0]],
      [80_000, others[1]],
    ] as const) {
      f.word('homa_receivers', 0, 'fewest').set(0);
      first.send(sent);
      for (const o of others) o.hears();
      assert.ok(s.granted > UNASKED, `${sent}: ${s.granted}`);
    }
    assert.is(others[0].granted, others[0].bytes);
  }));

test('who is granted to the end keeps its rank until its bytes are here: longer ones do not pass them', () =>
  forged(
    { homa: { window: 20_000, maxIncoming: 2 ** 30, fifoGrant: 0 }, answer: () => new Uint8Array(8) },
    f => {
      const [short, middle, long] = [60_000, 100_000, 200_000].map((n, i) => new Sender(f, i, n));
      const priorities = (s: Sender) =>
        f.out.flatMap(({ packet: p, to }) => (p.type === 'GRANT' && to === s.src ? [p.priority] : []));
      short.send(UNASKED);
      assert.is(short.granted, short.bytes);
      // Alone it had the lowest.
      assert.equal([...new Set(priorities(short))], [0]);
      for (const s of [long, middle]) s.send(UNASKED);
      assert.equal([...new Set([...priorities(middle), ...priorities(long)])], [0]);
      f.out.length = 0;
      short.send();
      middle.send(60_000);
      assert.is(priorities(middle).at(-1), 1);
    },
  ));

test('a rank that a slot lost with its lane is nobody’s for long', () =>
  forged(
    { homa: { window: 20_000, maxIncoming: 2 ** 30, fifoGrant: 0 }, answer: () => new Uint8Array(8) },
    f => {
      const { dv, at } = f.bytes('homa_receivers', 'done');
      // As a lane leaves it that dies in homa_ungrant: { id, peer, left, priority }.
      for (const [i, n] of [63, 1, 1, 0].entries()) dv.setUint32(at + 4 * i, n, true);
      const two = [60_000, 100_000].map((n, i) => new Sender(f, i, n));
      two[1].send(1400);
      two[0].send();
      const grants = f.out.flatMap(({ packet: p }) => (p.type === 'GRANT' ? [p.priority] : []));
      assert.ok(grants.includes(1), String(grants));
    },
  ));

for (const fifoGrant of [300, 400])
  test(`of a thousand granted bytes ${fifoGrant} are the oldest’s`, () =>
    forged({ homa: { ...OLDEST, fifoGrant, fifoGrantStep: 4000 }, answer: () => new Uint8Array(8) }, f => {
      const [first, oldest] = [900_000, 1_000_000].map((n, i) => new Sender(f, i, n));
      for (const s of [first, oldest]) s.send(UNASKED);
      while (first.sent < 400_000) {
        first.send(first.sent + PART);
        oldest.hears();
        oldest.send();
        first.hears();
        f.out.length = 0;
      }
      const [a, b] = [first, oldest].map(s => s.granted - UNASKED);
      const share = (1000 * b) / (a + b);
      assert.ok(Math.abs(share - fifoGrant) < 15, `${share} ‰ of ${a + b}`);
    }));
