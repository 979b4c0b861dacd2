/** Loads: how long each answer took is counted from when its request was made, however many were made or came together. */
import { EchoCaller } from '../../host/apps/echo/caller.js';
import { Flow } from '../../host/apps/load/caller.js';
import { Tally, TallySpan } from '../../host/apps/load/tally.js';
import { Answers } from '../../host/apps/service.js';
import { assert, suite } from '../support/suite.js';

const test = suite('apps: load');
const BYTES = 64;

/** A flow whose answers a test makes up: an echo's bytes in their order. */
function flowOf(outstanding: number) {
  const tally = new Tally();
  const flow = new Flow(new EchoCaller(BYTES), outstanding, tally);
  const out = new Answers();
  let sent = Buffer.alloc(0);
  return {
    flow,
    ask(ms: number, most?: number): number {
      out.clear();
      flow.ask(ms, out, most);
      sent = Buffer.concat([sent, out.view()]);
      return out.length / BYTES;
    },
    answer(ms: number, n: number): void {
      flow.take(sent, n * BYTES, ms);
      sent = sent.subarray(n * BYTES);
    },
    times: () => new TallySpan([tally.numbers]).times.map(({ ns, count }) => [Math.round(ns / 1e6), count]),
    meanMs: () => new TallySpan([tally.numbers]).meanNs / 1e6,
  };
}

test('answers to requests that were made together, and apart, take their own times', () => {
  const { flow, ask, answer, times, meanMs } = flowOf(8);
  assert.is(ask(0), 8);
  assert.is(ask(0), 0);
  answer(10, 3);
  assert.is(ask(10), 3);
  answer(30, 6);
  assert.is(flow.underWay, 2);
  assert.equal(times(), [
    [10, 3],
    [20, 1],
    [30, 5],
  ]);
  assert.is(Math.round(meanMs()), Math.round((3 * 10 + 20 + 5 * 30) / 9));
});

test('the ring of batches wraps: thousands of batches of one, and of many, lose no request', () => {
  const { flow, ask, answer, times } = flowOf(5);
  for (let ms = 0; ms < 5000; ms++) {
    ask(ms, (ms % 3) + 1);
    answer(ms, Math.min(flow.underWay, (ms % 4) + 1));
  }
  ask(5000, 1);
  answer(5000, flow.underWay);
  assert.is(flow.underWay, 0);
  assert.ok(times().every(([ms]) => ms < 50));
});

test('an answer to nothing is an error', () => {
  const { ask, flow } = flowOf(2);
  ask(0);
  const three = Uint8Array.from({ length: 3 * BYTES }, (_, i) => i % 251);
  assert.throws(() => flow.take(three, three.length, 1), /3 answers to 2 requests/);
});

test('a batch of messages is the bytes of as many single ones', () => {
  for (const bytes of [1, 64, 100, 1000, 20_000]) {
    const [one, many] = [new EchoCaller(bytes), new EchoCaller(bytes)];
    const [single, batch] = [new Answers(), new Answers()];
    for (let i = 0; i < 300; i++) one.ask(single, 1);
    assert.is(many.ask(batch, 300), 300);
    assert.ok(Buffer.from(batch.view()).equals(Buffer.from(single.view())), String(bytes));
  }
});
