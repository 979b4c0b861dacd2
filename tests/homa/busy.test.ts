/** Peers that only say that they are busy: they do not have a slot for ever. */
import { pattern } from '../support/pattern.js';
import { assert, suite } from '../support/suite.js';
import { type Forged, forged, PEER, PORT } from './forged.js';

const test = suite('homa: busy');
const homa = { busyMs: 2000 };

/** What a packet to the server is answered with. */
interface Back {
  sport: number;
  dport: number;
  senderId: bigint;
  marked: true;
}
type Answer = (type: string, back: Back, t: number) => void;

/** A call of this host's, and what its server says. ms until it failed, `limitMs` when it did not. */
function call(f: Forged, answer: Answer, limitMs: number): { id: number; ms: number } {
  const client = f.messages.client({ app: f.caller.number });
  const [id] = f.messages.openSlots(client, 1, { ifindex: f.engine.port('eth').ifindex });
  f.open(id).call({ address: PEER, port: PORT }, pattern(100_000));
  let ms = 0;
  for (; ms < limitMs && !f.slots[0].failed; ms += 4) {
    f.pass(4);
    for (const { packet: p } of f.out.splice(0))
      answer(p.type, { sport: p.dport, dport: p.sport, senderId: p.senderId ^ 1n, marked: true }, ms);
  }
  return { id, ms };
}

test('a server that says BUSY for two seconds and nothing else: ETIMEDOUT', () =>
  forged({ homa }, f => {
    const { id, ms } = call(
      f,
      (type, back) => {
        if (type === 'RESEND') f.put({ type: 'BUSY', ...back });
      },
      4000,
    );
    assert.is(f.view.error(id), 'ETIMEDOUT');
    assert.ok(ms >= 2000 && ms < 2200, String(ms));
  }));

test('a server that grants a little now and then is waited for', () =>
  forged({ homa }, f => {
    const { id, ms } = call(
      f,
      (type, back, t) => {
        if (type !== 'RESEND') return;
        f.put({ type: 'BUSY', ...back });
        f.put({ type: 'GRANT', ...back, offset: 40_000 + 1400 * Math.floor(t / 1500), priority: 0 });
      },
      6000,
    );
    assert.is(f.view.error(id), undefined);
    assert.is(ms, 6000);
  }));

test('a server that asks for the same bytes again and again: ETIMEDOUT', () =>
  forged({ homa }, f => {
    const { id, ms } = call(
      f,
      (type, back) => {
        if (type === 'RESEND') f.put({ type: 'RESEND', ...back, offset: 0, length: 1400, priority: 7 });
      },
      4000,
    );
    assert.is(f.view.error(id), 'ETIMEDOUT');
    assert.ok(ms >= 2000 && ms < 2200, String(ms));
  }));

test('a client that begins a request and says BUSY when it is asked for the rest: the channel ends', () =>
  forged({ homa }, f => {
    f.put(f.data(5n, 7, pattern(1400), { messageLength: 2800, incoming: 2800 }));
    for (let ms = 0; ms < 1900; ms += 4) {
      f.pass(4);
      if (f.types().includes('RESEND')) f.put(f.control('BUSY', 5n, 7));
    }
    assert.is(f.served.length, 1);
    for (let ms = 0; ms < 300; ms += 4) {
      f.pass(4);
      if (f.types().includes('RESEND')) f.put(f.control('BUSY', 5n, 7));
    }
    assert.equal(f.served, []);
  }));

test('a handler that takes longer than a client’s patience: the server waits for it, and says BUSY', () =>
  forged({ homa, answer: () => undefined }, f => {
    f.put(f.data(5n, 7, 'x'));
    for (let ms = 0; ms < 3000; ms += 20) {
      f.pass(20);
      f.put(f.ask(5n, 7));
    }
    assert.is(f.served.length, 1);
    assert.ok(f.types().every(t => t === 'BUSY'));
  }));
