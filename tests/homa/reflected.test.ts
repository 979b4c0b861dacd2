/** Packets whose source is forged: what a host that never asked is sent for one of them. */
import { assert, suite } from '../support/suite.js';
import { type Forged, forged } from './forged.js';

const test = suite('homa: reflected');
const VICTIM = '10.0.0.60';

/** Packets, and their types, that the victim gets in two seconds. */
function reflected(f: Forged): string[] {
  f.pass(2000);
  return f.out.filter(o => o.to === VICTIM).map(o => o.packet.type);
}

for (const [what, lengths] of [
  ['a message that is granted', { messageLength: 500_000, incoming: 1400, offset: 0 }],
  ['a message that comes unasked', { messageLength: 30_000, incoming: 30_000, offset: 0 }],
  ['the end of a message', { messageLength: 30_000, incoming: 30_000, offset: 28_600 }],
] as const)
  test(`one packet of ${what}: seven packets at most`, () =>
    forged({}, f => {
      f.put(f.data(5n, 7, new Uint8Array(1400), lengths), { src: VICTIM });
      const types = reflected(f);
      assert.ok(types.length <= 7 && types.includes('RESEND'), types.join());
      assert.equal(f.served, []);
    }));

test('a request that is whole: its answer, and four NEED_ACKs', () =>
  forged({}, f => {
    f.put(f.data(5n, 7, 'hello'), { src: VICTIM });
    const types = reflected(f);
    assert.is(types[0], 'DATA');
    assert.equal(types.slice(1), ['NEED_ACK', 'NEED_ACK', 'NEED_ACK', 'NEED_ACK', 'RPC_UNKNOWN']);
  }));

test('a client that is heard of is asked at the usual distance again', () =>
  forged({}, f => {
    const part = { messageLength: 30_000, incoming: 30_000 };
    f.put(f.data(5n, 7, new Uint8Array(1400), { ...part, offset: 0 }));
    f.pass(60);
    const before = f.types().length;
    f.put(f.data(5n, 7, new Uint8Array(1400), { ...part, offset: 1400 }));
    f.pass(12);
    assert.ok(before >= 3 && before <= 4, String(before));
    assert.equal(f.types(), ['RESEND']);
  }));
