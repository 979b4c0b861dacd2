import { assert, suite } from '../support/suite.js';
import { Flags, Flow, MSS, runPath } from './flow.js';

const test = suite('cc: dctcp');
const ECT = 1;
const ECHO = 2;
const OWN = 4;

test('it sends ECT and wants marks echoed packet by packet', () => {
  assert.is(new Flow('dctcp').cc.flags & (ECT | ECHO | OWN), ECT | ECHO);
  assert.is(new Flow('dctcpRate').cc.flags & (ECT | ECHO | OWN), ECT | ECHO | OWN);
});

/** `rounds` rounds of which `share` is marked; what a mark would leave of a window of 1000 segments. */
function kept(rounds: number, share: number, flow = new Flow('dctcp')): number {
  for (let i = 0, una = 0; i <= rounds; i++, una += 100 * MSS)
    flow.tell('ack', { acked: 100 * MSS, marked: share * 100 * MSS, una, nxt: una + 100 * MSS });
  flow.cc.cwnd = 1000 * MSS;
  flow.tell('enter', { inFlight: 1000 * MSS, flags: Flags.ece });
  return flow.cc.ssthresh / MSS / 1000;
}

test('alpha begins at 1 and forgets by 15/16 a round (RFC 8257 §3.3, g = 1/16)', () => {
  for (const rounds of [1, 5, 20, 60]) {
    const alpha = (15 / 16) ** rounds;
    assert.ok(Math.abs(kept(rounds, 0) - (1 - alpha / 2)) < 1e-4, `${rounds} rounds`);
  }
  assert.is(kept(400, 0), 1, 'down to 0');
});

test('alpha becomes the share of marked bytes', () => {
  for (const share of [0.1, 0.25, 1])
    assert.ok(Math.abs(kept(300, share) - (1 - share / 2)) < 0.001, `${share}`);
});

test('a loss takes one half whatever alpha is', () => {
  const flow = new Flow('dctcp');
  kept(300, 0, flow);
  flow.cc.cwnd = 100 * MSS;
  flow.tell('enter', { inFlight: 100 * MSS });
  assert.is(flow.cc.ssthresh, 50 * MSS);
});

test('with marks at 65 packets the queue stays around them, the link full and nothing is lost; CUBIC fills the buffer', () => {
  const o = { rate: 125_000_000, rttUs: 100, buffer: 1_000_000, markAt: 65 * MSS, seconds: 0.5 };
  const dctcp = runPath(new Flow('dctcp'), o);
  assert.is(dctcp.losses, 0);
  assert.ok(dctcp.goodput > 0.97 * o.rate, `${dctcp.goodput}`);
  const packets = (dctcp.meanQueueUs * o.rate) / 1e6 / MSS;
  assert.ok(packets < 80, `${packets} packets queued`);
  const cubic = runPath(new Flow('cubic'), { ...o, markAt: undefined });
  assert.ok(cubic.meanQueueUs > 4 * dctcp.meanQueueUs, `${cubic.meanQueueUs} µs beside ${dctcp.meanQueueUs}`);
});

test('by rate: the rate settles at the link’s, with a short queue', () => {
  const o = { rate: 125_000_000, rttUs: 100, buffer: 1_000_000, markAt: 65 * MSS, seconds: 1 };
  const r = runPath(new Flow('dctcpRate'), o);
  assert.ok(r.goodput > 0.85 * o.rate, `${r.goodput}`);
  assert.ok(r.meanQueueUs < 800, `${r.meanQueueUs} µs`);
});

test('by rate: a loss halves it once a round, a timeout at once', () => {
  const flow = new Flow('dctcpRate');
  flow.cc.rate = 100_000_000n;
  flow.tell('ack', { acked: MSS, nxt: 10 * MSS });
  flow.tell('ack', { acked: MSS, lost: MSS, una: 10 * MSS, nxt: 20 * MSS, srttUs: 100 });
  assert.is(flow.cc.rate, 50_000_000n);
  flow.tell('rto');
  assert.is(flow.cc.rate, 25_000_000n);
});

for (const name of ['dctcpRate', 'timely'] as const)
  test(`${name}: what a loss took from the rate UNDO gives back, slow start and all`, () => {
    const flow = new Flow(name);
    flow.cc.rate = 100_000_000n;
    flow.tell('ack', { acked: MSS, rttUs: 100, minRttUs: 100, nxt: 10 * MSS });
    flow.tell('enter', { inFlight: 10 * MSS });
    flow.tell('ack', {
      acked: MSS,
      lost: MSS,
      rttUs: 100,
      minRttUs: 100,
      una: 10 * MSS,
      nxt: 20 * MSS,
      srttUs: 100,
    });
    assert.is(flow.cc.rate, 50_000_000n);
    flow.tell('undo', { srttUs: 100 });
    assert.is(flow.cc.rate, 100_000_000n);
    // The round has lost nothing: the next one doubles, as it would have.
    flow.tell('ack', {
      acked: 70_000,
      rttUs: 10,
      minRttUs: 10,
      una: 20 * MSS,
      nxt: 30 * MSS,
      nowNs: 100_000n,
    });
    assert.ok(flow.cc.rate > 100_000_000n, `${flow.cc.rate}`);
    flow.tell('rto');
    flow.tell('rto', { flags: Flags.again });
    const after = flow.cc.rate;
    flow.tell('undo', { srttUs: 100 });
    assert.ok(flow.cc.rate >= 2n * after, 'both timeouts are undone');
  });
