import { assert, suite } from '../support/suite.js';
import { Flags, Flow, MSS, PACED, runPath } from './flow.js';

const test = suite('cc: reno');

test('the initial window is ten segments, there is no threshold, and nothing is paced', () => {
  const { cc } = new Flow('reno');
  assert.equal([cc.cwnd, cc.ssthresh, cc.rate], [10 * MSS, 0x7fffffff, 0n]);
});

test('slow start doubles the window each round trip, and ends exactly at ssthresh', () => {
  const flow = new Flow('reno');
  flow.round();
  assert.is(flow.segments, 20);
  flow.round();
  assert.is(flow.segments, 40);
  flow.cc.ssthresh = 50 * MSS;
  for (let i = 0; i < 10; i++) flow.tell('ack', { acked: MSS, flags: Flags.cwndLimited });
  assert.is(flow.segments, 50);
});

test('congestion avoidance adds one segment each round trip', () => {
  const flow = new Flow('reno');
  flow.cc.ssthresh = 10 * MSS;
  for (let i = 11; i <= 30; i++) {
    flow.round();
    assert.is(flow.segments, i);
  }
  flow.tell('ack', { acked: 60 * MSS, flags: Flags.cwndLimited });
  assert.is(flow.segments, 31, 'and one for a window that is acknowledged at once; half of a second waits');
});

test('a loss halves what was in flight, not the window, down to two segments (RFC 5681, equation 4)', () => {
  const flow = new Flow('reno');
  flow.tell('enter', { inFlight: 9 * MSS });
  assert.is(flow.cc.ssthresh, 4500);
  flow.tell('ack', { acked: 5 * MSS, flags: Flags.cwndLimited | Flags.recovery });
  assert.is(flow.segments, 10, 'the transport’s PRR decides during recovery');
  flow.tell('leave');
  assert.is(flow.cc.cwnd, 4500);
  flow.tell('enter', { inFlight: 3 * MSS });
  assert.is(flow.cc.ssthresh, 2 * MSS);
});

test('a timeout leaves one segment; a second one of the same episode leaves the threshold alone', () => {
  const flow = new Flow('reno');
  flow.tell('rto', { inFlight: 10 * MSS });
  assert.equal([flow.cc.cwnd, flow.cc.ssthresh], [MSS, 5 * MSS]);
  flow.tell('rto', { inFlight: MSS, flags: Flags.again });
  assert.equal([flow.cc.cwnd, flow.cc.ssthresh], [MSS, 5 * MSS]);
});

test('a timeout that was spurious is undone, once', () => {
  const flow = new Flow('reno');
  flow.round();
  flow.tell('rto', { inFlight: 20 * MSS });
  flow.tell('undo');
  assert.equal([flow.segments, flow.cc.ssthresh], [20, 0x7fffffff]);
  flow.cc.cwnd = 4 * MSS;
  flow.tell('undo');
  assert.is(flow.segments, 4);
});

test('after idle it begins with the initial window, or what it had if that was less', () => {
  const flow = new Flow('reno');
  flow.round();
  flow.tell('idle');
  assert.is(flow.segments, 10);
  flow.cc.cwnd = 3 * MSS;
  flow.tell('idle');
  assert.is(flow.segments, 3);
});

test('a flow that its window does not limit does not open it', () => {
  const flow = new Flow('reno');
  flow.tell('ack', { acked: 10 * MSS });
  assert.is(flow.segments, 10);
});

test('paced: twice the window per round trip in slow start, 1.2 times after it', () => {
  const flow = new Flow('reno', PACED);
  flow.tell('ack', { acked: MSS, flags: Flags.cwndLimited, srttUs: 10_000 });
  assert.is(flow.cc.rate, BigInt(11 * MSS * 100 * 2));
  flow.cc.ssthresh = MSS;
  flow.tell('ack', { srttUs: 10_000 });
  assert.is(flow.cc.rate, BigInt(11 * MSS * 100 * 1.2));
});

test('a bottleneck is filled: one loss halves the window, the queue empties, goodput stays', () => {
  const rate = 1_250_000;
  const r = runPath(new Flow('reno'), { rate, rttUs: 40_000, buffer: 60_000, seconds: 60 });
  assert.ok(r.losses > 0);
  assert.ok(r.goodput > 0.93 * rate, `${r.goodput} of ${rate}`);
});
