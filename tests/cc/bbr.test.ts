import { assert, suite } from '../support/suite.js';
import { Flow, MSS, runPath } from './flow.js';

const test = suite('cc: bbr');

test('it finds the rate of the bottleneck and keeps the queue short, where Reno fills the buffer', () => {
  const o = { rate: 1_250_000, rttUs: 40_000, buffer: 500_000, seconds: 9 };
  const flow = new Flow('bbr');
  const bbr = runPath(flow, o);
  assert.ok(bbr.goodput > 0.9 * o.rate, `${bbr.goodput}`);
  assert.ok(bbr.meanQueueUs < 0.6 * o.rttUs, `${bbr.meanQueueUs} µs queued`);
  const reno = runPath(new Flow('reno'), o);
  assert.ok(reno.meanQueueUs > 3 * bbr.meanQueueUs);
});

test('random loss of 1 % does not slow it', () => {
  const o = { rate: 1_250_000, rttUs: 40_000, buffer: 500_000, loseEvery: 100, seconds: 12 };
  const [bbr, reno] = (['bbr', 'reno'] as const).map(name => runPath(new Flow(name), o));
  assert.ok(bbr.goodput > 0.85 * o.rate, `${bbr.goodput}`);
  assert.ok(reno.goodput < 0.5 * o.rate, `${reno.goodput}`);
});

test('a round-trip time that was not seen for ten seconds is looked for with four segments in flight, for 200 ms', () => {
  const flow = new Flow('bbr');
  const windows: number[] = [];
  for (let ms = 0, delivered = 0; ms < 11_000; ms += 10, delivered += 10 * MSS) {
    flow.tell('ack', {
      acked: 10 * MSS,
      inFlight: Math.min(flow.cc.cwnd, 40 * MSS),
      rttUs: ms === 0 ? 40_000 : 50_000,
      srttUs: 50_000,
      delivered: 40 * MSS,
      intervalUs: 40_000,
      priorDelivered: delivered,
      nowNs: BigInt(ms) * 1_000_000n,
    });
    windows.push(flow.segments);
  }
  const first = windows.indexOf(4, 10);
  const last = windows.lastIndexOf(4);
  assert.ok(first * 10 >= 10_000 && first * 10 <= 10_020, `begins at ${first * 10} ms`);
  assert.ok((last - first) * 10 >= 190 && (last - first) * 10 < 300, `takes ${(last - first) * 10} ms`);
  assert.ok(windows.at(-1)! > 30, 'and what it had comes back');
});

test('a timeout leaves one segment, and what it knows of the path', () => {
  const flow = new Flow('bbr');
  runPath(flow, { rate: 1_250_000, rttUs: 40_000, buffer: 500_000, seconds: 5 });
  const rate = flow.cc.rate;
  flow.tell('rto', { inFlight: 50 * MSS });
  assert.equal([flow.cc.cwnd, flow.cc.rate], [MSS, rate]);
});
