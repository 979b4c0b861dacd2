/** Addresses of IPv4 and IPv6 that begin with the same four bytes, all other zeros, are two. */
import { assert, suite } from '../support/suite.js';
import { forged, PORT } from './forged.js';

const test = suite('homa: families');
/** 10.0.0.2, the host's own, and 10.0.0.1, a peer's, as the first bytes of addresses of IPv6. */
const LIKE_OWN = 'a00:2::';
const LIKE_PEER = 'a00:1::';

test('an address of IPv6 that begins as one of the host’s of IPv4 is not served', () =>
  forged({}, f => {
    f.put(f.data(5n, 1, 'theirs'), { src: 'fd00::1', dst: LIKE_OWN });
    f.pass(1);
    assert.equal(f.seen, []);
    f.put(f.data(5n, 2, 'ours'), { src: 'fd00::1', dst: 'fd00::2' });
    f.pass(1);
    assert.equal(f.seen, ['ours']);
  }));

test('nor by a port that is served at the one of IPv4', () =>
  forged({}, f => {
    f.messages.unserve(PORT);
    f.messages.serve({ app: f.server.app.number, port: PORT, address: '10.0.0.2' });
    f.put(f.data(5n, 1, 'theirs'), { src: 'fd00::1', dst: LIKE_OWN });
    f.put(f.data(5n, 2, 'others'), { src: 'fd00::1', dst: 'fd00::2' });
    f.put(f.data(5n, 3, 'ours'));
    f.pass(1);
    assert.equal(f.seen, ['ours']);
  }));

test('the way to a peer of IPv4 is not the way to one of IPv6 that begins so', () =>
  forged({}, f => {
    f.put(f.data(5n, 1, 'known'));
    f.pass(1);
    assert.is(f.counters.NoRoutes ?? 0, 0);
    // There is no route to that one.
    f.put(f.data(5n, 2, 'unknown'), { src: LIKE_PEER, dst: 'fd00::2' });
    f.pass(1);
    assert.ok((f.counters.NoRoutes ?? 0) > 0);
  }));
