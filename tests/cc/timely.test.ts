import { assert, suite } from '../support/suite.js';
import { Flow, MSS, runPath } from './flow.js';

const test = suite('cc: timely');
/** 10 Mbit/s, bytes/s. */
const STEP = 1_250_000;

/** One round with a sample; the rate after it. */
function round(flow: Flow, rttUs: number, i: number): number {
  flow.tell('ack', {
    acked: MSS,
    rttUs,
    srttUs: rttUs,
    minRttUs: 20,
    una: i * 10 * MSS,
    nxt: (i + 1) * 10 * MSS,
  });
  return Number(flow.cc.rate);
}

/** A flow out of slow start with a rate of 10 Gbit/s and a last sample. */
function steady(rttUs: number): Flow {
  const flow = new Flow('timely');
  round(flow, rttUs, 0);
  round(flow, rttUs, 1);
  flow.tell('rto');
  flow.cc.rate = 1_250_000_000n;
  return flow;
}

test('below T_low the rate grows by a step whatever the slope', () => {
  const flow = steady(20);
  assert.is(round(flow, 29, 2), 1_250_000_000 + STEP);
  assert.is(round(flow, 25, 3), 1_250_000_000 + 2 * STEP);
});

test('above T_high it falls by 0.8 (1 - T_high / RTT)', () => {
  const flow = steady(20);
  assert.is(round(flow, 300, 2), 1_250_000_000 * (1 - 0.8 * (1 - 150 / 300)));
});

test('between them a falling slope adds a step, after five rounds five', () => {
  const flow = steady(100);
  let last = 1_250_000_000;
  for (let i = 2; i < 7; i++) {
    const rate = round(flow, 100 - i, i);
    assert.is(rate - last, STEP, `round ${i}`);
    last = rate;
  }
  assert.is(round(flow, 90, 7) - last, 5 * STEP);
});

test('between them a rising slope takes its share of the rate', () => {
  const flow = steady(60);
  // (1 - 0.02) · 0 + 0.02 · 40 = 0.8 µs, over 20 µs: 0.04.
  const rate = round(flow, 100, 2);
  assert.ok(Math.abs(rate / 1_250_000_000 - (1 - 0.8 * 0.04)) < 1e-4, `${rate}`);
});

test('a link is filled with a queue of some tens of µs', () => {
  const o = { rate: 125_000_000, rttUs: 25, buffer: 1_000_000, seconds: 1 };
  const r = runPath(new Flow('timely'), o);
  assert.ok(r.goodput > 0.8 * o.rate, `${r.goodput}`);
  assert.ok(r.meanQueueUs < 200, `${r.meanQueueUs} µs`);
});
