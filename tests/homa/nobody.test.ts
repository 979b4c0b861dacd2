/** Packets from addresses that nobody has: there is no handshake that would tell them from honest ones. */
import { assert, suite } from '../support/suite.js';
import { forged } from './forged.js';

const test = suite('homa: nobody’s addresses');

const NOBODY = [
  ...['127.0.0.1', '0.0.0.0', '224.0.0.1', '255.255.255.255', '10.0.0.2'].map(src => ({
    src,
    dst: '10.0.0.2',
  })),
  ...['::1', '::', 'ff02::1', 'fd00::2'].map(src => ({ src, dst: 'fd00::2' })),
];

test('what they ask for is not done, and nobody is answered', () =>
  forged({}, f => {
    for (const [i, from] of NOBODY.entries()) {
      f.put(f.data(5n, 7 + i, 'do it'), from);
      f.put(f.ask(5n, 107 + i), from);
      // As if of a call of ours.
      f.put({ ...f.data(5n, 7, 'done'), senderId: (5n << 25n) | 15n }, from);
    }
    f.pass(20);
    assert.equal(f.seen, []);
    assert.equal(f.types(), []);
    assert.is(f.counters.BadPackets, 3 * NOBODY.length);
    f.put(f.data(5n, 7, 'do it'));
    f.pass(1);
    assert.equal(f.seen, ['do it']);
  }));
