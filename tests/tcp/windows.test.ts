/** The window that a receiver offers: there is room for all of it, whoever reads, and however often it is rounded. */
import { assert, suite } from '../support/suite.js';
import { OptionFlag } from './options.js';
import { ADDRESSES, Pair, pattern, sha } from './pair.js';
import { FlowWatch } from './watch.js';

const test = suite('tcp: windows');
const PORT = 80;
/** Of both ends: its window goes on the wire in units of 32 bytes. */
const RING = 1 << 20;

for (const mss of [536, 999, 1447])
  test(`nobody reads, segments are of ${mss} at most: the offered edge stays in the ring, nothing that came is dropped`, async () => {
    const pair = await Pair.create({ delayNs: 50_000 });
    const { a, b } = pair;
    b.listen(4, PORT, 4, { rcvBytes: RING });
    const options = { sndBytes: RING, mss, flags: OptionFlag.NODELAY };
    const from = a.connect(ADDRESSES[0], 1000, ADDRESSES[1], PORT, options);
    assert.ok(pair.run(() => b.accepted.length > 0, 5000));
    const to = b.ends.get(b.accepted[0])!;
    const watch = new FlowWatch(b);
    const data = pattern(2 * RING, 7);
    let sent = 0;
    let edge = 0;
    const send = (): void => {
      sent += from.write(data.subarray(sent));
      const offered = (watch.u32(to.id, 'rcv_adv') - watch.u32(to.id, 'irs') - 1) | 0;
      edge = Math.max(edge, offered);
    };
    pair.run(() => false, 5000, send);
    assert.ok(edge <= RING, `the edge is ${edge - RING} bytes beyond the ring`);
    assert.ok(to.readable > RING - 2 * mss, `the ring has ${to.readable} of its ${RING} bytes`);
    // Read, the rest comes, too.
    const got: Uint8Array[] = [];
    let bytes = 0;
    const read = (): void => {
      sent += from.write(data.subarray(sent));
      const into = new Uint8Array(to.readable);
      bytes += to.read(into);
      got.push(into);
    };
    assert.ok(
      pair.run(() => bytes === data.length, 60_000, read),
      `${bytes} of ${data.length} bytes`,
    );
    assert.is(sha(Buffer.concat(got)), sha(data));
    assert.is(b.counters().TCPRcvQDrop, undefined, 'segments that found no room');
    await pair.engine.stop();
  });
